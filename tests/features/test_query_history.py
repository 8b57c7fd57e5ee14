"""The histories that are published, compared with a loop in plain Python."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from longtail.features import query_history
from longtail.features.query_history import query_histories

START = datetime(2024, 1, 1, tzinfo=UTC)


def interactions(pairs: list[tuple[str, str, int]]) -> pa.Table:
    """The pairs (query, item, day), sorted as the catalogue has them."""
    queries, items, days = zip(*sorted(pairs), strict=True)
    moments = [START + timedelta(days=day) for day in days]
    return pa.table(
        {
            "query_id": pa.array(queries, pa.string()),
            "item_id": pa.array(items, pa.string()),
            "event_timestamp": pa.array(moments, pa.timestamp("us", "UTC")),
        }
    )


def histories(pairs: Any, queries: list[str], known: list[str], length: int) -> list[list[str]]:
    return query_histories(  # type: ignore[no-any-return]
        pa.chunked_array([queries]), interactions(pairs), pa.chunked_array([known]), length=length
    ).to_pylist()


def test_newest_first_then_by_id_and_no_more_than_the_length() -> None:
    pairs = [("q", "a", 1), ("q", "b", 3), ("q", "d", 2), ("q", "c", 2), ("other", "a", 9)]
    assert histories(pairs, ["p", "q"], ["a", "b", "c", "d"], 3) == [[], ["b", "c", "d"]]


def test_items_that_no_version_knows_take_no_place() -> None:
    pairs = [("q", "a", 1), ("q", "unknown", 3), ("q", "b", 2)]
    assert histories(pairs, ["q"], ["a", "a", "b"], 2) == [["b", "a"]]


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_histories_of_random_pairs_are_those_of_a_loop(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_history, "_BLOCK", block)
    random = np.random.default_rng(3)
    drawn = {(f"q{q}", f"i{i:02}") for q, i in random.integers(0, 25, (300, 2))}
    pairs = [(query, item, int(random.integers(0, 6))) for query, item in sorted(drawn)]
    queries = [f"q{number}" for number in random.permutation(22)]  # three have no features
    known = [f"i{number:02}" for number in range(20)]
    expected = []
    for asked in queries:
        own = [(-day, item) for query, item, day in pairs if query == asked and item in known]
        expected.append([item for _, item in sorted(own)[:5]])
    assert histories(pairs, queries, known, 5) == expected
