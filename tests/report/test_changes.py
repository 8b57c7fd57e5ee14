"""What changed between two versions, against plain sets, loops and SciPy."""

import collections

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.spatial.distance import jensenshannon

from longtail.artifacts import RunPaths, VersionPaths
from longtail.report.changes import (
    changed_data,
    changed_settings,
    coverage,
    divergence,
    feature_drift,
    flat,
)
from longtail.report.sources import VersionSources
from tests.report.drawn_versions import DAYS, Drawn, item_names


@pytest.fixture
def both(drawn: Drawn) -> tuple[VersionSources, VersionSources]:
    return VersionSources(drawn.config, drawn.second), VersionSources(drawn.config, drawn.first)


def pairs_of(drawn: Drawn, version: str) -> set[tuple[str, str]]:
    table = pq.read_table(VersionPaths(drawn.config, version).seen_items)
    return set(zip(table["query_id"].to_pylist(), table["item_id"].to_pylist(), strict=True))


def test_counts_are_those_of_the_files(
    drawn: Drawn, both: tuple[VersionSources, VersionSources]
) -> None:
    items, queries, interactions = changed_data(*both)
    now, before = set(item_names(1)), set(item_names(0))
    assert items == {"what": "items", "now": 245, "before": 240, "added": 10, "removed": 5}
    assert (len(now), len(now - before), len(before - now)) == (245, 10, 5)
    assert queries == {"what": "queries", "now": 60, "before": 60, "added": 0, "removed": 0}
    new, old = pairs_of(drawn, drawn.second), pairs_of(drawn, drawn.first)
    assert interactions == {
        "what": "interactions",
        "now": len(new),
        "before": len(old),
        "added": len(new - old),
        "removed": len(old - new),
    }


def test_a_first_version_has_nothing_before(drawn: Drawn) -> None:
    rows = changed_data(VersionSources(drawn.config, drawn.first), None)
    assert [row["now"] for row in rows] == [240, 60, len(pairs_of(drawn, drawn.first))]
    assert {row[key] for row in rows for key in ("before", "added", "removed")} == {None}


def test_drift_is_that_of_the_catalogues(
    drawn: Drawn, both: tuple[VersionSources, VersionSources]
) -> None:
    found = {(row["side"], row["feature"]): row for row in feature_drift(*both)}
    assert set(found) == {*(("item", n) for n in ("topic", "colour", "words")), ("query", "city")}
    tables = {
        side: [
            pq.read_table(RunPaths(drawn.config, day).catalogue_files.latest(side))
            for day in reversed(DAYS)
        ]
        for side in ("item", "query")
    }
    for (side, name), row in found.items():
        columns = [table[name].to_pylist() for table in tables[side]]
        counts = [
            collections.Counter(
                value
                for cell in column
                for value in (cell if isinstance(cell, list) else [cell])
                if value is not None
            )
            for column in columns
        ]
        values = sorted(counts[0] | counts[1])
        assert len(values) <= 50
        shares = [np.array([one[v] for v in values]) / one.total() for one in counts]
        assert row["divergence"] == pytest.approx(jensenshannon(*shares, base=2) ** 2)
        assert (row["distinct"], row["distinct_before"]) == tuple(map(len, counts))
        expected = [sum(bool(cell) for cell in column) / len(column) for column in columns]
        assert [row["coverage"], row["coverage_before"]] == pytest.approx(expected)
    moved = [max(r["divergence"], abs(r["coverage"] - r["coverage_before"]))
             for r in feature_drift(*both)]  # fmt: skip
    assert moved == sorted(moved, reverse=True)


def test_rare_values_count_as_one() -> None:
    # 60 values of one each against the same 60 with others' names: the 10 rarest are one more.
    counts, old = {f"a{n:02d}": 1 for n in range(60)}, {f"a{n:02d}": 1 for n in range(60)}
    assert divergence(counts, old) == pytest.approx(0.0)
    assert divergence({"a": 3}, {"b": 5}) == pytest.approx(1.0)
    assert divergence({"a": 3}, {}) is None


def test_an_empty_list_is_no_value() -> None:
    lists = pa.chunked_array([pa.array([["a"], [], None, ["b", "c"]])])
    assert coverage(lists) == 0.5
    assert coverage(pa.chunked_array([pa.array(["a", None, "b", "c"])])) == 0.75


def test_settings_that_differ(both: tuple[VersionSources, VersionSources]) -> None:
    assert changed_settings(*both) == [{"key": "training.num_epochs", "before": 5, "now": 4}]
    assert flat({"a": {"b": {"c": 1}, "d": {}}, "e": [1]}) == {"a.b.c": 1, "a.d": {}, "e": [1]}
