"""Finds columns of row numbers, as pandas, R and spreadsheets write them beside the data."""

import re
from collections.abc import Sequence

import duckdb

from longtail.init.keys.name_evidence import words_of
from longtail.init.tables.column_readings import Reading
from longtail.init.tables.sql import one_row, quoted
from longtail.init.times.time_columns import snake_case

# Names that only a row number has, whatever its values begin with.
_ROW_NAMES = re.compile(
    r"unnamed(_\d+)*|index|level_\d+|__index_level_\d+__|_c\d+|idx|x|column\d+|s_?(r_?)?no|"
    r"(row|line)s?(_?(num|number|no|nr|id|idx|index|names?))?"
)
# Names that a row number may have. Their values must run from 0 or 1 without a gap.
_MAYBE = frozenset(
    (
        "n",
        "no",
        "nr",
        "num",
        "number",
        "nummer",
        "seq",
        "sequence",
        "pos",
        "position",
        "rank",
        "order",
    )
)


def is_row_number(
    connection: duckdb.DuckDBPyConnection, view: str, reading: Reading, num_rows: int
) -> bool:
    """Return whether a column only numbers the rows: a name that says so, and values that fit.

    Args:
        view: a view that has the column under its own name, as the reading's expression.
    """
    name = snake_case(reading.name).replace(":", "")
    surely, maybe = bool(_ROW_NAMES.fullmatch(name)), bool(set(words_of(name)) <= _MAYBE)
    if not (surely or maybe) or not reading.is_whole:
        return False
    column = quoted(reading.name)
    known, distinct, lowest, highest = one_row(
        connection,
        f"SELECT count({column}), count(DISTINCT {column}), min({column}), max({column}) "
        f"FROM {view}",
    )
    if known != num_rows or distinct != num_rows or lowest < 0:
        return False
    return surely or (lowest in (0, 1) and highest - lowest + 1 == num_rows)


def row_number_columns(
    connection: duckdb.DuckDBPyConnection, view: str, readings: Sequence[Reading], num_rows: int
) -> frozenset[str]:
    """Return the columns of a table that only number its rows."""
    return frozenset(
        reading.name
        for reading in readings
        if reading.form != "unreadable" and is_row_number(connection, view, reading, num_rows)
    )
