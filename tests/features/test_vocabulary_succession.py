"""The rows of values over time, compared with a dictionary that is kept by hand."""

import itertools
import logging
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.artifacts import RunPaths, read_json, write_json
from longtail.config import Config
from longtail.features.encoding import encode_table
from longtail.features.schema import Feature, Schema
from longtail.features.vocabulary import build_vocabularies, load_vocabularies
from longtail.features.vocabulary_succession import MOST_FREE, Turnover, succeed
from longtail.serving.vocabulary_rows import SortedValues

values = st.lists(st.sampled_from("abcdefghij"), unique=True, max_size=10)


def rows_of(array: pa.Array) -> dict[str, int]:
    return {value: row for row, value in enumerate(array.to_pylist()) if value is not None}


@settings(max_examples=100, deadline=None)
@given(days=st.lists(values, min_size=1, max_size=6))
def test_a_value_keeps_its_row_while_it_lives(days: list[list[str]]) -> None:
    table: pa.Array | None = None
    known: dict[str, int] = {}
    for day in days:
        order, turnover = succeed(pa.array(day, pa.string()), table)
        table = pa.array(day, pa.string()).take(order)
        expected = {value: row for value, row in known.items() if value in day}
        # One by one, each new value takes the lowest row that no value has.
        for value in day:
            if value not in expected:
                taken = set(expected.values())
                expected[value] = next(row for row in itertools.count() if row not in taken)
        num_rows = max(expected.values(), default=-1) + 1
        compacted = num_rows - len(day) > MOST_FREE * num_rows
        kept = sum(value in known for value in day)
        if compacted:
            expected = {value: row for row, value in enumerate(day)}
            num_rows = len(day)
        assert rows_of(table) == expected
        assert turnover == Turnover(
            rows=max(1, num_rows),
            new=len(day) - kept,
            kept=kept,
            freed=len(known) - kept,
            free=num_rows - len(day),
            compacted=compacted,
        )
        known = expected


def test_values_of_another_type_are_new() -> None:
    order, turnover = succeed(pa.array([2, 1]), pa.array(["1", "2"]))
    assert order.to_pylist() == [0, 1]
    assert (turnover.new, turnover.kept) == (2, 0)


def test_serving_does_not_find_a_free_row() -> None:
    for array in (pa.array(["c", None, "a", None]), pa.array([30, None, 10, None])):
        found = SortedValues(array)
        for row, value in enumerate(array.to_pylist()):
            if value is not None:
                assert found.find(value) == row
        assert found.find("" if pa.types.is_string(array.type) else 0) == -1


SCHEMA = Schema(
    query=(Feature("query_id", "query", "single", "string", "query_id", 4, is_id=True),),
    item=(
        Feature("item_id", "item", "single", "string", "item_id", 4, is_id=True),
        Feature("tags", "item", "multi", "integer", "tags", 4, min_count=2),
        Feature("shop", "item", "single", "string", "shop", 4, "hash", 7),
    ),
)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(feature_repo=tmp_path, home=tmp_path)


def write_day(config: Config, day: int, items: dict[str, list[int]], made_from: str = "") -> date:
    """Write the catalogue of a day in January as the stage before does, and return the day."""
    as_of = date(2024, 1, day)
    folder = RunPaths(config, as_of).catalogue
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "schema.json", SCHEMA.to_json())
    write_json(folder / "stamp.json", {"fingerprint": f"{day} {made_from} {items}"})
    table = pa.table(
        {
            "item_id": list(items),
            "tags": pa.array(list(items.values()), pa.list_(pa.int64())),
            "shop": ["s"] * len(items),
        }
    )
    pq.write_table(table, folder / "item_history.parquet")
    pq.write_table(pa.table({"query_id": ["q"]}), folder / "query_history.parquet")
    return as_of


FIRST = {"a": [1, 2], "b": [1, 2], "c": [1]}
SECOND = {"a": [1, 3], "c": [3, 1], "d": [2], "e": [2]}


def test_days_follow_each_other(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    build_vocabularies(config, write_day(config, 3, FIRST))
    caplog.set_level(logging.INFO, "longtail.features")
    day = write_day(config, 4, SECOND)
    stamp = build_vocabularies(config, day)
    folder = RunPaths(config, day).vocabularies
    loaded = load_vocabularies(folder)
    assert loaded["item_id"].values.to_pylist() == ["a", "d", "c", "e"]
    assert loaded["item_id"].counts.to_pylist() == [1, 1, 1, 1]
    assert loaded["tags"].values.to_pylist() == [1, 2, 3]  # 3 occurs twice by now
    assert stamp["num_rows"] == {"query_id": 1, "item_id": 4, "tags": 3, "shop": 7}
    assert stamp["turnover"]["item_id"] == {
        "rows": 4,
        "new": 2,
        "kept": 2,
        "freed": 1,
        "free": 0,
        "compacted": False,
    }
    first = read_json(RunPaths(config, date(2024, 1, 3)).vocabularies / "stamp.json")
    assert stamp["previous"] == {"as_of": "2024-01-03", "fingerprint": first["fingerprint"]}
    assert "since 2024-01-03: 3 new values, 5 kept their row, 1 freed" in caplog.text


def test_a_free_row_is_no_value(config: Config) -> None:
    build_vocabularies(config, write_day(config, 3, {name: [] for name in "abcd"}))
    day = write_day(config, 4, {name: [] for name in "ad"})
    stamp = build_vocabularies(config, day)
    vocabularies = load_vocabularies(RunPaths(config, day).vocabularies)
    assert vocabularies["item_id"].values.to_pylist() == ["a", None, None, "d"]
    assert vocabularies["item_id"].counts.to_pylist() == [1, 0, 0, 1]
    assert stamp["num_rows"]["item_id"] == 4
    asked = pa.table(
        {"item_id": ["b", None, "d"], "tags": pa.array([[]] * 3, pa.list_(pa.int64()))}
    )
    rows = encode_table(asked, SCHEMA.item[:2], vocabularies)
    assert (rows.values.tolist(), np.diff(rows.offsets).tolist()) == ([3], [0, 0, 0, 0, 1, 0])


def test_a_table_that_is_mostly_free_is_packed_anew(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    build_vocabularies(config, write_day(config, 3, {name: [] for name in "abcdef"}))
    day = write_day(config, 4, {"e": [], "f": []})
    stamp = build_vocabularies(config, day)
    vocabularies = load_vocabularies(RunPaths(config, day).vocabularies)
    assert vocabularies["item_id"].values.to_pylist() == ["e", "f"]
    assert stamp["turnover"]["item_id"]["compacted"]
    assert "most rows of table item_id were free: it is packed anew into 2 rows" in caplog.text


def test_the_same_inputs_give_the_same_result_and_no_day_reads_a_later_one(config: Config) -> None:
    days = [write_day(config, number, FIRST) for number in (3, 6)]
    stamps = [build_vocabularies(config, day) for day in days]
    kept = (RunPaths(config, days[1]).vocabularies / "item_id.parquet").stat()
    # A day between them is filled in: it follows the first, and the last stays unchanged.
    between = write_day(config, 5, SECOND)
    assert build_vocabularies(config, between)["previous"]["as_of"] == "2024-01-03"
    assert build_vocabularies(config, days[1]) == stamps[1]
    assert (RunPaths(config, days[1]).vocabularies / "item_id.parquet").stat() == kept
    # Made again from another catalogue, a day keeps its predecessor.
    write_day(config, 6, FIRST, made_from="something else")
    again = build_vocabularies(config, days[1])
    assert again["previous"] == stamps[1]["previous"]
    assert again["fingerprint"] != stamps[1]["fingerprint"]
    # The earliest day has no predecessor. A day that lost its predecessor follows the newest left.
    earliest = write_day(config, 1, SECOND)
    assert build_vocabularies(config, earliest)["previous"] is None
    shutil.rmtree(RunPaths(config, days[0]).folder)
    (config.home / "runs" / "notes").mkdir()
    assert build_vocabularies(config, days[1])["previous"]["as_of"] == "2024-01-05"
