"""How many values a column has, in how many rows, and how often each."""

from dataclasses import dataclass

import duckdb

from longtail.init.tables.column_readings import Reading
from longtail.init.tables.sql import one_row, quoted

# Distinct values of longer tables are estimated (HyperLogLog, about 2 % off).
_EXACT_UP_TO_ROWS = 2_000_000


@dataclass(frozen=True)
class Profile:
    """Figures of one column.

    Attributes:
        coverage: share of the rows that have a value, in [0, 1]; an empty list is none.
        num_values: values that stand in the column, all elements of lists counted.
        num_distinct: different ones among them.
        length: elements a list that has any, on average; of a vector, always; 1 for plain values.
    """

    coverage: float
    num_values: int
    num_distinct: int
    length: float


def profile_column(
    connection: duckdb.DuckDBPyConnection, view: str, reading: Reading, num_rows: int
) -> Profile:
    """Measure one readable column of a view of readings.

    Args:
        view: a view whose columns are the readings' expressions, under their names.
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
    if num_values <= _EXACT_UP_TO_ROWS:
        return f"count(DISTINCT {expression})"
    return f"approx_count_distinct({expression})"
