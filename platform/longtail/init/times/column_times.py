"""Finds how the times in one column are written.

Each possible format is tried on all values. One that fits them all is the answer; several with
different results are a question for the user.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb

from longtail.init.questions import Choice
from longtail.init.tables.column_readings import Reading
from longtail.init.tables.sql import one_row, quoted
from longtail.init.times.outcomes import MIX, Ambiguous, Outcome, Readable, Unreadable
from longtail.init.times.time_formats import (
    DIGIT_FORMATS,
    ISO,
    UNITS,
    digits_sql,
    formats_of,
    has_day_second,
    is_digits,
    iso_sql,
    looks_like_time,
    strptime_sql,
    text_sql,
    unit_sql,
)

# Values that are looked at before all are: different ones among the first rows.
_SAMPLE_ROWS, _SAMPLE_VALUES = 20_000, 200
# Formats that are tried on all values if none fits the sample.
_TRIED = 4
# Smallest share of the values that look like times, from which a column is one.
_LIKELY = 0.5
_SHOWN = 3
# A spreadsheet's days of 1970 and 2100, and how far seconds in 64-bit days are from whole ones.
_DAYS, _CLOSE = (25_569, 73_050), 0.001


@dataclass(frozen=True)
class _Way:
    """One way to read a column: the format, and SQL over the view of readings."""

    format: str
    expression: str

    @property
    def is_number(self) -> bool:
        return self.format in (*UNITS, *DIGIT_FORMATS, MIX)

    @property
    def title(self) -> str:
        return f"as `{self.format}`" if self.format.startswith("%") else f"as {self.format}"


def read_times(
    connection: duckdb.DuckDBPyConnection, view: str, reading: Reading, time_format: str | None
) -> Outcome:
    """Return how the times in a column are to be read.

    Args:
        view: the view of the table's readings.
        time_format: a strptime format or a unit that the user named. Real timestamps, and texts
            that are plainly ISO where the format fits none of them, are read without it.
    """
    if reading.form == "moment":
        return Readable("", quoted(reading.name), reading.note)
    if reading.form == "unreadable":
        return Unreadable(reading.reason, looks_like_time=False)
    if reading.form not in ("string", "integer", "number"):
        return Unreadable(f"it holds {reading.form} values", looks_like_time=False)
    sample = _sample(connection, view, reading)
    if not sample:
        return Unreadable("it has no value at all", looks_like_time=False)
    if time_format is not None:
        forced = list(_forced(reading, time_format))
        outcome = _decide(connection, view, reading, sample, forced, is_forced=True)
        if isinstance(outcome, Readable):
            return outcome
    # Most texts are ISO, and no other format that fits ISO texts reads them otherwise.
    if reading.form == "string":
        iso = _Way(ISO, iso_sql(_text_of(reading)))
        known, fits = _count(connection, view, reading, [iso])
        if known == fits:
            return Readable(ISO, iso.expression, *_explain(connection, view, reading, iso))
    if time_format is not None:
        return outcome
    return _decide(connection, view, reading, sample, list(_guesses(reading, sample)))


def _sample(connection: duckdb.DuckDBPyConnection, view: str, reading: Reading) -> list[str]:
    """Return different values of a column as the formats read them, sorted."""
    column = quoted(reading.name)
    has_text = reading.form == "string" or reading.is_whole
    text = _text_of(reading) if has_text else f"CAST({column} AS VARCHAR)"
    first = f"SELECT {column} FROM {view} WHERE {column} IS NOT NULL LIMIT {_SAMPLE_ROWS}"
    rows = connection.execute(
        f"SELECT DISTINCT {text} AS v FROM ({first}) ORDER BY v LIMIT {_SAMPLE_VALUES}"
    ).fetchall()
    return [value for (value,) in rows]


def _text_of(reading: Reading) -> str:
    """Return SQL for the values as text: prepared texts, or the digits of whole numbers."""
    column = quoted(reading.name)
    if reading.form == "string":
        return text_sql(column)
    return f"CAST(CAST({column} AS BIGINT) AS VARCHAR)"


def _guesses(reading: Reading, sample: Sequence[str]) -> Iterator[_Way]:
    """Yield the ways that the sample allows, better ones first."""
    if reading.form == "string":
        yield _Way(ISO, iso_sql(_text_of(reading)))
    if reading.form != "string" or any(is_digits(text) for text in sample):
        units = list(_unit_ways(reading))
        yield from units
        yield _Way(MIX, f"coalesce({', '.join(_sql_of(units))})")
    if reading.form == "string" or reading.is_whole:
        counts = Counter(format_ for text in sample for format_ in formats_of(text))
        fitting = [format_ for format_ in counts if counts[format_] == len(sample)]
        for format_ in fitting or [format_ for format_, _ in counts.most_common(_TRIED)]:
            yield _Way(format_, strptime_sql(_text_of(reading), format_))


def _forced(reading: Reading, time_format: str) -> Iterator[_Way]:
    """Yield the way that the user named, if it can be one for such a column at all."""
    if time_format in UNITS:
        units = _unit_ways(reading, guessed=False)
        yield from (way for way in units if way.format == time_format)
    elif reading.form == "string" or reading.is_whole:
        # The format may spell out what `text_sql` makes alike, so the text as it is comes second.
        texts = [_text_of(reading)]
        texts += [f"trim({quoted(reading.name)})"] if reading.form == "string" else []
        ways = [strptime_sql(text, time_format, guessed=False) for text in texts]
        yield _Way(time_format, f"coalesce({', '.join(ways)})")


def _unit_ways(reading: Reading, *, guessed: bool = True) -> Iterator[_Way]:
    """Yield a way for each unit of the time since 1970."""
    column, is_whole = quoted(reading.name), reading.form == "integer"
    for unit in UNITS:
        if reading.form == "string":
            yield _Way(unit, digits_sql(_text_of(reading), unit, guessed=guessed))
        else:
            yield _Way(unit, unit_sql(column, unit, is_whole=is_whole, guessed=guessed))


def _decide(
    connection: duckdb.DuckDBPyConnection,
    view: str,
    reading: Reading,
    sample: Sequence[str],
    ways: Sequence[_Way],
    *,
    is_forced: bool = False,
) -> Outcome:
    """Return the outcome of trying the ways on all values."""
    known, *fits = _count(connection, view, reading, ways)
    fitting = [way for way, count in zip(ways, fits, strict=True) if count == known]
    # A column is a mix only where no unit fits alone. Nobody writes the day between year and month
    # where the usual order fits as well.
    for is_odd in (lambda way: way.format == MIX, lambda way: has_day_second(way.format)):
        fitting = [way for way in fitting if not is_odd(way)] or fitting
    if not fitting:
        if reading.form != "string" and not is_forced and not any(fits):
            days = _spreadsheet_days(connection, view, reading)
            if days is not None:
                return days
        share = max(fits, default=0) / known
        best = ways[fits.index(max(fits))] if share else None
        return Unreadable(
            _describe_misfits(connection, view, reading, best),
            looks_like_time=share >= _LIKELY or _look_like_times(sample),
            is_number=reading.form != "string" or (best is not None and best.is_number),
            share_like_time=share,
            is_read=share > 0,
        )
    different = _different(connection, view, fitting)
    if len(different) > 1:
        return Ambiguous(_choices(connection, view, reading, different))
    note, is_guess = _explain(connection, view, reading, different[0])
    return Readable(different[0].format, different[0].expression, note, is_guess and not is_forced)


def _spreadsheet_days(
    connection: duckdb.DuckDBPyConnection, view: str, reading: Reading
) -> Unreadable | None:
    """Return why numbers that look like a spreadsheet's days are not read; None if they do not.

    Spreadsheets count days since 1899-12-30, and a time of day is a fraction. Fractions that are
    whole seconds are no accident, unless they have two digits like those of a price.
    """
    column, seconds = quoted(reading.name), f"{quoted(reading.name)} * 86400"
    known, in_range, exact, prices = one_row(
        connection,
        f"SELECT count({column}), count(*) FILTER ({column} BETWEEN {_DAYS[0]} AND {_DAYS[1]}), "
        f"count(*) FILTER (abs({seconds} - round({seconds})) < {_CLOSE}), "
        f"count(*) FILTER ({column} = round({column}, 2)) FROM {view}",
    )
    if in_range < known or exact < known:
        return None
    problem = _describe_misfits(connection, view, reading, None)
    return Unreadable(
        f"{problem}, which may be days since 1899-12-30, as spreadsheets count them",
        looks_like_time=True,
        is_number=True,
        share_like_time=float(prices < known),
    )


def _count(
    connection: duckdb.DuckDBPyConnection, view: str, reading: Reading, ways: Sequence[_Way]
) -> tuple[int, ...]:
    """Return how many values a column has, and how many of them each way reads."""
    counts = ", ".join(f"count({sql})" for sql in (quoted(reading.name), *_sql_of(ways)))
    return one_row(connection, f"SELECT {counts} FROM {view}")


def _sql_of(ways: Sequence[_Way]) -> list[str]:
    return [way.expression for way in ways]


def _look_like_times(sample: Sequence[str]) -> bool:
    return sum(looks_like_time(text) for text in sample) >= _LIKELY * len(sample)


def _describe_misfits(
    connection: duckdb.DuckDBPyConnection, view: str, reading: Reading, best: _Way | None
) -> str:
    """Return the first values that the best way does not fit, with their rows."""
    column = quoted(reading.name)
    expression = "NULL" if best is None else best.expression
    rows = connection.execute(
        f"SELECT CAST({column} AS VARCHAR), min(n) FROM (SELECT {column}, {expression} AS moment, "
        f"row_number() OVER () AS n FROM {view}) WHERE {column} IS NOT NULL AND moment IS NULL "
        f"GROUP BY 1 ORDER BY 2 LIMIT {_SHOWN}"
    ).fetchall()
    quote = repr if reading.form == "string" else str
    listed = ", ".join(f"{quote(value)} (row {row})" for value, row in rows)
    if best is None:
        return f"it has values such as {listed}"
    count, known = one_row(connection, f"SELECT count({expression}), count({column}) FROM {view}")
    return f"{best.title}, {count:,} of its {known:,} values can be read, but not {listed}"


def _different(
    connection: duckdb.DuckDBPyConnection, view: str, ways: Sequence[_Way]
) -> list[_Way]:
    """Return one of each group of ways that read all values alike, in the same order."""
    kept: list[_Way] = []
    for way in ways:
        pairs = [
            f"count(*) FILTER ({way.expression} IS DISTINCT FROM {other.expression})"
            for other in kept
        ]
        if not pairs or all(one_row(connection, f"SELECT {', '.join(pairs)} FROM {view}")):
            kept.append(way)
    return kept


def _choices(
    connection: duckdb.DuckDBPyConnection, view: str, reading: Reading, ways: Sequence[_Way]
) -> tuple[Choice, ...]:
    """Return a choice for each way, with a value that all of them read differently, if any does."""
    column, columns = quoted(reading.name), [f"m{number}" for number in range(len(ways))]
    read = ", ".join(f"{sql} AS {name}" for sql, name in zip(_sql_of(ways), columns, strict=True))
    differ = f"len(list_distinct([{', '.join(columns)}]))"
    shown = ", ".join(f"strftime({name}, '%-d %B %Y, %H:%M')" for name in columns)
    value, *moments = one_row(
        connection,
        f"SELECT CAST({column} AS VARCHAR), {shown} FROM (SELECT {column}, {read}, row_number() "
        f"OVER () AS n FROM {view}) ORDER BY {differ} DESC, n LIMIT 1",
    )
    return tuple(
        Choice(way.format, f"{value!r} is then {moment.removesuffix(', 00:00')}")
        for way, moment in zip(ways, moments, strict=True)
    )


def _explain(
    connection: duckdb.DuckDBPyConnection, view: str, reading: Reading, way: _Way
) -> tuple[str, bool]:
    """Return how the values are read, in words, and whether a person should look at it."""
    if way.format == ISO:
        return "ISO dates in text, read as UTC unless they name a zone", False
    if way.format in UNITS:
        return f"{way.format} since 1970, read as timestamps", False
    if way.format == MIX:
        units = list(_unit_ways(reading))
        counted = ", ".join(f"count({sql})" for sql in _sql_of(units))
        counts = one_row(connection, f"SELECT {counted} FROM {view}")
        listed = [f"{n:,} in {u.format}" for n, u in zip(counts, units, strict=True) if n]
        return f"a mix of units since 1970, each value read by its own: {', '.join(listed)}", True
    stored = "text" if reading.form == "string" else "numbers"
    zone = "" if re.search("%[zZ]", way.format) else ", read as UTC"
    return f"{stored} in the format {way.format}{zone}", True
