"""Checks that the three tables fit each other, and refuses those that do not."""

import duckdb

from longtail.errors import InputError
from longtail.init.keys.key import Key
from longtail.init.opened_table import OpenedTable
from longtail.init.tables.sql import one_row, quoted


def check_complete(connection: duckdb.DuckDBPyConnection, table: OpenedTable, column: str) -> None:
    """Refuse a key column with missing values.

    Raises:
        InputError: a row has no value in the column.
    """
    (missing,) = one_row(connection, f"SELECT count(*) - count({quoted(column)}) FROM {table.view}")
    if missing:
        raise InputError(
            f"column `{column}` of {table.raw.path} is missing in {missing} of "
            f"{table.raw.num_rows} rows: fill it in, or drop these rows"
        )


def has_repeats(connection: duckdb.DuckDBPyConnection, table: OpenedTable, column: str) -> bool:
    """Return whether some rows are given more than once, equal in every column.

    Args:
        column: the key of the table.

    Raises:
        InputError: two different rows have the same key and timestamp.
    """
    key, moment = table.id_text(column), table.moment.expression
    states, rows = one_row(
        connection,
        f"SELECT (SELECT count(*) FROM (SELECT DISTINCT {key}, {moment} FROM {table.view})), "
        f"count(*) FROM {table.view}",
    )
    if states == rows:
        return False
    # Copies of a row do no harm, because they are written once. Different values for one key do:
    # nothing says which of them is true.
    (different,) = one_row(
        connection, f"SELECT count(*) FROM (SELECT DISTINCT * FROM {table.view})"
    )
    if different == states:
        return True
    example, times = one_row(
        connection,
        f"SELECT {key} AS k, count(*) AS n FROM (SELECT DISTINCT * FROM {table.view}) "
        f"GROUP BY {key}, {moment} HAVING n > 1 ORDER BY n DESC, k LIMIT 1",
    )
    when = "with one timestamp" if table.moment.column else "and no timestamp tells them apart"
    raise InputError(
        f"{table.raw.path} has {rows - states} rows too many: `{column}` = {example!r} is in "
        f"{times} different rows {when}: keep one row per key, collect the values that differ into "
        "a list, or name the column of timestamps with --time-column"
    )


def share_unknown(
    connection: duckdb.DuckDBPyConnection, table: OpenedTable, key: Key, interactions: OpenedTable
) -> float:
    """Return the share of the interactions that name an id without a row in the table, in [0, 1].

    It is 0 if the ids come from the interactions themselves.
    """
    if key.column is None:
        return 0.0
    own = table.id_text(key.column)
    asked = interactions.id_text(key.interactions_column)
    unknown, total = one_row(
        connection,
        f"SELECT count(*) FILTER ({asked} NOT IN (SELECT {own} FROM {table.view})), count(*) "
        f"FROM {interactions.view}",
    )
    return float(unknown / total)
