"""Tests of the formats of times, against Python's and pandas' readings of the same values."""

import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from functools import cache
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from longtail.errors import InputError
from longtail.init.tables.column_readings import Reading
from longtail.init.tables.sql import one_row
from longtail.init.times.column_times import read_times
from longtail.init.times.outcomes import Ambiguous, Outcome, Readable, Unreadable
from longtail.init.times.time_formats import DIGIT_FORMATS, check_format, formats_of, pattern_of
from longtail.init.times.time_names import is_id, is_property, is_short, rank_of

NOON = datetime(2024, 3, 5, 12, tzinfo=UTC)


@cache
def database() -> duckdb.DuckDBPyConnection:
    """Return one database for all tests, which takes a while to open."""
    return duckdb.connect()


def connected() -> duckdb.DuckDBPyConnection:
    """Return a new connection in which times without a zone are in UTC, as `init` has it."""
    connection = database().cursor()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def read(values: Sequence[Any], time_format: str | None = None) -> tuple[Outcome, list[Any]]:
    """Return the outcome for a column of these values, and its moments if it is readable."""
    known = [value for value in values if value is not None]
    is_whole = all(not isinstance(value, str) and value == int(value) for value in known)
    form = {str: "string", int: "integer", float: "number"}[type(known[0])]
    reading = Reading("t", form, '"t"', is_whole=is_whole)  # type: ignore[arg-type]
    connection = connected()
    connection.register("v", pa.table({"t": values}))
    outcome = read_times(connection, "v", reading, time_format)
    if not isinstance(outcome, Readable):
        return outcome, []
    rows = connection.execute(f"SELECT {outcome.expression} FROM v").fetchall()
    return outcome, [None if moment is None else moment.astimezone(UTC) for (moment,) in rows]


def moments(step: timedelta, num: int = 40) -> list[datetime]:
    """Return random moments from 1975 to 2095, with a day above 12, as multiples of a step."""
    drawn = random.Random(7)
    start, end = datetime(1975, 1, 13, tzinfo=UTC), datetime(2095, 1, 1, tzinfo=UTC)
    steps = (end - start) // step
    return [start, *(start + drawn.randrange(steps) * step for _ in range(num))]


SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("format_", "step"),
    [
        ("%Y-%m-%d", DAY),
        ("%Y-%m-%d %H:%M:%S", SECOND),
        ("%Y-%m-%dT%H:%M:%S.%f", timedelta(microseconds=1)),
        ("%Y-%m-%dT%H:%M:%SZ", SECOND),
        ("%Y-%m-%d %H:%M:%S.%f+00:00", timedelta(microseconds=1)),
        ("%d/%m/%Y %H:%M", MINUTE),
        ("%m/%d/%Y", DAY),
        ("%m/%d/%Y %I:%M:%S %p", SECOND),
        ("%m/%d/%Y, %I:%M:%S\u202f%p", SECOND),
        ("%Y-%m-%d %I:%M:%S %p", SECOND),
        ("%d.%m.%Y %H:%M:%S", SECOND),
        ("%d-%m-%Y", DAY),
        ("%Y/%m/%d %H:%M", MINUTE),
        ("%Y.%m.%d", DAY),
        ("%Y-%d-%m", DAY),
        ("%d %b %Y", DAY),
        ("%d %B %Y %H:%M:%S", SECOND),
        ("%b %d, %Y %I:%M %p", MINUTE),
        ("%B %d, %Y", DAY),
        ("%A, %B %d, %Y", DAY),
        ("%d-%b-%Y", DAY),
        ("%d/%b/%Y:%H:%M:%S +0000", SECOND),
        ("%d%b%Y:%H:%M:%S", SECOND),
        ("%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)", SECOND),
        ("%a %b %d %H:%M:%S +0000 %Y", SECOND),
        ("%H:%M %d/%m/%Y", MINUTE),
        ("%Y%m%d", DAY),
        ("%Y%m%d%H%M%S", SECOND),
        ("%Y%m%dT%H%M%SZ", SECOND),
        ("%Y%m%d_%H%M%S", SECOND),
        ("%Y%m%d %H:%M:%S", SECOND),
    ],
)
def test_each_text_is_read_as_python_reads_it(format_: str, step: timedelta) -> None:
    written = moments(step)
    texts = [moment.strftime(format_) for moment in written]
    expected = [datetime.strptime(text, format_).replace(tzinfo=UTC) for text in texts]
    assert expected == written
    outcome, found = read(texts)
    assert isinstance(outcome, Readable), outcome
    assert found == expected
    assert outcome.is_guess == (outcome.format != "ISO")
    # The user may name the same format, which is no guess then.
    named, found = read(texts, format_)
    assert isinstance(named, Readable), named
    assert (found, named.is_guess) == (expected, False)


def test_rfc_2822_and_ctime_are_read_as_the_standard_library_reads_them() -> None:
    written = moments(SECOND)
    for texts in (
        [format_datetime(moment) for moment in written],
        [format_datetime(moment, usegmt=True) for moment in written],
    ):
        assert read(texts)[1] == [parsedate_to_datetime(text) for text in texts] == written
    assert read([time.asctime(moment.timetuple()) for moment in written])[1] == written
    tokyo = ["Tue, 05 Mar 2024 21:00:00 +0900"]
    assert read(tokyo)[1] == [parsedate_to_datetime(tokyo[0])] == [NOON]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("05-MAR-24", NOON.replace(hour=0)),
        ("Mar 5, 2024 1:00 PM", NOON.replace(hour=13)),
        ("March 5th, 2024 at 12:00 PM", NOON),
        ("31/12/99 10:00", datetime(1999, 12, 31, 10, tzinfo=UTC)),
        ("2024-03-05T12:00:00,5Z", NOON.replace(microsecond=500_000)),
        ("2024-03-05T12:00:00.123456789Z", NOON.replace(microsecond=123_456)),
        ("2024-03-05 14:00 +02:00", NOON),
        ("2024-03-05 13:00:00 Europe/Berlin", NOON),
        ("  2024-03-05  12:00 ", NOON),
        ("13/03/2024 10:00:00.1234567", datetime(2024, 3, 13, 10, 0, 0, 123_456, UTC)),
        ("Tue Mar  5 12:00:00 UTC 2024", NOON),
        ("2024-03-05 12:30 AM", NOON.replace(hour=0, minute=30)),
        ("1709640000", NOON),
        ("1709640000.5", NOON.replace(microsecond=500_000)),
        ("1709640000123456789", NOON.replace(microsecond=123_456)),
    ],
)
def test_a_text_of_another_form(text: str, expected: datetime) -> None:
    assert read([text, None, text])[1] == [expected, None, expected]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_each_unit_is_read_as_pandas_reads_it(unit: str) -> None:
    name = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}[unit]
    scale = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    numbers = [round(moment.timestamp()) * scale for moment in moments(SECOND)]
    numbers += [10**8 * scale, 4_102_444_800 * scale]
    expected = list(pd.to_datetime(numbers, unit=unit, utc=True).to_pydatetime())
    assert expected[-2:] == [
        datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC),
        datetime(2100, 1, 1, tzinfo=UTC),
    ]
    for values in (numbers, [str(number) for number in numbers]):
        outcome, found = read(values)
        assert isinstance(outcome, Readable), outcome
        assert (outcome.format, outcome.is_guess) == (name, False)
        assert found == expected
    # A double has 53 bits, so nanoseconds are off by less than a microsecond.
    off = [a - b for a, b in zip(read([float(n) for n in numbers])[1], expected, strict=True)]
    assert max(map(abs, off)) <= timedelta(microseconds=1)


def test_a_fraction_of_a_number_is_kept() -> None:
    written = moments(timedelta(microseconds=1))
    seconds = [moment.timestamp() for moment in written]
    found = read(seconds)[1]
    assert found == [datetime.fromtimestamp(second, UTC) for second in seconds]
    assert read([1000 * second for second in seconds])[1] == pytest.approx(
        written, abs=timedelta(microseconds=1)
    )


def test_a_mix_of_units_is_read_value_by_value_and_said_with_counts() -> None:
    written = moments(SECOND)
    seconds = [round(moment.timestamp()) for moment in written]
    mixed = [second * (1000 if n % 4 == 0 else 1) for n, second in enumerate(seconds)]
    for values in (mixed, [str(value) for value in mixed], [value + 0.25 for value in mixed]):
        outcome, found = read(values)
        assert isinstance(outcome, Readable), outcome
        assert outcome.note.endswith("30 in seconds, 11 in milliseconds")
        assert outcome.is_guess
        assert [moment.replace(microsecond=0) for moment in found] == written


@pytest.mark.parametrize(
    ("values", "answers"),
    [
        (
            ["03/04/2024"],
            {"%d/%m/%Y": "3 April 2024", "%m/%d/%Y": "4 March 2024"},
        ),
        (
            ["01/01/2024 00:00", "03/04/2024 10:15"],
            {"%d/%m/%Y %H:%M": "3 April 2024, 10:15", "%m/%d/%Y %H:%M": "4 March 2024, 10:15"},
        ),
        (
            ["01-02-03"],
            {
                "%y-%m-%d": "3 February 2001",
                "%d-%m-%y": "1 February 2003",
                "%m-%d-%y": "2 January 2003",
            },
        ),
        (
            ["25/12/23 10:00"],
            {
                "%y/%m/%d %H:%M": "23 December 2025, 10:00",
                "%d/%m/%y %H:%M": "25 December 2023, 10:00",
            },
        ),
        (
            [202403051015],
            {"milliseconds": "31 May 1976, 15:04", "%Y%m%d%H%M": "5 March 2024, 10:15"},
        ),
    ],
)
def test_what_reads_in_several_ways_is_a_question(
    values: list[Any], answers: dict[str, str]
) -> None:
    outcome, _ = read(values)
    assert isinstance(outcome, Ambiguous)
    said = {choice.answer: choice.reason.split(" is then ")[1] for choice in outcome.choices}
    assert said == answers
    for answer, reading in answers.items():
        chosen, found = read(values, answer)
        assert isinstance(chosen, Readable)
        assert f"{found[-1]:%-d %B %Y}" == reading.split(",")[0]


def test_a_day_above_twelve_decides_the_order_wherever_it_stands() -> None:
    first = [f"{1 + n % 12:02}/{1 + n % 11:02}/2024" for n in range(400)]
    assert isinstance(read(first)[0], Ambiguous)
    assert read([*first, "13/01/2024"])[0].formats == ("%d/%m/%Y",)  # type: ignore[union-attr]
    assert read([*first, "01/13/2024"])[0].formats == ("%m/%d/%Y",)  # type: ignore[union-attr]
    assert isinstance(read([*first, "01/13/2024", "13/01/2024"])[0], Unreadable)


def test_formats_with_the_same_results_are_no_question() -> None:
    outcome, found = read(["01/01/2024", "02/02/2024"])
    assert isinstance(outcome, Readable)
    assert found == [datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 2, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("values", "problem", "looks"),
    [
        (
            ["25/12/2023", "n/a", "26/12/2023", "soon", "n/a"],
            "as `%d/%m/%Y`, 2 of its 5 values can be read, but not 'n/a' (row 2), 'soon' (row 4)",
            True,
        ),
        (
            ["25/12/2023", "13/12/2023", None, "31/02/2023"],
            "as `%d/%m/%Y`, 2 of its 3 values can be read, but not '31/02/2023' (row 4)",
            True,
        ),
        (["2024-03-05", "13/03/2024"], "as ISO, 1 of its 2 values can be read, but not '13/", True),
        (
            [1_709_640_000, 0, 1],
            "as seconds, 1 of its 3 values can be read, but not 0 (row 2)",
            False,
        ),
        ([1_709_640_000, 1_709_640_001, -1], "but not -1 (row 3)", True),
        (["2024-03", "2024-04"], "it has values such as '2024-03' (row 1)", True),
        (["5 mars 2024"], "'5 mars 2024' (row 1)", True),
        (["week 3 of 2023"], "'week 3 of 2023' (row 1)", True),
        (["10:15:00"], "'10:15:00' (row 1)", False),
        (["monday", "friday"], "'monday' (row 1), 'friday' (row 2)", False),
        (["epoch", "infinity"], "'epoch' (row 1)", False),
        ([3.5], "3.5 (row 1)", False),
        ([45_356.5], "45356.5 (row 1), which may be days since 1899-12-30", True),
        ([45_356], "45356 (row 1), which may be days since 1899-12-30", True),
        ([45_356.123], "45356.123 (row 1)", False),
        ([45_356.5, 12.5], "45356.5 (row 1), 12.5 (row 2)", False),
        ([99_999_999], "99999999 (row 1)", False),
        (["1.2.3"], "'1.2.3' (row 1)", False),
        (["05/03/1024"], "'05/03/1024' (row 1)", False),
        (["12/31/2023 13:00 PM"], "'12/31/2023 13:00 PM' (row 1)", True),
    ],
)
def test_what_cannot_be_read_is_said_with_its_rows(
    values: list[Any], problem: str, looks: bool
) -> None:
    outcome, _ = read(values)
    assert isinstance(outcome, Unreadable), outcome
    assert problem in outcome.problem
    assert outcome.looks_like_time == looks


@pytest.mark.parametrize(
    ("values", "time_format", "expected"),
    [
        (["03/04/2024"], "%d/%m/%Y", datetime(2024, 4, 3, tzinfo=UTC)),
        (["03/04/2024"], "%m/%d/%Y", datetime(2024, 3, 4, tzinfo=UTC)),
        (["2024-03-04"], "%Y-%d-%m", datetime(2024, 4, 3, tzinfo=UTC)),
        (["05/03/1924"], "%d/%m/%Y", datetime(1924, 3, 5, tzinfo=UTC)),
        (["5/3/24"], "%-d/%-m/%y", datetime(2024, 3, 5, tzinfo=UTC)),
        ([50324], "%d%m%y", None),
        ([20240305], "%Y%m%d", datetime(2024, 3, 5, tzinfo=UTC)),
        ([20240305.0], "%Y%m%d", datetime(2024, 3, 5, tzinfo=UTC)),
        (["2024-065"], "%Y-%j", datetime(2024, 3, 5, tzinfo=UTC)),
        ([86_400], "seconds", datetime(1970, 1, 2, tzinfo=UTC)),
        (["86400"], "seconds", datetime(1970, 1, 2, tzinfo=UTC)),
        ([86_400_000.5], "milliseconds", datetime(1970, 1, 2, 0, 0, 0, 500, UTC)),
        ([1_709_640_000_000], "seconds", None),
        (["25/12/2023"], "%m/%d/%Y", None),
        (["2024-03-05"], "%d/%m/%Y", datetime(2024, 3, 5, tzinfo=UTC)),
        (["25/12/2023"], "seconds", None),
        ([1.5], "%Y%m%d", None),
    ],
)
def test_the_format_that_the_user_named_decides(
    values: list[Any], time_format: str, expected: datetime | None
) -> None:
    outcome, found = read(values, time_format)
    if expected is None:
        assert isinstance(outcome, Unreadable)
        assert "(row 1)" in outcome.problem
    else:
        assert found == [expected]


@pytest.mark.parametrize(
    ("time_format", "message"),
    [
        ("iso", "'iso' has no year"),
        ("%H:%M", "has no year"),
        ("%Y-%Q", "'%Y-%Q' is no format: .*%Q"),
        ("ms", "or a unit: seconds, milliseconds, microseconds, nanoseconds"),
    ],
)
def test_a_format_that_is_none_is_refused(time_format: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_format(connected(), time_format)


def test_the_patterns_are_stricter_than_strptime() -> None:
    """DuckDB reads `2024115` as `%Y%m%d`, `24-3-5` as `%Y-%m-%d` and `epoch` as any format."""
    for text, format_ in (("2024115", "%Y%m%d"), ("24-3-5", "%Y-%m-%d"), ("epoch", "%Y")):
        pattern = pattern_of(format_, guessed=False)
        query = (
            f"SELECT try_strptime('{text}', '{format_}'), regexp_full_match('{text}', '{pattern}')"
        )
        moment, fits = one_row(connected(), query)
        assert moment is not None
        assert not fits


def test_the_formats_of_digits_name_each_other_s_lengths() -> None:
    assert formats_of("20240305") == ["%Y%m%d"]
    assert formats_of("25122023") == ["%d%m%Y"]
    assert formats_of("12252023") == ["%m%d%Y"]
    assert formats_of("20240305101500123") == ["%Y%m%d%H%M%S%f"]
    assert {format_ for n in range(21) for format_ in formats_of("1" * n)} == set()
    assert set(formats_of("20201111") + formats_of("11112020")) <= set(DIGIT_FORMATS)


@pytest.mark.parametrize(
    "name",
    [
        *("timestamp", "ts_ms", "time_ms", "unix_timestamp", "utc", "epoch_ms", "click_time"),
        *("clicked_at", "viewed_at", "purchased_at", "ordered_at", "rated_at", "purchase_date"),
        *("order_date", "invoice_date", "event_ts", "server_timestamp", "unix_review_time", "when"),
        *("date_added", "date_time", "time_stamp", "event_time_(utc)", "date/time", "created"),
        *("eventtimestamp", "visit_day", "start_time_s", "run_date"),
    ],
)
def test_the_name_of_a_time(name: str) -> None:
    assert rank_of(name, is_interaction=True) is not None


@pytest.mark.parametrize(
    "name",
    [
        *("t", "x1", "update", "candidate", "lifetime", "weekday", "holiday", "watch_time", "utm"),
        *("play_time_ms", "time_spent", "time_zone", "days", "release_date", "date_of_birth"),
        *("expires_at", "category", "platform", "chat", "year"),
    ],
)
def test_the_name_of_no_time(name: str) -> None:
    assert rank_of(name, is_interaction=True) is None
    assert rank_of(name, is_interaction=False) is None


def test_the_better_name_of_a_time() -> None:
    names = ["event_timestamp", "timestamp", "event_time", "datetime", "time", "ts", "date", "day"]
    for is_interaction in (True, False):
        ranks = [rank_of(name, is_interaction=is_interaction) or 0 for name in names]
        assert ranks == sorted(set(ranks))
    created, updated = (rank_of(n, is_interaction=True) for n in ("created_at", "updated_at"))
    assert created == updated
    assert rank_of("purchase_date", is_interaction=False) is None


def test_what_else_a_name_says() -> None:
    assert [
        name for name in ("t", "ts", "tm", "dt", "t1", "to_x", "x", "tea") if is_short(name)
    ] == [*("t", "ts", "tm", "dt", "t1")]
    assert all(map(is_id, ("id", "user_id", "userid", "sku", "session_key", "uuid", "zip_code")))
    assert not any(map(is_id, ("t", "code_x", "when")))
    assert is_property("release_date")
    assert not is_property("order_date")
