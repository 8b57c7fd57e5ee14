"""Vectors with inner products that are scores, against sums by hand."""

import math

import numpy as np
import pytest

from longtail.encoder.score_vectors import (
    as_items,
    as_queries,
    calibrated,
    popularity_bias,
    with_bias,
)

ITEMS = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, -1.0]], np.float32)
QUERIES = np.array([[0.8, 0.6], [0.0, 1.0]], np.float32)
BIAS = np.array([0.5, 0.0, -0.25], np.float32)


def test_an_inner_product_is_the_cosine_and_the_bias() -> None:
    items = with_bias(ITEMS, BIAS)
    assert items.dtype == np.float32
    scores = as_queries(QUERIES, 3) @ items.T
    for row, query in enumerate(QUERIES):
        for column, item in enumerate(ITEMS):
            cosine = float(query[0] * item[0] + query[1] * item[1])
            assert scores[row, column] == pytest.approx(cosine + float(BIAS[column]), abs=1e-6)
    # An item that is asked for does not count biases: its neighbours are found by cosine.
    np.testing.assert_array_equal(as_items(ITEMS, 3) @ items.T, ITEMS @ ITEMS.T)


def test_without_biases_the_vectors_stay_the_same_object() -> None:
    assert with_bias(ITEMS, None) is ITEMS
    assert as_queries(QUERIES, 2) is QUERIES
    assert as_items(ITEMS, 2) is ITEMS


def test_popularity_is_the_log_of_links_and_a_half_around_zero() -> None:
    counts, beta, temperature = [0, 1, 9, 400], 0.7, 0.06
    logs = [math.log(count + 0.5) for count in counts]
    mean = sum(logs) / 4
    expected = [temperature * beta * (log - mean) for log in logs]
    found = popularity_bias(np.array(counts), beta, temperature)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_calibration_is_added_to_learned_biases() -> None:
    added = np.array([0.1, 0.2, 0.3], np.float32)
    np.testing.assert_array_equal(calibrated(ITEMS, 2, added), with_bias(ITEMS, added))
    both = calibrated(with_bias(ITEMS, BIAS), 2, added)
    np.testing.assert_array_equal(both[:, :2], ITEMS)
    np.testing.assert_allclose(both[:, 2], [0.6, 0.2, 0.05], atol=1e-6)
