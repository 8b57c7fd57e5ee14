"""Tests of timestamps: units, zones, names, and the constants used if there are none."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from longtail.errors import InputError
from longtail.init.questions import OpenQuestion
from longtail.init.tables.column_readings import read_columns
from longtail.init.tables.raw_tables import Role, open_raw_table
from longtail.init.tables.sql import quoted
from longtail.init.times.time_columns import find_moment, unnamed_moment
from tests.init.raw import interactions, items, make, queries, written

Outcome = tuple[str | None, list[datetime], str, bool]

NOON = datetime(2024, 3, 5, 12, tzinfo=UTC)
NAIVE = NOON.replace(tzinfo=None)
SECONDS = int(NOON.timestamp())
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OTHER = datetime(2023, 12, 25, 10, tzinfo=UTC)


@cache
def database() -> duckdb.DuckDBPyConnection:
    """Return one database for all tests, which takes a while to open."""
    return duckdb.connect()


def find(
    folder: Path,
    columns: Mapping[str, Sequence[Any]],
    role: Role = "interactions",
    *,
    wanted: str | None = None,
    time_format: str | None = None,
    as_csv: bool = False,
    used: Collection[str] | None = None,
) -> Outcome | None:
    """Return column, moments, note and doubt of a table's timestamp; with `used`, of unnamed ones.

    The moments are None where the timestamp is 1970-01-01 for all rows.
    """
    rows, file = pa.table(dict(columns)), folder / ("table.csv" if as_csv else "table.parquet")
    if as_csv:
        csv.write_csv(rows, file)
    else:
        pq.write_table(rows, file)
    with database().cursor() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        table = open_raw_table(role, file, folder, connection)
        readings = [r for r in read_columns(connection, table) if r.form != "unreadable"]
        shown = ", ".join(f"{r.expression} AS {quoted(r.name)}" for r in readings)
        connection.execute(f"CREATE OR REPLACE VIEW v AS SELECT {shown} FROM {table.relation}")
        time_formats = () if time_format is None else (time_format,)
        if used is None:
            moment = find_moment(connection, table, "v", readings, wanted, time_formats)
        else:
            unnamed = unnamed_moment(connection, table, "v", readings, used, time_formats)
            if unnamed is None:
                return None
            moment = unnamed
        told = connection.execute(f"SELECT {moment.expression} FROM v").fetchall()
    return moment.column, [row[0].astimezone(UTC) for row in told], moment.note, moment.is_guess


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
def test_what_only_has_the_name_of_a_timestamp_is_refused(
    column: list[Any], tmp_path: Path
) -> None:
    """A run without times is another run, so the user decides, and names the column to ignore."""
    message = rf"`time` of .* holds no timestamps.*{column[0]}.*--ignore interactions.time"
    with pytest.raises(InputError, match=message):
        make(tmp_path, None, None, interactions(time=column))
    document = make(tmp_path / "without", None, None, interactions(time=column), ignore=("time",))
    assert document["interactions"]["timestamp"]["column"] is None
    told = written(tmp_path / "without", "interactions")["event_timestamp"]
    assert set(told.to_pylist()) == {EPOCH}
    assert any("the interactions have no timestamps" in warning for warning in document["warnings"])


def test_a_date_of_an_item_is_no_timestamp_unless_its_name_says_so(tmp_path: Path) -> None:
    released = pa.array([date(2020, 1, 1)] * 60)
    document = make(tmp_path, items(released=released))
    assert document["items"]["timestamp"]["column"] is None
    named = make(tmp_path / "named", items(released=released), time_column="released")
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
        tmp_path / "insists", items(updated_at=dump), None, renamed, time_column="updated_at"
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
        (
            pa.array(["soon"] * 200),
            "tiem",
            r"no table has the column `tiem`: correct --time-column",
        ),
        (pa.array(["soon"] * 200), "time", r"`time` of .* holds no timestamps: name a column of"),
    ],
)
def test_times_that_are_none_are_named(
    column: pa.Array, wanted: str | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        make(tmp_path, None, None, interactions(time=column), time_column=wanted)
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize("as_csv", [True, False])
@pytest.mark.parametrize(
    ("values", "expected", "note", "doubt"),
    [
        (["25/12/2023 10:00"], OTHER, "text in the format %d/%m/%Y %H:%M, read as UTC", True),
        (["12/25/2023"], OTHER.replace(hour=0), "text in the format %m/%d/%Y", True),
        (["20240305"], NOON.replace(hour=0), "in the format %Y%m%d, read as UTC", True),
        ([20240305], NOON.replace(hour=0), "numbers in the format %Y%m%d, read as UTC", True),
        ([SECONDS + 0.25], NOON.replace(microsecond=250_000), "seconds since 1970", False),
        (["2024-03-10 01:00:00 PM"], datetime(2024, 3, 10, 13, tzinfo=UTC), "%I:%M:%S %p", True),
        (["Tue, 05 Mar 2024 12:00:00 +0000"], NOON, "%a, %d %b %Y %H:%M:%S %z", True),
        (["Tue, 05 Mar 2024 12:00:00 GMT"], NOON, "%a, %d %b %Y %H:%M:%S %Z", True),
        ([881250949], datetime(1997, 12, 4, 15, 55, 49, tzinfo=UTC), "seconds since 1970", False),
        ([str(SECONDS)], NOON, "seconds since 1970", False),
        ([str(SECONDS * 1000)], NOON, "milliseconds since 1970", False),
        (["2024-03-05T12:00:00Z"], NOON, "ISO dates in text", False),
        (["2024-03-05 12:00:00,5"], NOON.replace(microsecond=500_000), "ISO dates", False),
    ],
)
def test_the_times_of_the_interactions_in_text_and_numbers(
    values: list[Any], expected: datetime, note: str, doubt: bool, as_csv: bool, tmp_path: Path
) -> None:
    found = find(tmp_path, {"user": ["a", "b"], "timestamp": values * 2}, as_csv=as_csv)
    assert found is not None
    assert found[:2] == ("timestamp", [expected] * 2)
    assert note in found[2]
    assert found[3] == doubt


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ([SECONDS, SECONDS * 1000, SECONDS], "2 in seconds, 1 in milliseconds"),
        ([SECONDS * 1000, SECONDS * 10**9], "1 in milliseconds, 1 in nanoseconds"),
    ],
)
def test_a_mix_of_units_is_a_doubt(values: list[int], note: str, tmp_path: Path) -> None:
    found = find(tmp_path, {"timestamp": values}, as_csv=True)
    assert found is not None
    assert found[1] == [NOON] * len(values)
    assert note in found[2]
    assert found[3]


@pytest.mark.parametrize("role", ["items", "queries", "interactions"])
def test_day_or_month_first_is_asked_for(role: Role, tmp_path: Path) -> None:
    columns = {"id": ["a", "b"], "updated_at": ["03/04/2024", "01/01/2024"]}
    with pytest.raises(OpenQuestion, match=r"`updated_at` of .*'03/04/2024' is then 3 April") as e:
        find(tmp_path, columns, role)
    assert e.value.field == "time_format"
    assert [choice.answer for choice in e.value.choices] == ["%d/%m/%Y", "%m/%d/%Y"]
    found = find(tmp_path, columns, role, time_format="%m/%d/%Y")
    assert found is not None
    assert found[1] == [datetime(2024, 3, 4, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)]
    assert not found[3]


def test_a_table_with_a_question_about_times_is_not_written(tmp_path: Path) -> None:
    rows = interactions(clicked_at=["03/04/2024"] * 200)
    with pytest.raises(OpenQuestion, match="--time-format"):
        make(tmp_path, None, None, rows)
    assert not (tmp_path / "project").exists()
    make(tmp_path, None, None, rows, time_format=("%d/%m/%Y",))
    told = written(tmp_path, "interactions")["event_timestamp"]
    assert set(told.to_pylist()) == {datetime(2024, 4, 3, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        (
            "timestamp",
            ["25/12/2023", "13/12/2023", "soon"],
            r"but not 'soon' \(row 3\).*--time-format",
        ),
        ("created_at", [SECONDS, SECONDS, 0], r"but not 0 \(row 3\).*--ignore queries.created_at"),
        ("created_at", [45_356.5, 45_357.5, 45_358.5], "days since 1899-12-30, as spreadsheets"),
        ("date", ["2024-03", "2024-04", "2024-05"], "`date` of .* looks like times, but not all"),
    ],
)
def test_times_of_queries_that_cannot_be_read_are_refused(
    name: str, values: list[Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        find(tmp_path, {"id": ["a", "b", "c"], name: values}, "queries")


@pytest.mark.parametrize(
    "columns",
    [
        {"day": ["monday", "friday"]},
        {"time": [3.5, 4.0]},
        {"time": ["10:15:00", "11:00:00"]},
        {"updated": [True, False]},
        {"release_date": ["25/12/2023", "13/12/2023"]},
        {"purchase_date": [20240305, 20240306]},
        {"t": [SECONDS, SECONDS]},
    ],
)
def test_a_feature_of_items_with_the_name_of_a_time_stays_one(
    columns: dict[str, Sequence[Any]], tmp_path: Path
) -> None:
    found = find(tmp_path, {"id": ["a", "b"], **columns}, "items")
    assert found is not None
    assert found[0] is None


def test_the_best_known_name_wins_and_equals_are_asked_for(tmp_path: Path) -> None:
    times = {"created_at": [NOON, NOON], "updated_at": [OTHER, NOON]}
    with pytest.raises(OpenQuestion, match="2023-12-25 10:00 to 2024-03-05 12:00") as error:
        find(tmp_path, times)
    assert error.value.field == "time_column"
    assert [choice.answer for choice in error.value.choices] == ["created_at", "updated_at"]
    chosen = find(tmp_path, times, wanted="updated_at")
    assert chosen is not None
    assert chosen[:2] == ("updated_at", [OTHER, NOON])
    # In items, the time of the last change is when the row became true.
    of_items = find(tmp_path, times, "items")
    assert of_items is not None
    assert of_items[0] == "updated_at"
    better = find(tmp_path, {**times, "ts": [SECONDS, SECONDS]})
    assert better is not None
    assert better[:2] == ("ts", [NOON, NOON])


def test_columns_with_the_same_moments_are_no_question(tmp_path: Path) -> None:
    same: dict[str, list[Any]] = {
        "clicked_at": ["2024-03-05 12:00:00"],
        "click_time_ms": [SECONDS * 1000],
    }
    found = find(tmp_path, same)
    assert found is not None
    assert found[:2] == ("clicked_at", [NOON])
    # A time that some rows lack is not the time of every row.
    partly: dict[str, list[Any]] = {"created_at": [NOON, NOON], "deleted_at": [None, OTHER]}
    complete = find(tmp_path, partly)
    assert complete is not None
    assert complete[0] == "created_at"


def test_a_better_name_that_cannot_be_read_is_not_dropped_without_a_word(tmp_path: Path) -> None:
    found = find(tmp_path, {"time": ["10:15:00"], "date": ["2024-03-05"]})
    assert found is not None
    assert found[:2] == ("date", [NOON.replace(hour=0)])
    assert "`time` is not used: it has values such as '10:15:00' (row 1)" in found[2]
    assert found[3]


def test_a_date_of_another_name_does_not_beat_the_time(tmp_path: Path) -> None:
    """Today's only date was the release of the item, and the number was the time."""
    found = find(tmp_path, {"released": [date(2020, 1, 1)], "timestamp": [SECONDS]})
    assert found is not None
    assert found[:2] == ("timestamp", [NOON])


@pytest.mark.parametrize(
    ("columns", "column", "expected"),
    [
        ({"t": [SECONDS * 1000]}, "t", NOON),
        ({"t": [SECONDS * 10**9]}, "t", NOON),
        ({"dt": [20240305]}, "dt", NOON.replace(hour=0)),
        ({"tm": [SECONDS + 0.5]}, "tm", NOON.replace(microsecond=500_000)),
        ({"x": ["25/12/2023 10:00"]}, "x", OTHER),
        ({"x": ["05-MAR-24"]}, "x", NOON.replace(hour=0)),
        ({"x": [NOON]}, "x", NOON),
        ({"x": [NOON], "user_id": [1_500_000_000]}, "x", NOON),
        ({"x": [NOON], "phone": [1_500_000_000]}, "x", NOON),
    ],
)
def test_a_time_under_a_name_that_says_nothing(
    columns: dict[str, Sequence[Any]], column: str, expected: datetime, tmp_path: Path
) -> None:
    found = find(tmp_path, {"item": ["a"], "rating": [4.5], **columns}, used={"item"})
    assert found is not None
    assert found[:2] == (column, [expected])
    assert found[2].startswith("the only column that holds times")
    assert found[3]


@pytest.mark.parametrize(
    ("columns", "choices"),
    [
        ({"x1": [SECONDS]}, ["x1"]),
        ({"x1": [SECONDS * 1000 + 0.5]}, ["x1"]),
        ({"x1": [str(SECONDS)]}, ["x1"]),
        ({"batch": [20240305]}, ["batch"]),
        ({"released": [date(2020, 1, 1)]}, ["released"]),
        ({"released": [date(2020, 1, 1)], "t": [SECONDS]}, ["t", "released"]),
        ({"x": [NOON], "y": ["25/12/2023"]}, ["x", "y"]),
        ({"x": [NOON], "y": ["03/04/2024"]}, ["x", "y"]),
        ({"watch_time": [SECONDS]}, ["watch_time"]),
        ({"version": ["12.10.05"]}, ["version"]),
    ],
)
def test_what_may_be_a_time_is_asked_for(
    columns: dict[str, Sequence[Any]], choices: list[str], tmp_path: Path
) -> None:
    rows = {"item": ["a"], **columns}
    with pytest.raises(OpenQuestion, match="--ignore interactions") as error:
        find(tmp_path, rows, used={"item"})
    assert error.value.field == "time_column"
    assert [choice.answer for choice in error.value.choices] == choices
    # Until the keys are known, nothing is taken.
    early = find(tmp_path, rows)
    assert early is not None
    assert early[0] is None


@pytest.mark.parametrize(
    "columns",
    [
        {"user_id": [SECONDS]},
        {"sku": [SECONDS]},
        {"userid": [str(SECONDS)]},
        {"year": [2010]},
        {"x1": [99_999_999]},
        {"price": [3.5]},
        {"price": [45_356]},
        {"price": [45_356.99]},
        {"note": ["bought in 2023"]},
        {"flag": [True]},
        {"used_one": [SECONDS]},
    ],
)
def test_what_is_no_time_is_none(columns: dict[str, Sequence[Any]], tmp_path: Path) -> None:
    assert find(tmp_path, {"item": ["a"], **columns}, used={"item", "used_one"}) is None


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": ["13/12/2023", "14/12/2023", "soon"]}, r"`x` .*but not 'soon' \(row 3\)"),
        ({"x": ["5 mars 2024", "6 mars 2024", "7 mars 2024"]}, "looks like times.*5 mars 2024"),
        ({"t": [SECONDS, SECONDS, 0]}, r"`t` .*but not 0 \(row 3\)"),
        ({"x1": [SECONDS] * 19 + [0]}, r"`x1` .*but not 0 \(row 20\)"),
        ({"x1": [45_356.5, 45_357 + 1 / 86_400]}, "`x1` .*days since 1899-12-30, as spreadsheets"),
        ({"t": [45_356, 45_357]}, "`t` .*days since 1899-12-30"),
        ({"x": [NOON, NOON, None]}, "`x` .* is missing in 1 of 3 rows"),
    ],
)
def test_what_looks_like_time_and_cannot_be_read_is_refused(
    columns: dict[str, Sequence[Any]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        find(tmp_path, columns, used=())


def test_an_unnamed_format_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(OpenQuestion, match="`x` of") as error:
        find(tmp_path, {"x": ["03/04/2024 10:00"]}, used=())
    assert error.value.field == "time_format"
    found = find(tmp_path, {"x": ["03/04/2024 10:00"]}, used=(), time_format="%d/%m/%Y %H:%M")
    assert found is not None
    assert found[1] == [datetime(2024, 4, 3, 10, tzinfo=UTC)]


def test_the_wanted_format_is_for_columns_of_its_kind(tmp_path: Path) -> None:
    """Items with an open format must not make the interactions' numbers unreadable."""
    found = find(tmp_path, {"ts": [SECONDS]}, time_format="%d/%m/%Y")
    assert found is not None
    assert found[1] == [NOON]
    assert "--time-format %d/%m/%Y does not fit it" in found[2]
    assert found[3]
    with pytest.raises(InputError, match=r"%d/%m/%Y fits no column .*`ts` of .* as %m/%d/%Y"):
        make(tmp_path, None, None, interactions(ts=["12/25/2023"] * 200), time_format=("%d/%m/%Y",))
    with pytest.raises(InputError, match=r"1709640000 \(row 1\)"):
        find(tmp_path, {"ts": [SECONDS]}, wanted="ts", time_format="%d/%m/%Y")
    with pytest.raises(InputError, match="year-month-day, and not as %Y-%d-%m"):
        find(tmp_path, {"ts": ["2024-03-05"]}, wanted="ts", as_csv=True, time_format="%Y-%d-%m")
    with pytest.raises(InputError, match=r"%Y-%d-%m fits no column .* is read as ISO"):
        make(tmp_path, None, None, interactions(ts=["2024-03-25"] * 200), time_format=("%Y-%d-%m",))
    # Real timestamps need no format.
    real = find(tmp_path, {"ts": [NOON]}, time_format="%d/%m/%Y")
    assert real is not None
    assert real[1] == [NOON]


def test_the_wanted_column_of_items_leaves_the_interactions_theirs(tmp_path: Path) -> None:
    """The interactions' own time was dropped without a word if the user named that of the items."""
    released = pa.array([date(2020, 1, 1)] * 60)
    rows = interactions(timestamp=[SECONDS] * 200)
    document = make(tmp_path, items(released=released), None, rows, time_column="released")
    assert document["items"]["timestamp"]["column"] == "released"
    assert document["interactions"]["timestamp"]["column"] == "timestamp"
    assert set(written(tmp_path, "interactions")["event_timestamp"].to_pylist()) == {NOON}


def test_a_wanted_column_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    clock = pa.array([timedelta(hours=1)], pa.duration("us"))
    with pytest.raises(InputError, match=r"`lasted` of .* holds no timestamps"):
        find(tmp_path, {"id": ["a"], "lasted": clock}, wanted="lasted")


def test_the_unnamed_time_of_a_project_is_said(tmp_path: Path) -> None:
    rows = interactions(t=[SECONDS * 1000 + n for n in range(200)])
    document = make(tmp_path, None, None, rows)
    assert document["interactions"]["timestamp"]["column"] == "t"
    told = written(tmp_path, "interactions")["event_timestamp"].to_pylist()
    assert told == [NOON + timedelta(milliseconds=n) for n in range(200)]
    assert any("`t` of the interactions" in doubt for doubt in document["doubts"])


def test_a_column_that_only_one_table_has_leaves_the_others_theirs(tmp_path: Path) -> None:
    clicked = pa.array([NOON] * 200, pa.timestamp("us", "UTC"))
    born = pa.array([NOON - timedelta(days=9)] * 60, pa.timestamp("us", "UTC"))
    document = make(
        tmp_path, items(updated_at=born), None, interactions(bought=clicked), time_column="bought"
    )
    assert document["items"]["timestamp"]["column"] == "updated_at"
    assert document["interactions"]["timestamp"]["column"] == "bought"


def test_each_table_may_have_a_format_of_its_own(tmp_path: Path) -> None:
    """The days of both are ambiguous, and one of them has years of two digits."""
    clicked = interactions(timestamp=["02.03.2022 10:00"] * 200)
    rows = items(updated_at=["16/08/21"] * 60)
    document = make(tmp_path, rows, None, clicked, time_format=("%y/%m/%d", "%d.%m.%Y %H:%M"))
    assert document["items"]["timestamp"]["column"] == "updated_at"
    assert set(written(tmp_path, "items")["event_timestamp"].to_pylist()) == {
        datetime(2016, 8, 21, tzinfo=UTC)
    }
    assert set(written(tmp_path, "interactions")["event_timestamp"].to_pylist()) == {
        datetime(2022, 3, 2, 10, tzinfo=UTC)
    }
