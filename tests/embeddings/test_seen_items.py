"""The seen items of a version against the sets that Python makes of the same pairs."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longtail.embeddings import seen_items
from longtail.embeddings.seen_items import read_seen_items, write_seen_items
from longtail.errors import LongtailError


def test_pairs_are_kept_once_and_found_by_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen_items, "_ROWS_IN_A_GROUP", 16)  # a query's rows cross groups
    random = np.random.default_rng(0)
    queries = [f"query-{number:02}" for number in random.integers(12, size=300)]
    items = [f"item-{number:02}" for number in random.integers(20, size=300)]
    source, target = tmp_path / "interactions.parquet", tmp_path / "seen_items.parquet"
    pairs = {"item_id": items, "weight": [1.0] * 300, "query_id": queries}
    pq.write_table(pa.table(pairs), source)
    write_seen_items(source, target)

    expected = sorted(set(zip(queries, items, strict=True)))
    assert len(expected) < 300
    written = pq.read_table(target)
    assert written.schema.names == ["query_id", "item_id"]
    assert [tuple(row.values()) for row in written.to_pylist()] == expected
    found = read_seen_items(target, ["query-03", "no-such-query", "query-11"])
    assert found == {
        query: {item for other, item in expected if other == query}
        for query in ("query-03", "no-such-query", "query-11")
    }


def test_a_missing_or_damaged_file_is_one_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "seen_items.parquet"
    with pytest.raises(LongtailError, match=r"'a' has seen are not known: .*`longtail run`"):
        read_seen_items(file, ["a", "b"])
    file.write_bytes(b"PAR1, or so")
    with pytest.raises(LongtailError, match=r"seen_items\.parquet cannot be read .*: restore it"):
        read_seen_items(file, ["a"])
