"""Tests of timestamps: units, zones, names, and the constants used if there are none."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from longtail.errors import InputError
from tests.init.raw import interactions, items, make, queries, written

NOON = datetime(2024, 3, 5, 12, tzinfo=UTC)
NAIVE = NOON.replace(tzinfo=None)
SECONDS = int(NOON.timestamp())
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value", "type_", "expected", "note"),
    [
        ("when_it_was", NOON, pa.timestamp("us", "UTC"), NOON, ""),
        ("when_it_was", NOON, pa.timestamp("ns", "Europe/Berlin"), NOON, ""),
        ("when_it_was", NAIVE, pa.timestamp("ms"), NOON, "without a zone, read as UTC"),
        ("when_it_was", date(2024, 3, 5), None, NOON.replace(hour=0), "dates, read as"),
        ("timestamp", SECONDS, pa.int32(), NOON, "seconds since 1970"),
        ("timestamp", SECONDS * 1000, None, NOON, "milliseconds since 1970"),
        ("timestamp", SECONDS * 10**6, None, NOON, "microseconds since 1970"),
        ("timestamp", SECONDS * 10**9, None, NOON, "nanoseconds since 1970"),
        ("timestamp", float(SECONDS), None, NOON, "seconds since 1970"),
        ("createdAt", "2024-03-05T12:00:00Z", None, NOON, "ISO dates in text"),
        ("ts", "2024-03-05 14:00:00+02", None, NOON, "ISO dates in text"),
        ("time", "2024-03-05", None, NOON.replace(hour=0), "ISO dates in text"),
    ],
)
def test_a_timestamp_of_any_form(
    name: str, value: Any, type_: pa.DataType | None, expected: datetime, note: str, tmp_path: Path
) -> None:
    column = pa.array([value] * 200, type_)
    document = make(tmp_path, None, None, interactions(**{name: column}))
    found = document["interactions"]["timestamp"]
    assert found["column"] == name
    assert note in found["note"]
    told = written(tmp_path, "interactions")["event_timestamp"]
    assert told.type == pa.timestamp("us", "UTC")
    assert set(told.to_pylist()) == {expected}


@pytest.mark.parametrize("column", [[2010] * 200, ["yesterday"] * 200, [3.5] * 200])
def test_what_only_has_the_name_of_a_timestamp_is_none(column: list[Any], tmp_path: Path) -> None:
    document = make(tmp_path, None, None, interactions(time=column))
    assert document["interactions"]["timestamp"]["column"] is None
    assert document["interactions"]["unused"] == ["time"]
    assert set(written(tmp_path, "interactions")["event_timestamp"].to_pylist()) == {EPOCH}
    assert any("the interactions have no timestamps" in warning for warning in document["warnings"])


def test_a_date_of_an_item_is_no_timestamp_unless_its_name_says_so(tmp_path: Path) -> None:
    released = pa.array([date(2020, 1, 1)] * 60)
    document = make(tmp_path, items(released=released))
    assert document["items"]["timestamp"]["column"] is None
    named = make(tmp_path / "named", items(released=released), timestamp="released")
    assert named["items"]["timestamp"]["column"] == "released"


def test_interactions_without_times_are_as_new_as_the_newest_row(tmp_path: Path) -> None:
    """Interactions at 1970-01-01 would be older than every feature, and see none."""
    moments = pa.array([NOON + timedelta(days=n) for n in range(60)], pa.timestamp("us", "UTC"))
    document = make(tmp_path, items(event_timestamp=moments), queries())
    newest = NOON + timedelta(days=59)
    assert set(written(tmp_path, "interactions")["event_timestamp"].to_pylist()) == {newest}
    assert newest.isoformat() in document["interactions"]["timestamp"]["note"]


def test_a_snapshot_s_date_is_no_history(tmp_path: Path) -> None:
    """Each item has one row, newer than the interactions: joined in time, none has a feature."""
    dump = pa.array([NOON] * 60, pa.timestamp("us", "UTC"))
    clicked = pa.array([NOON - timedelta(days=1)] * 200, pa.timestamp("us", "UTC"))
    document = make(tmp_path, items(updated_at=dump), None, interactions(time=clicked))
    assert document["items"]["timestamp"]["column"] is None
    assert "100% of the interactions are older" in document["items"]["timestamp"]["note"]
    assert set(written(tmp_path, "items")["event_timestamp"].to_pylist()) == {EPOCH}
    renamed = interactions(updated_at=clicked)
    insisting = make(
        tmp_path / "insists", items(updated_at=dump), None, renamed, timestamp="updated_at"
    )
    assert insisting["items"]["timestamp"]["column"] == "updated_at"


def test_a_history_keeps_its_times(tmp_path: Path) -> None:
    rows = pa.concat_tables([items(colour=["red"] * 60), items(colour=["blue"] * 60)])
    moments = [NOON - timedelta(days=9)] * 60 + [NOON + timedelta(days=9)] * 60
    rows = rows.append_column("valid_from", pa.array(moments, pa.timestamp("us", "UTC")))
    clicked = pa.array([NOON] * 200, pa.timestamp("us", "UTC"))
    document = make(tmp_path, rows, None, interactions(time=clicked))
    assert document["items"]["num_keys"] == 60
    assert sorted(set(written(tmp_path, "items")["event_timestamp"].to_pylist())) == sorted(
        set(moments)
    )


@pytest.mark.parametrize(
    ("column", "wanted", "message"),
    [
        (pa.array([NOON] * 199 + [None]), None, r"`time` of .* is missing in 1 of 200 rows"),
        (pa.array(["soon"] * 200), "tiem", r"no table has the column `tiem`: correct --timestamp"),
        (pa.array(["soon"] * 200), "time", r"`time` of .* holds no timestamps: name a column of"),
    ],
)
def test_times_that_are_none_are_named(
    column: pa.Array, wanted: str | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        make(tmp_path, None, None, interactions(time=column), timestamp=wanted)
    assert not (tmp_path / "project").exists()
