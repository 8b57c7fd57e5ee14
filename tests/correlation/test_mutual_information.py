from collections.abc import Callable
from math import log

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score, normalized_mutual_info_score

from longtail.correlation.correlation_matrix import correlation_matrix
from longtail.correlation.mutual_information import (
    entropy_of_weights,
    joint_information,
    joint_weights,
)

Catalogue = Callable[..., ibis.Table]


values = st.sampled_from(["", "a", "b", "NUL \0", "emoji 🐍", "c", None])


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.tuples(values, st.integers(-2, 2)), min_size=1, max_size=60))
def test_single_valued_features_equal_scikit_learn(
    catalogue: Catalogue, rows: list[tuple[str | None, int]]
) -> None:
    left, right = zip(*rows, strict=True)
    table = catalogue(left=pa.array(left, pa.string()), right=pa.array(right, pa.int64()))
    pair = joint_information(joint_weights(table, ("left", "right"), "value"))
    labels = [repr(value) for value in left]  # a missing value is a value of its own
    assert pair.mutual_information == pytest.approx(mutual_info_score(labels, right), abs=1e-9)
    if pair.left_entropy > 0 and pair.right_entropy > 0:
        expected = normalized_mutual_info_score(labels, right, average_method="min")
        assert pair.normalized == pytest.approx(expected, abs=1e-9)
    else:
        assert pair.normalized == 0.0


def test_a_large_table_equals_scikit_learn(catalogue: Catalogue) -> None:
    generator = np.random.default_rng(0)
    columns = {
        f"f{number}": generator.zipf(1.5, 20_000).clip(max=10**number) for number in range(1, 5)
    }
    columns["f5"] = columns["f4"] // 3
    table = catalogue(**{name: pa.array(column) for name, column in columns.items()})
    names = list(columns)
    raw = correlation_matrix(table, names, "mutual_information", "value")
    share = correlation_matrix(table, names, "normalized", "value")
    for i, left in enumerate(names):
        for j, right in enumerate(names):
            x, y = columns[left], columns[right]
            assert raw[i, j] == pytest.approx(mutual_info_score(x, y), abs=1e-9)
            expected = normalized_mutual_info_score(x, y, average_method="min")
            assert share[i, j] == pytest.approx(expected, abs=1e-9)
    assert share[names.index("f4"), names.index("f5")] == 1.0  # f4 determines f5


def test_missing_values_are_a_value_or_left_out(catalogue: Catalogue) -> None:
    left = ["a", "a", "b", None, None, "b", "a"]
    right = [1, 2, None, 1, None, 2, 1]
    table = catalogue(left=pa.array(left), right=pa.array(right))
    as_value = joint_information(joint_weights(table, ("left", "right"), "value"))
    expected = mutual_info_score([str(x) for x in left], [str(y) for y in right])
    assert as_value.mutual_information == pytest.approx(expected, abs=1e-10)

    both = [(x, y) for x, y in zip(left, right, strict=True) if x is not None and y is not None]
    left_out = joint_information(joint_weights(table, ("left", "right"), "leave_out"))
    xs, ys = zip(*both, strict=True)
    assert left_out.mutual_information == pytest.approx(mutual_info_score(xs, ys), abs=1e-10)
    assert left_out.left_entropy == pytest.approx(mutual_info_score(xs, xs), abs=1e-10)
    # The entropy of a feature alone is over all items that have a value: 3 x a, 2 x b.
    expected_entropy = -(0.6 * log(0.6) + 0.4 * log(0.4))
    entropy = entropy_of_weights(joint_weights(table, ("left",), "leave_out"))
    assert entropy == pytest.approx(expected_entropy, abs=1e-10)


def test_each_item_spreads_a_weight_of_one_over_its_value_pairs(catalogue: Catalogue) -> None:
    # By hand. Item 1: {x, y} x {1}: (x,1) and (y,1) get 1/2 each. Item 2: {x} x {1, 2}: (x,1) and
    # (x,2) get 1/2 each. Item 3: {y} x {2}: 1.
    table = catalogue(
        tags=pa.array([["x", "y"], ["x"], ["y"]]), colours=pa.array([[1], [1, 2], [2]])
    )
    weights = joint_weights(table, ("tags", "colours"), "value").to_pyarrow().to_pylist()
    assert {(row["value_0"], row["value_1"]): row["weight"] for row in weights} == {
        ("x", 1): 1.0,
        ("y", 1): 0.5,
        ("x", 2): 0.5,
        ("y", 2): 1.0,
    }
    # Both marginals are uniform, (3/2, 3/2) of 3, so I = 2 x 1/3 ln(4/3) + 2 x 1/6 ln(4/6).
    expected = 2 / 3 * log(4 / 3) + 1 / 3 * log(2 / 3)
    pair = joint_information(joint_weights(table, ("tags", "colours"), "value"))
    assert pair.mutual_information == pytest.approx(expected, abs=1e-10)
    assert pair.left_entropy == pytest.approx(log(2), abs=1e-10)
    assert pair.normalized == pytest.approx(expected / log(2), abs=1e-10)


def test_empty_lists_and_nulls_in_lists(catalogue: Catalogue) -> None:
    tags = pa.array([["x", None], [], None, [None], ["y", "y"]], pa.list_(pa.string()))
    table = catalogue(tags=tags, name=pa.array(["a", "b", "c", "d", "e"]))
    rows = joint_weights(table, ("tags",), "value").to_pyarrow().to_pylist()
    assert {row["value_0"]: row["weight"] for row in rows} == {"x": 1.0, None: 3.0, "y": 1.0}
    rows = joint_weights(table, ("tags",), "leave_out").to_pyarrow().to_pylist()
    assert {row["value_0"]: row["weight"] for row in rows} == {"x": 1.0, "y": 1.0}


def test_degenerate_features_never_give_nan(catalogue: Catalogue) -> None:
    num_items = 50
    table = catalogue(
        item_id=pa.array([f"item {number}" for number in range(num_items)]),
        constant=pa.array(["same"] * num_items),
        absent=pa.array([None] * num_items, pa.string()),
        long=pa.array([list(range(10_000))] + [[1]] * (num_items - 1)),
    )
    names = ["item_id", "constant", "absent", "long"]
    for missing in ("value", "leave_out"):
        raw = correlation_matrix(table, names, "mutual_information", missing)
        assert np.isfinite(raw).all()
        assert raw[0, 0] == pytest.approx(log(num_items), abs=1e-10)
        assert raw[1].tolist() == raw[2].tolist() == [0.0] * 4
        # The id determines the list, but not which value of it: I = H(long) - 1/50 ln(10,000).
        assert raw[0, 3] == pytest.approx(raw[3, 3] - log(10_000) / num_items, abs=1e-9)
        share = correlation_matrix(table, names, "normalized", missing)
        assert np.isfinite(share).all()
        assert share.diagonal().tolist() == [1.0] * 4
        assert share[0, 1:3].tolist() == [0.0, 0.0]
