"""Tests of column types: the feature that each becomes, value by value."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.init.raw import NUM_ITEMS, feature, items, make, written


def cycled(values: list[Any], type_: pa.DataType | None = None) -> pa.Array:
    """Return the values repeated until every item has one."""
    return pa.array([values[n % len(values)] for n in range(NUM_ITEMS)], type_)


TAKEN = [
    # the stored column, the kind, Feast's type, the first written values
    (cycled(["a", "b", None]), "single", "String", ["a", "b", None]),
    (cycled(["a", ""]), "single", "String", ["a", None]),
    (cycled(["a", "b"], pa.large_string()), "single", "String", ["a", "b"]),
    (cycled(["a", "b"]).dictionary_encode(), "single", "String", ["a", "b"]),
    (cycled([True, None, False]), "single", "String", ["true", None, "false"]),
    (cycled([-3, 4], pa.int8()), "single", "Int64", [-3, 4]),
    (cycled([3, 4], pa.uint64()), "single", "Int64", [3, 4]),
    (cycled([2**63, 4], pa.uint64()), "single", "String", [str(2**63), "4"]),
    (cycled([3.0, None, 4.0]), "single", "Int64", [3, None, 4]),
    (cycled([3.0, float("nan")]), "single", "Int64", [3, None]),
    (cycled([["a"], [], ["b", None]]), "multi", "Array(String)", [["a"], [], ["b"]]),
    (cycled([["a"], ["b"]], pa.large_list(pa.string())), "multi", "Array(String)", [["a"], ["b"]]),
    (cycled([[True], [False]]), "multi", "Array(String)", [["true"], ["false"]]),
    (cycled([[1], [2, 3]], pa.list_(pa.int16())), "multi", "Array(Int64)", [[1], [2, 3]]),
    (cycled([[1.0], [2.0, 3.0]]), "multi", "Array(Int64)", [[1], [2, 3]]),
    (cycled([[1, 2], [3, 4]], pa.list_(pa.int32(), 2)), "multi", "Array(Int64)", [[1, 2], [3, 4]]),
    (cycled(["a|b", "c", "b|c"]), "multi", "Array(String)", [["a", "b"], ["c"], ["b", "c"]]),
    (cycled(["a; b", "c;", "b"]), "multi", "Array(String)", [["a", "b"], ["c"], ["b"]]),
    (cycled(['["a,b"]', '["c"]']), "multi", "Array(String)", [["a,b"], ["c"]]),
    (cycled([0.5, None, 2.0]), "dense", "Float32", [0.5, None, 2.0]),
    (cycled([0.5, float("inf")], pa.float16()), "dense", "Float32", [0.5, None]),
    (cycled([Decimal("1.50"), Decimal("2.25")]), "dense", "Float32", [1.5, 2.25]),
    (cycled([[0.5, 1.0], None]), "dense", "Array(Float32)", [[0.5, 1.0], None]),
    (cycled([[0.5, 1.0], []]), "dense", "Array(Float32)", [[0.5, 1.0], None]),
    (cycled(["[1, 2]", "[3, 4]"]), "multi", "Array(Int64)", [[1, 2], [3, 4]]),
    (cycled([[0.5, 1.0], [0.5, None]]), "dense", "Array(Float32)", [[0.5, 1.0], None]),
    (
        cycled([[0.5, 1.0], [2.0, 3.0]], pa.list_(pa.float64(), 2)),
        "dense",
        "Array(Float32)",
        [[0.5, 1.0], [2.0, 3.0]],
    ),
    (cycled(["[0.5, 1.0]", "[2, 3]"]), "dense", "Array(Float32)", [[0.5, 1.0], [2.0, 3.0]]),
]


@pytest.mark.parametrize(("stored", "kind", "feast_type", "values"), TAKEN)
def test_a_column_is_taken(
    stored: pa.Array, kind: str, feast_type: str, values: list[Any], tmp_path: Path
) -> None:
    document = make(tmp_path, items(column=stored))
    found = feature(document, "column")
    assert (found["kind"], found["type"]) == (kind, feast_type)
    told = written(tmp_path, "items")["column"].to_pylist()[: len(values)]
    # The parts of a split text are in no particular order.
    assert [sorted(v) if isinstance(v, list) and kind == "multi" else v for v in told] == values


ABSENT = [
    (pa.nulls(NUM_ITEMS), "no value at all"),
    (cycled([None, ""]), "no value at all"),
    (cycled([[], None], pa.list_(pa.string())), "no value at all"),
    (cycled([float("nan")]), "no value at all"),
    (cycled([datetime(2024, 1, 1, tzinfo=UTC)]), "a moment in time"),
    (cycled([date(2024, 1, 1)]), "a moment in time"),
    (cycled([[b"x"]]), "it is a list of binary"),
    (cycled([{"a": 1}]), "it is struct<a: int64>"),
    (cycled([[["a"]]]), "it is a list of list"),
    (cycled([[0.5], [0.5, 1.5]]), "lists of 1 to 2 numbers: give all lists the same length"),
]


@pytest.mark.parametrize(("stored", "reason"), ABSENT)
def test_a_column_is_not_taken_for_a_reason(stored: pa.Array, reason: str, tmp_path: Path) -> None:
    document = make(tmp_path, items(column=stored))
    found = feature(document, "column")
    assert found["kind"] == "none"
    assert reason in found["left_out"]
    assert written(tmp_path, "items").column_names == ["item_id", "present", "event_timestamp"]
    assert "# - column: " in (tmp_path / "project/feature_repo/items.py").read_text()


@pytest.mark.parametrize(
    "stored",
    [
        cycled(["Rome, Italy", "Oslo", "Bern", "Lima"]),
        pa.array([f"long and winding prose, number {n}, with commas" for n in range(NUM_ITEMS)]),
        cycled(["a-b", "c"]),
    ],
)
def test_a_text_that_is_no_list_is_not_split(stored: pa.Array, tmp_path: Path) -> None:
    assert "split at" not in feature(make(tmp_path, items(column=stored)), "column")["note"]
