"""Opens one of the three tables, so that the later steps can query its values through a view."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import duckdb

from longtail.errors import InputError
from longtail.init.keys.id_rules import apply_rules
from longtail.init.tables.column_readings import Reading, read_columns
from longtail.init.tables.raw_tables import RawTable, Role
from longtail.init.tables.sql import quoted
from longtail.init.times.time_columns import Moment, find_moment

# What follows a column's name in the view, for the text before it was split into a list.
_UNSPLIT = " (unsplit)"


@dataclass(frozen=True)
class ReadingOptions:
    """The user's word on how all three tables are read.

    Attributes:
        time_column: the column of timestamps, in every table that has a column of this name.
        time_formats: the forms of the timestamps; see `times/time_formats.py`.
        id_rules: see `OpenedTable`.
        ignore: columns to treat as if they were not there: `COLUMN` in any table, or
            `TABLE.COLUMN`.
    """

    time_column: str | None = None
    time_formats: tuple[str, ...] = ()
    id_rules: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def ignored_in(self, role: Role, names: Collection[str]) -> frozenset[str]:
        """Return the columns of a table that are ignored."""
        return frozenset(n for n in names if n in self.ignore or f"{role}.{n}" in self.ignore)


@dataclass(frozen=True)
class OpenedTable:
    """One of the three tables, with the readings of its columns.

    Attributes:
        raw: the table as it is stored.
        view: the name of a DuckDB view. It has each readable column under its own name, as the
            reading's expression; texts that were split into lists once more, unsplit.
        readings: the readings of all columns, including the unreadable ones.
        moment: the timestamp of its rows.
        wanted_key: the key columns that the user named, in this table and in the interactions.
            In the interactions' own entry, the second one is the id of queries without a table.
        id_rules: the rules of `keys/id_rules.py` that every id goes through.
    """

    raw: RawTable
    view: str
    readings: Sequence[Reading]
    moment: Moment
    wanted_key: tuple[str | None, str | None] = (None, None)
    id_rules: tuple[str, ...] = ()

    def id_text(self, column: str) -> str:
        """Return SQL for the ids in one of the columns, as text: 7, 7.0 and '7' are the same id."""
        reading = next(reading for reading in self.readings if reading.name == column)
        text = f"CAST({quoted(column + _UNSPLIT if reading.text else column)} AS VARCHAR)"
        if reading.form == "number":
            text = f"CAST(CAST({quoted(column)} AS BIGINT) AS VARCHAR)"
        return apply_rules(text, self.id_rules)


def open_table(
    connection: duckdb.DuckDBPyConnection,
    raw: RawTable,
    reading: ReadingOptions,
    wanted_key: tuple[str | None, str | None] = (None, None),
) -> OpenedTable:
    """Open a table, and create the view of its readings.

    Args:
        raw: the table as it is stored.
        reading: what the user said about the tables.
        wanted_key: see `OpenedTable`.

    Raises:
        OpenQuestion: the timestamps can be read in several ways.
        InputError: the table cannot be used, no column can be read, or the timestamps are unusable.
    """
    ignored = reading.ignored_in(raw.role, raw.names)
    readings = [
        replace(each, form="unreadable", reason="it is ignored, as --ignore says", is_whole=False)
        if each.name in ignored
        else each
        for each in read_columns(connection, raw)
    ]
    readable = [each for each in readings if each.form != "unreadable"]
    if not readable:
        raise InputError(f"{raw.path} has no column of ids: its columns are {', '.join(raw.names)}")
    view = f"{raw.role}_read"
    columns = [f"{r.expression} AS {quoted(r.name)}" for r in readable]
    columns += [f"{r.text} AS {quoted(r.name + _UNSPLIT)}" for r in readable if r.text]
    connection.execute(f"CREATE VIEW {view} AS SELECT {', '.join(columns)} FROM {raw.relation}")
    moment = find_moment(connection, raw, view, readings, reading.time_column, reading.time_formats)
    return OpenedTable(raw, view, readings, moment, wanted_key, reading.id_rules)
