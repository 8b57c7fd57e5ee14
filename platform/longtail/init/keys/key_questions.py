"""Asks which columns are the keys, where the tables do not decide it."""

from collections.abc import Sequence
from typing import Literal

import duckdb

from longtail.init.keys.key import Key
from longtail.init.opened_table import OpenedTable
from longtail.init.questions import Choice, OpenQuestion
from longtail.init.tables.sql import one_row

# Values that a choice shows.
_NUM_SAMPLES = 3


def ask_if_open(
    connection: duckdb.DuckDBPyConnection,
    interactions: OpenedTable,
    table: OpenedTable | None,
    role: Literal["items", "queries"],
    keys: Sequence[Key],
    chosen: Key,
) -> None:
    """Raise the question which of several keys is meant; nothing if all of them are one.

    Raises:
        OpenQuestion: at least two different keys fit.
    """
    different: list[Key] = [chosen]
    for key in keys:
        if not any(_is_same(connection, interactions, table, key, other) for other in different):
            different.append(key)
    if len(different) == 1:
        return
    names, path = interactions.raw.names, interactions.raw.path
    different.sort(key=lambda key: names.index(key.interactions_column))
    samples = [_sample(connection, interactions, key.interactions_column) for key in different]
    if table is None:
        question = f"which column of {path} says who asks (the query, the user, the session)"
        answers = [key.interactions_column for key in different]
    else:
        question = f"which columns hold the ids of the {role}, in {table.raw.path} and in {path}"
        answers = [f"{key.column}={key.interactions_column}" for key in different]
    choices = [Choice(answer, sample) for answer, sample in zip(answers, samples, strict=True)]
    raise OpenQuestion(question, "item_key" if role == "items" else "query_key", choices)


def _is_same(
    connection: duckdb.DuckDBPyConnection,
    interactions: OpenedTable,
    table: OpenedTable | None,
    one: Key,
    other: Key,
) -> bool:
    """Return whether two keys name the same columns, or columns that are equal in every row."""
    same_there = _equal(
        connection,
        interactions,
        one.interactions_column,
        other.interactions_column,
    )
    if table is None or one.column is None or other.column is None:
        return same_there
    return same_there and _equal(connection, table, one.column, other.column)


def _equal(connection: duckdb.DuckDBPyConnection, table: OpenedTable, one: str, other: str) -> bool:
    if one == other:
        return True
    (different,) = one_row(
        connection,
        f"SELECT count(*) FILTER ({table.id_text(one)} IS DISTINCT FROM {table.id_text(other)}) "
        f"FROM {table.view}",
    )
    return not different


def _sample(connection: duckdb.DuckDBPyConnection, table: OpenedTable, column: str) -> str:
    """Return the number of different values of a column and a few of them, in words."""
    text = table.id_text(column)
    (distinct,) = one_row(connection, f"SELECT count(DISTINCT {text}) FROM {table.view}")
    values = connection.execute(
        f"SELECT DISTINCT {text} AS v FROM {table.view} WHERE v IS NOT NULL ORDER BY v "
        f"LIMIT {_NUM_SAMPLES}"
    ).fetchall()
    return f"`{column}` has {distinct:,} different values, such as " + ", ".join(
        value for (value,) in values
    )
