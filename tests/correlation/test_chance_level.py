from math import comb, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.cluster import contingency_matrix
from sklearn.metrics.cluster import expected_mutual_information as reference

from longtail.correlation import chance_level as chance
from longtail.correlation.chance_level import CountHistogram, expected_mutual_information


def histogram(*counts: int) -> CountHistogram:
    return CountHistogram.of(np.array(counts))


def test_three_items_by_hand() -> None:
    # X and Y both split the items 2 | 1. With probability 1/3, the same item is alone in both, and
    # I = H = ln 3 - 2/3 ln 2. Otherwise all joint counts are 1, and I = 2 H - ln 3.
    entropy = log(3) - 2 / 3 * log(2)
    expected = 1 / 3 * entropy + 2 / 3 * (2 * entropy - log(3))
    found = expected_mutual_information(histogram(2, 1), histogram(1, 2, 0))
    assert found == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 30)), min_size=1, max_size=200))
def test_equals_scikit_learn(rows: list[tuple[int, int]]) -> None:
    left, right = (np.array(column) for column in zip(*rows, strict=True))
    expected = reference(contingency_matrix(left, right, sparse=True), len(rows))
    found = expected_mutual_information(
        CountHistogram.of(np.bincount(left)), CountHistogram.of(np.bincount(right))
    )
    assert found == pytest.approx(expected, abs=1e-9)


def test_large_and_skewed_counts_equal_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    left = generator.zipf(1.3, 30_000).clip(max=500)
    right = generator.zipf(1.6, 30_000).clip(max=40)
    expected = reference(contingency_matrix(left, right, sparse=True), 30_000)
    found = expected_mutual_information(
        CountHistogram.of(np.bincount(left)), CountHistogram.of(np.bincount(right))
    )
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("counts", [(70_000, 30_000), (99_000, 98_000), (20_000, 60_000)])
def test_the_expansion_for_large_means_continues_the_sum(counts: tuple[int, int]) -> None:
    total = 10**5
    a, b = (np.array([count]) for count in counts)
    exact = chance._by_recurrence(total, a, b, reach=3_000)
    expanded = chance._by_moments(float(total), a.astype(float), b.astype(float))
    assert expanded[0] / total == pytest.approx(exact[0] / total, abs=1e-12)


def test_the_mean_is_that_of_the_hypergeometric_distribution() -> None:
    # Exact binomials over the whole support show that the reach of the sum leaves nothing out.
    for total, a, b in [(40, 25, 30), (1_000, 3, 900), (1_000, 40, 25), (5_000, 300, 800)]:
        support = range(max(2, a + b - total), min(a, b) + 1)
        weights = [comb(a, n) * comb(total - a, b - n) for n in support]
        exact = sum(
            weight / comb(total, b) * n * log(n) for n, weight in zip(support, weights, strict=True)
        )
        found = chance._mean_n_log_n(total, np.array([a]), np.array([b]))
        assert found[0] == pytest.approx(exact, rel=1e-11)


def test_an_identifier_tells_by_chance_all_there_is() -> None:
    other = histogram(50, 30, 15, 5)
    identifier = CountHistogram.of(np.ones(100, dtype=np.int64))
    assert expected_mutual_information(identifier, other) == pytest.approx(other.entropy, abs=1e-12)


def test_degenerate_counts() -> None:
    nothing = CountHistogram.of(np.zeros(3, dtype=np.int64))
    assert expected_mutual_information(nothing, nothing) == 0.0
    assert nothing.entropy == 0.0
    assert expected_mutual_information(histogram(20_000), histogram(15_000, 5_000)) == 0.0
    with pytest.raises(ValueError, match="5 and 4 items"):
        expected_mutual_information(histogram(5), histogram(4))
