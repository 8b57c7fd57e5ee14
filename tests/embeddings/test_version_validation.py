"""Validation of a version's embeddings: which files are refused, and by which message."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.embeddings.sorted_keys import Keys, absent
from longtail.embeddings.version_validation import (
    Content,
    check_lost,
    embedding_batches,
    validate_embeddings,
)
from longtail.errors import LongtailError
from tests.publications import write_embeddings

VERSION = "20240110-00000000"
ITEMS = [f"item-{number}" for number in range(7)]
VECTORS = np.eye(7, 4, dtype=np.float32) + np.eye(7, 4, k=-4, dtype=np.float32)


def manifest(**changes: Any) -> dict[str, Any]:
    return {"version": VERSION, "embedding_dim": 4, "num_items": 7} | changes


def keys(file: Path, items: list[str]) -> Keys:
    """Write a catalogue file beside the embeddings."""
    catalogue = file.with_name("items.parquet")
    pq.write_table(pa.table({"key": items}), catalogue)
    return Keys(catalogue, "key")


def check(file: Path, **changes: Any) -> Content:
    catalogue = keys(file, ITEMS)
    return validate_embeddings(file, manifest(**changes), batch_rows=3, catalogue=catalogue)


def test_a_right_file_is_right_in_batches_of_any_size(tmp_path: Path) -> None:
    file = tmp_path / "item_embeddings.parquet"
    write_embeddings(file, ITEMS, VECTORS, VERSION)
    rows = [
        len(item).to_bytes(4, "little") + item.encode() + vector.tobytes()
        for item, vector in zip(ITEMS, VECTORS, strict=True)
    ]
    assert check(file) == Content(7, hashlib.sha256(b"".join(rows)).hexdigest())
    batches = list(embedding_batches(file, 3))
    assert [len(batch.items) for batch in batches] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([batch.vectors for batch in batches]), VECTORS)
    assert [item for batch in batches for item in batch.items] == ITEMS
    assert [batch.bias for batch in batches] == [None, None, None]


@pytest.mark.parametrize(
    ("row", "value", "problem"),
    [
        (4, 1.002, r"row 4: item 'item-4' has norm 1.002, not 1"),
        (4, 0.0, r"row 4: item 'item-4' has norm 0, not 1"),
        (6, np.nan, r"row 6: item 'item-6' has a value not finite"),
        (0, np.inf, r"row 0: item 'item-0' has a value not finite"),
    ],
)
def test_wrong_values(tmp_path: Path, row: int, value: float, problem: str) -> None:
    file, vectors = tmp_path / "item_embeddings.parquet", VECTORS.copy()
    vectors[row, row % 4] = value  # the only value of the row that is not 0
    write_embeddings(file, ITEMS, vectors, VERSION)
    with pytest.raises(LongtailError, match=problem):
        check(file)


@pytest.mark.parametrize(
    ("items", "problem"),
    [
        # The pair stands in two batches.
        ([*ITEMS[:3], "item-2", *ITEMS[4:]], "row 3: item 'item-2' stands twice"),
        ([ITEMS[1], ITEMS[0], *ITEMS[2:]], "row 1: item 'item-0' is out of order"),
        ([*ITEMS[:6], "item-9"], "1 catalogue items are missing, such as 'item-6'"),
        ([*ITEMS[:6], None], "column item_id has 1 nulls"),
    ],
)
def test_wrong_items(tmp_path: Path, items: list[str], problem: str) -> None:
    file = tmp_path / "item_embeddings.parquet"
    write_embeddings(file, items, VECTORS, VERSION)
    with pytest.raises(LongtailError, match=problem):
        check(file)


def test_a_null_inside_a_vector(tmp_path: Path) -> None:
    file = tmp_path / "item_embeddings.parquet"
    write_embeddings(file, ITEMS, VECTORS, VERSION)
    table = pq.read_table(file)
    values = VECTORS.ravel().tolist()
    vectors = pa.FixedSizeListArray.from_arrays(pa.array([None, *values[1:]], pa.float32()), 4)
    pq.write_table(table.set_column(1, "embedding", vectors), file)
    with pytest.raises(LongtailError, match="column embedding has 1 nulls inside its vectors"):
        check(file)


def test_an_item_that_the_catalogue_does_not_have(tmp_path: Path) -> None:
    file = tmp_path / "item_embeddings.parquet"
    write_embeddings(file, ITEMS, VECTORS, VERSION)
    with pytest.raises(LongtailError, match="1 items are not in the catalogue, such as 'item-6'"):
        validate_embeddings(file, manifest(), batch_rows=3, catalogue=keys(file, ITEMS[:6]))
    assert validate_embeddings(file, manifest(), batch_rows=3, catalogue=None).num_rows == 7


def test_a_version_that_lost_too_many_items(tmp_path: Path) -> None:
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    write_embeddings(old, ITEMS, VECTORS, VERSION)
    write_embeddings(new, [*ITEMS[1:5], "item-9"], VECTORS[:5], "20240111-00000000")
    check_lost(new, old, version=VERSION, limit=3 / 7, batch_rows=2)
    with pytest.raises(
        LongtailError,
        match=rf"lacks 3 of the 7 items that version {VERSION} serves, such as 'item-0'.*"
        r"publication\.max_lost_share",
    ):
        check_lost(new, old, version=VERSION, limit=0.4, batch_rows=2)


@settings(max_examples=60, deadline=None)
@given(
    keys=st.sets(st.text(max_size=3)),
    others=st.sets(st.text(max_size=3)),
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
def test_absent_keys_are_a_difference_of_sets(
    keys: set[str], others: set[str], sizes: tuple[int, int]
) -> None:
    def batches(of: set[str], size: int) -> list[pa.Array]:
        ordered = sorted(of)
        parts = range(0, len(ordered), size)
        return [pa.array(ordered[start : start + size], pa.string()) for start in parts]

    found = absent(batches(keys, sizes[0]), batches(others, sizes[1]))
    expected = sorted(keys - others)
    assert found == (len(expected), expected[0] if expected else None, len(keys))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"embedding_dim": 5}, r"column embedding is fixed_size_list<.*>\[4\], expected"),
        ({"num_items": 8}, "it has 7 rows, its manifest says 8"),
        ({"version": "20240110-00000001"}, "rows carry another model_version"),
    ],
)
def test_what_does_not_fit_the_manifest(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    file = tmp_path / "item_embeddings.parquet"
    write_embeddings(file, ITEMS, VECTORS, VERSION)
    with pytest.raises(LongtailError, match=problem):
        check(file, **changes)


def test_wrong_columns_and_no_parquet_at_all(tmp_path: Path) -> None:
    file = tmp_path / "item_embeddings.parquet"
    write_embeddings(file, ITEMS, VECTORS, VERSION)
    table = pq.read_table(file)
    pq.write_table(table.drop_columns("model_version"), file)
    with pytest.raises(LongtailError, match="column model_version is missing"):
        check(file)
    numbers = pa.array(range(7), pa.int64())
    pq.write_table(table.set_column(0, "item_id", numbers), file)
    with pytest.raises(LongtailError, match="column item_id is int64, expected string"):
        check(file)
    file.write_bytes(b"PAR1, or so")
    with pytest.raises(LongtailError, match="it cannot be read"):
        check(file)
