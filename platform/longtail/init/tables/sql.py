"""The few words of SQL that every step needs."""

from typing import Any

import duckdb


def quoted(name: str) -> str:
    """A column's name."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text."""
    return "'" + text.replace("'", "''") + "'"


def one_row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """The only row of a query that aggregates."""
    row = connection.execute(query).fetchone()
    assert row is not None
    return row
