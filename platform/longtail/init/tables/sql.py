"""Quoting for SQL, and a query for one row of results."""

from typing import Any

import duckdb


def quoted(name: str) -> str:
    """Return a column's name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a string as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def one_row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """Return the only row of an aggregating query."""
    row = connection.execute(query).fetchone()
    assert row is not None
    return row
