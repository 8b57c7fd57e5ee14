"""Which column says when a row became true, and how it becomes a timestamp in UTC."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from longtail.errors import InputError
from longtail.init.tables.column_readings import Reading
from longtail.init.tables.raw_tables import RawTable
from longtail.init.tables.sql import one_row, quoted

EPOCH = "TIMESTAMPTZ '1970-01-01 00:00:00+00'"
# Best first. A column with another name may be a date that says something about the item.
_KNOWN_NAMES = (
    *("event_timestamp", "timestamp", "event_time", "datetime", "time", "ts", "date", "day"),
    *("valid_from", "updated_at", "modified_at", "created_at", "occurred_at", "last_updated"),
    *("event_date", "unix_time", "unixtime", "epoch", "created", "updated", "at"),
)
# Seconds since 1970 of 1990-01-01 and 2100-01-01: what an integer must lie between.
_EARLIEST, _LATEST = 631_152_000, 4_102_444_800
_UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}


@dataclass(frozen=True)
class Moment:
    """The timestamp of a table's rows.

    Attributes:
        column: where it stands, or None where the table has none.
        expression: SQL for TIMESTAMPTZ, over the view of readings.
        note: what is done about it.
    """

    column: str | None
    expression: str
    note: str


def snake_case(name: str) -> str:
    """`createdAt` -> `created_at`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[\s\-.]+", "_", spaced).lower()


def find_moment(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    view: str,
    readings: Sequence[Reading],
    wanted: str | None,
) -> Moment:
    """The timestamp column of a table: the wanted one, or the one whose name and values say so.

    Interactions may call it anything, if it is their only column of moments.

    Args:
        wanted: a name that the user gave; tables without it have no timestamp.

    Raises:
        InputError: the wanted column holds no moments, or a moment is missing.
    """
    by_name = {reading.name: reading for reading in readings}
    if wanted is not None:
        if wanted not in by_name:
            return _absent()
        moment = _as_moment(connection, view, by_name[wanted])
        if moment is None:
            raise InputError(
                f"column `{wanted}` of {table.path} holds no timestamps: give --timestamp a column "
                "of timestamps, dates, ISO texts or integer seconds since 1970"
            )
        return _complete(connection, table, view, moment)
    named = {snake_case(reading.name): reading for reading in reversed(readings)}
    candidates = [named[name] for name in _KNOWN_NAMES if name in named]
    moments = [reading for reading in readings if reading.form == "moment"]
    if table.role == "interactions" and len(moments) == 1:
        candidates = [*moments, *candidates]
    for reading in candidates:
        moment = _as_moment(connection, view, reading)
        if moment is not None:
            return _complete(connection, table, view, moment)
    return _absent()


def _absent() -> Moment:
    return Moment(None, EPOCH, "no timestamps: 1970-01-01 is put in")


def _as_moment(connection: duckdb.DuckDBPyConnection, view: str, reading: Reading) -> Moment | None:
    column = quoted(reading.name)
    if reading.form == "moment":
        return Moment(reading.name, column, reading.note)
    if reading.form == "string":
        cast = f"TRY_CAST({column} AS TIMESTAMPTZ)"
        known, cast_well = one_row(connection, f"SELECT count({column}), count({cast}) FROM {view}")
        if known and known == cast_well:
            note = "ISO dates in text, taken as UTC where they name no zone"
            return Moment(reading.name, cast, note)
    if reading.is_whole:
        lowest, highest = one_row(connection, f"SELECT min({column}), max({column}) FROM {view}")
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
