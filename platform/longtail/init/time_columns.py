"""Finds the column that says when a row became true, and converts it to timestamps in UTC."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from longtail.errors import InputError
from longtail.init.tables.column_readings import Reading
from longtail.init.tables.raw_tables import RawTable
from longtail.init.tables.sql import one_row, quoted

EPOCH = "TIMESTAMPTZ '1970-01-01 00:00:00+00'"
# Best first. Under any other name, a date may be a property of the item, such as its release.
_KNOWN_NAMES = (
    *("event_timestamp", "timestamp", "event_time", "datetime", "time", "ts", "date", "day"),
    *("valid_from", "updated_at", "modified_at", "created_at", "occurred_at", "last_updated"),
    *("event_date", "unix_time", "unixtime", "epoch", "created", "updated", "at"),
)
# Seconds from 1970 to 1990-01-01 and to 2100-01-01. An integer between them may be a timestamp.
_EARLIEST, _LATEST = 631_152_000, 4_102_444_800
_UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}


@dataclass(frozen=True)
class Moment:
    """The timestamp of a table's rows.

    Attributes:
        column: the column that holds it; None if a constant is used instead.
        expression: SQL for a TIMESTAMPTZ, over the view of the table's readings.
        note: how the column was converted, or why a constant is used; in words for the user.
    """

    column: str | None
    expression: str
    note: str


def snake_case(name: str) -> str:
    """Return a name in snake case: `createdAt` -> `created_at`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[\s\-.]+", "_", spaced).lower()


def find_moment(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    view: str,
    readings: Sequence[Reading],
    wanted: str | None,
) -> Moment:
    """Return the timestamp of a table's rows.

    It comes from the column that the user named, else from the first column that has both a known
    name and values that can be timestamps. In the interactions, the only column of type timestamp
    or date is taken whatever its name is.

    Args:
        view: the view of the table's readings.
        wanted: the column that the user named; a table without this column has no timestamp.

    Raises:
        InputError: the values of the wanted column cannot be timestamps, or some are missing.
    """
    by_name = {reading.name: reading for reading in readings}
    if wanted is not None:
        if wanted not in by_name:
            return _absent()
        moment = _as_moment(connection, view, by_name[wanted])
        if moment is None:
            raise InputError(
                f"column `{wanted}` of {table.path} holds no timestamps: name a column of "
                "timestamps, dates, ISO texts or integer seconds since 1970 with --timestamp"
            )
        return _complete(connection, table, view, moment)
    # Reversed, so that the first of two columns with one name in snake case wins.
    named = {snake_case(reading.name): reading for reading in reversed(readings)}
    candidates = [named[name] for name in _KNOWN_NAMES if name in named]
    # An interaction happens at a moment and has no other dates, so its name needs no check.
    moments = [reading for reading in readings if reading.form == "moment"]
    if table.role == "interactions" and len(moments) == 1:
        candidates = [*moments, *candidates]
    for reading in candidates:
        moment = _as_moment(connection, view, reading)
        if moment is not None:
            return _complete(connection, table, view, moment)
    return _absent()


def _absent() -> Moment:
    return Moment(None, EPOCH, "no timestamps: 1970-01-01 is used for all rows")


def _as_moment(connection: duckdb.DuckDBPyConnection, view: str, reading: Reading) -> Moment | None:
    column = quoted(reading.name)
    if reading.form == "moment":
        return Moment(reading.name, column, reading.note)
    if reading.form == "string":
        cast = f"TRY_CAST({column} AS TIMESTAMPTZ)"
        known, cast_well = one_row(connection, f"SELECT count({column}), count({cast}) FROM {view}")
        if known and known == cast_well:
            note = "ISO dates in text, read as UTC unless they name a zone"
            return Moment(reading.name, cast, note)
    # The ranges of the units do not overlap, so at most one unit fits.
    if reading.is_whole:
        lowest, highest = one_row(connection, f"SELECT min({column}), max({column}) FROM {view}")
        if lowest is None:  # every row is null
            return None
        for unit, scale in _UNITS.items():
            if lowest >= _EARLIEST * scale and highest <= _LATEST * scale:
                micros = f"CAST({column} AS BIGINT)"
                micros += f" * {10**6 // scale}" if scale <= 10**6 else f" // {scale // 10**6}"
                expression = f"CAST(make_timestamp({micros}) AS TIMESTAMPTZ)"
                return Moment(reading.name, expression, f"{unit} since 1970, read as timestamps")
    return None


def _complete(
    connection: duckdb.DuckDBPyConnection, table: RawTable, view: str, moment: Moment
) -> Moment:
    (missing,) = one_row(
        connection, f"SELECT count(*) FILTER (({moment.expression}) IS NULL) FROM {view}"
    )
    if missing:
        raise InputError(
            f"column `{moment.column}` of {table.path} is missing in {missing} of "
            f"{table.num_rows} rows: fill it in, drop these rows, or name another column with "
            "--timestamp"
        )
    return moment
