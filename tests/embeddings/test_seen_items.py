"""The seen items of a version against the sets that Python makes of the same pairs."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longtail.embeddings import seen_items
from longtail.embeddings.seen_items import are_made_from, read_seen_items, write_seen_items
from longtail.errors import LongtailError


def test_pairs_are_found_by_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen_items, "_ROWS_IN_A_GROUP", 16)  # a query's rows cross groups
    random = np.random.default_rng(0)
    queries = [f"query-{number:02}" for number in random.integers(12, size=300)]
    items = random.integers(100, 120, size=300).tolist()
    # As the catalogue has them: each pair once, sorted.
    pairs = sorted(set(zip(queries, items, strict=True)))
    source, target = tmp_path / "interactions.parquet", tmp_path / "seen_items.parquet"
    asked, seen = zip(*pairs, strict=True)
    columns = {"item_id": seen, "weight": [1.0] * len(pairs), "query_id": asked}
    pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), source)
    write_seen_items(source, target, made_from="an export")

    expected = [(query, str(item)) for query, item in pairs]  # keys are texts everywhere
    written = pq.read_table(target)
    assert written.schema.names == ["query_id", "item_id"]
    assert [tuple(row.values()) for row in written.to_pylist()] == expected
    assert pq.ParquetFile(target).num_row_groups > 10
    wanted = ("query-03", "no-such-query", "query-11")
    found = read_seen_items(target, wanted)
    assert found == {
        query: {item for other, item in expected if other == query} for query in wanted
    }
    assert read_seen_items(source, ["query-03"])["query-03"] == {
        item for query, item in pairs if query == "query-03"
    }
    assert are_made_from(target, "an export")
    assert not are_made_from(target, "another export")
    assert not are_made_from(tmp_path / "nothing.parquet", "an export")


def test_a_missing_or_damaged_file_is_one_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "seen_items.parquet"
    with pytest.raises(LongtailError, match=r"'a' has seen are not known: .*`longtail run`"):
        read_seen_items(file, ["a", "b"])
    file.write_bytes(b"PAR1, or so")
    with pytest.raises(LongtailError, match=r"seen_items\.parquet cannot be read .*: restore it"):
        read_seen_items(file, ["a"])
