"""Counts the values of a column: how many there are, how many differ, how many rows have one."""

from dataclasses import dataclass

import duckdb

from longtail.init.tables.column_readings import Reading
from longtail.init.tables.sql import one_row, quoted

# With more values, the number of different ones is estimated (HyperLogLog, about 2 % off).
_EXACT_UP_TO_VALUES = 2_000_000


@dataclass(frozen=True)
class Profile:
    """The counts of one column.

    Attributes:
        coverage: share of the rows that have a value, in [0, 1]; an empty list is no value.
        num_values: number of values, counting every element of a list; a vector counts as one.
        num_distinct: number of different values; for vectors the same as `num_values`.
        length: mean number of elements in the lists that are not empty, or the length of the
            vectors; 1 for plain values.
    """

    coverage: float
    num_values: int
    num_distinct: int
    length: float


def profile_column(
    connection: duckdb.DuckDBPyConnection, view: str, reading: Reading, num_rows: int
) -> Profile:
    """Return the counts of one readable column.

    Args:
        view: a view that has the column under its own name, as the reading's expression.
        num_rows: number of rows of the view, at least 1.
    """
    column = quoted(reading.name)
    if reading.form in ("strings", "integers"):
        rows, values = one_row(
            connection,
            f"SELECT count(*) FILTER (len({column}) > 0), coalesce(sum(len({column})), 0) "
            f"FROM {view}",
        )
        distinct = _count_distinct("v", values)
        (found,) = one_row(
            connection, f"SELECT {distinct} FROM (SELECT unnest({column}) AS v FROM {view})"
        )
        return Profile(rows / num_rows, values, found, values / max(rows, 1))
    if reading.form == "vector":
        rows, length = one_row(
            connection, f"SELECT count({column}), max(len({column})) FROM {view}"
        )
        return Profile(rows / num_rows, rows, rows, length or 0)
    rows, found = one_row(
        connection, f"SELECT count({column}), {_count_distinct(column, num_rows)} FROM {view}"
    )
    return Profile(rows / num_rows, rows, found, 1)


def _count_distinct(expression: str, num_values: int) -> str:
    if num_values <= _EXACT_UP_TO_VALUES:
        return f"count(DISTINCT {expression})"
    return f"approx_count_distinct({expression})"
