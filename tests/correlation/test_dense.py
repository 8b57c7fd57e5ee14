from collections.abc import Callable

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from longtail.correlation.correlation_matrix import correlation_matrix
from longtail.correlation.dense import is_dense, with_bins
from longtail.correlation.mutual_information import entropy_of_weights, joint_weights

Catalogue = Callable[..., ibis.Table]
floats = st.none() | st.floats(allow_infinity=False, width=32)


def bins_of(table: ibis.Table, name: str, num_bins: int) -> list[int | None]:
    rows = with_bins(table, num_bins, "item_id").order_by("item_id").to_pyarrow()
    return list(rows[name].to_pylist())


@settings(max_examples=15, deadline=None)
@given(column=st.lists(floats, min_size=1, max_size=30), num_bins=st.integers(2, 6))
def test_a_bin_is_the_share_of_smaller_numbers(
    catalogue: Catalogue, column: list[float | None], num_bins: int
) -> None:
    table = catalogue(
        item_id=pa.array([f"{number:02d}" for number in range(len(column))]),
        price=pa.array(column, pa.float32()),
    )
    present = np.array([x for x in column if x is not None and x == x], dtype=np.float64)
    expected = [
        None if x is None or x != x else int((present < x).sum()) * num_bins // len(present)
        for x in column
    ]
    assert bins_of(table, "price", num_bins) == expected


def test_bins_hold_equally_many_and_tell_what_the_number_tells(catalogue: Catalogue) -> None:
    generator = np.random.default_rng(0)
    section = generator.integers(0, 4, 2_000)
    price = section + generator.normal(scale=0.1, size=2_000)
    table = with_bins(
        catalogue(
            item_id=pa.array([f"{number:04d}" for number in range(2_000)]),
            section=pa.array(section),
            price=pa.array(price),
        ),
        20,
        "item_id",
    )
    names = ["item_id", "section", "price"]
    entropy = entropy_of_weights(joint_weights(table, ("price",), "value"))
    assert entropy == pytest.approx(np.log(20), abs=1e-9)
    rank = np.argsort(np.argsort(price))
    expected = mutual_info_score(section, rank * 20 // 2_000)
    for codes_gib in (0.0, 1.0):
        found = correlation_matrix(table, names, "mutual_information", "value", codes_gib=codes_gib)
        assert found[1, 2] == pytest.approx(expected, abs=1e-9)


def test_vectors_are_binned_along_their_first_principal_direction(catalogue: Catalogue) -> None:
    generator = np.random.default_rng(0)
    direction = np.array([3.0, 4.0, 0.0]) / 5
    along = generator.normal(scale=5.0, size=400)
    vectors = along[:, None] * direction + generator.normal(scale=0.01, size=(400, 3))
    rows: list[list[float | None] | None] = vectors.astype(np.float32).tolist()
    rows[7], rows[8], rows[9] = None, [1.0, 2.0], [1.0, None, 2.0]
    rows[10] = [float("nan"), 0.0, 0.0]
    table = catalogue(
        item_id=pa.array([f"{number:03d}" for number in range(400)]),
        content=pa.array(rows, pa.list_(pa.float32())),
    )
    assert is_dense(table["content"])
    assert not is_dense(table["item_id"])
    found = bins_of(table, "content", 4)
    assert found[7:11] == [None] * 4
    kept = [number for number in range(400) if not 7 <= number <= 10]
    rank = np.argsort(np.argsort(along[kept]))
    agree = np.mean(np.array([found[number] for number in kept]) == rank * 4 // len(kept))
    assert agree > 0.97  # the noise moves a few vectors across the edge of a bin


def test_a_dense_feature_without_any_value_is_missing(catalogue: Catalogue) -> None:
    table = catalogue(
        item_id=pa.array(["a", "b"]),
        price=pa.array([None, float("nan")], pa.float64()),
        content=pa.array([None, None], pa.list_(pa.float32())),
    )
    assert bins_of(table, "price", 3) == [None, None]
    assert bins_of(table, "content", 3) == [None, None]
    matrix = correlation_matrix(
        with_bins(table, 3, "item_id"), ["item_id", "price", "content"], "adjusted", "leave_out"
    )
    assert matrix.tolist() == np.eye(3).tolist()
