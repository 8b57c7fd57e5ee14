"""Opens one of the three tables, so that the later steps can query its values through a view."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from longtail.errors import InputError
from longtail.init.tables.column_readings import Reading, read_columns
from longtail.init.tables.raw_tables import RawTable, Role, open_raw_table
from longtail.init.tables.sql import quoted
from longtail.init.time_columns import Moment, find_moment


@dataclass(frozen=True)
class OpenedTable:
    """One of the three tables, with the readings of its columns.

    Attributes:
        raw: the table as it is stored.
        view: the name of a DuckDB view. It has each readable column under its own name, as the
            reading's expression.
        readings: the readings of all columns, including the unreadable ones.
        moment: the timestamp of its rows.
        wanted_key: the key columns that the user named, in this table and in the interactions.
            In the interactions' own entry, the second one is the id of queries without a table.
    """

    raw: RawTable
    view: str
    readings: Sequence[Reading]
    moment: Moment
    wanted_key: tuple[str | None, str | None] = (None, None)

    def id_text(self, column: str) -> str:
        """Return SQL for the ids in one of the columns, as text."""
        return id_text(next(reading for reading in self.readings if reading.name == column))


def open_table(
    connection: duckdb.DuckDBPyConnection,
    role: Role,
    path: Path,
    scratch: Path,
    *,
    timestamp: str | None,
    wanted_key: tuple[str | None, str | None],
) -> OpenedTable:
    """Open a table, and create the view of its readings.

    Args:
        path: a Parquet or CSV file, or a folder of either.
        scratch: an existing folder for copies of CSV files.
        timestamp: the timestamp column that the user named, if any.
        wanted_key: see `OpenedTable`.

    Raises:
        InputError: the table cannot be used, no column can be read, or the timestamps are unusable.
    """
    raw = open_raw_table(role, path, scratch, connection)
    readings = read_columns(connection, raw)
    readable = [reading for reading in readings if reading.form != "unreadable"]
    if not readable:
        raise InputError(f"{path} has no column of ids: its columns are {', '.join(raw.names)}")
    view = f"{role}_read"
    columns = ", ".join(f"{r.expression} AS {quoted(r.name)}" for r in readable)
    connection.execute(f"CREATE VIEW {view} AS SELECT {columns} FROM {raw.relation}")
    moment = find_moment(connection, raw, view, readable, timestamp)
    return OpenedTable(raw, view, readings, moment, wanted_key)


def id_text(reading: Reading) -> str:
    """Return SQL for the ids in a column, as text: 7, 7.0 and '7' are the same id."""
    if reading.form == "number":
        return f"CAST(CAST({quoted(reading.name)} AS BIGINT) AS VARCHAR)"
    return f"CAST({quoted(reading.name)} AS VARCHAR)"
