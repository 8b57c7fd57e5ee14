"""Finds the columns that identify items and queries, in their tables and in the interactions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import duckdb

from longtail.errors import InputError
from longtail.init.keys.key import Key
from longtail.init.keys.key_questions import ask_if_open
from longtail.init.keys.name_evidence import (
    OWN_WORD,
    is_measure,
    link_ends,
    looks_like_id,
    score_interactions_name,
    score_own_name,
    score_same_name,
)
from longtail.init.keys.row_numbers import row_number_columns
from longtail.init.keys.unmatched_ids import CurableError, explain_unmatched, may_hold_ids
from longtail.init.opened_table import OpenedTable
from longtail.init.questions import Choice, OpenQuestion
from longtail.init.tables.column_readings import Reading
from longtail.init.tables.sql import one_row

# Smallest share of the different ids in the interactions that must have a row in the table.
MIN_KNOWN = 0.5
# Two ways to choose the keys fit equally if their points differ by less. A name's points are more.
MARGIN = 0.4
# Points of a table's column that is unique, and of an interactions' column that is.
_UNIQUE, _ROW_UNIQUE = 8.0, -2.0


@dataclass(frozen=True)
class _Pair:
    """A key that is possible, and its points."""

    score: float
    key: Key


def find_keys(
    connection: duckdb.DuckDBPyConnection,
    items: OpenedTable,
    queries: OpenedTable | None,
    interactions: OpenedTable,
) -> tuple[Key, Key]:
    """Return the key of the items and the key of the queries.

    Each pair of a column of the table and a column of the interactions gets points: more if the
    table's column is unique, if it has more of the ids in the interactions, and if the names are
    those of an id, of the same thing, or of the right side. The best two pairs win that use
    different columns of the interactions. The order of the columns decides nothing.

    Raises:
        OpenQuestion: other pairs fit as well.
        InputError: no columns fit each other, or the columns that the user named do not.
    """
    given = _Interactions(connection, interactions)
    item_pairs = list(_score_pairs(connection, items, given))
    if queries is not None:
        query_pairs = list(_score_pairs(connection, queries, given))
    else:
        query_pairs = list(_score_columns_alone(given))
    both = [
        (query.score + item.score, item.key, query.key)
        for query, item in product(query_pairs, item_pairs)
        if query.key.interactions_column != item.key.interactions_column
    ]
    if not both:
        raise _no_keys(connection, (items, item_pairs), (queries, query_pairs), given)
    best, item_key, query_key = max(both, key=lambda combination: combination[0])
    for table, key in ((items, item_key), (queries, query_key)):
        if table is not None:
            _check_names(connection, table, given, key)
    # The item's question comes first, because its answer often leaves one choice for the query.
    near = [(item, query) for score, item, query in both if score > best - MARGIN]
    ask_if_open(connection, interactions, items, "items", [item for item, _ in near], item_key)
    ask_if_open(
        connection, interactions, queries, "queries", [query for _, query in near], query_key
    )
    return item_key, query_key


class _Interactions:
    """The interactions' columns that may hold ids, and what is known of each."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, table: OpenedTable) -> None:
        self.connection, self.table = connection, table
        self.ends = link_ends(table.raw.names)
        self.row_numbers = _row_numbers(connection, table)
        self._unique: dict[str, bool] = {}

    def columns(self, wanted: str | None, option: str) -> list[Reading]:
        """Return the columns that may hold ids, or only the wanted one."""
        found = _id_columns(self.table, wanted, option)
        if wanted is not None:
            return found
        return [
            reading
            for reading in found
            if reading.name not in self.row_numbers
            and (reading.name in self.ends or not is_measure(reading.name))
        ]

    def is_unique(self, column: str) -> bool:
        """Return whether the column has another value in every row."""
        if column not in self._unique:
            _, self._unique[column] = _completeness(self.connection, self.table, column)
        return self._unique[column]

    def score(self, column: str, role: Literal["items", "queries"], stem: str | None) -> float:
        """Return the points of a column for one of the sides."""
        score = score_interactions_name(column, role, stem)
        if column in self.ends:
            score += OWN_WORD if self.ends[column] == role else -OWN_WORD
        return score + _ROW_UNIQUE * self.is_unique(column)


def _score_pairs(
    connection: duckdb.DuckDBPyConnection, table: OpenedTable, interactions: _Interactions
) -> Iterator[_Pair]:
    """Yield the pairs of a table's column and an interactions' column that may be a key."""
    role: Literal["items", "queries"] = "items" if table.raw.role == "items" else "queries"
    wanted, wanted_there = table.wanted_key
    option = _key_option(role)
    row_numbers = _row_numbers(connection, table)
    for column in _id_columns(table, wanted, option):
        if wanted is None and column.name in row_numbers:
            continue
        is_complete, is_unique = _completeness(connection, table, column.name)
        # A key has no gaps. A column that repeats may still be the key if its name looks like an
        # id: `table_checks.py` then names the rows. A column that the user named is always tried.
        may_be_key = is_complete and (is_unique or looks_like_id(column.name))
        if wanted is None and not may_be_key:
            continue
        for candidate in interactions.columns(wanted_there, option):
            known = _share_known(connection, table, column.name, interactions.table, candidate.name)
            if known < MIN_KNOWN:
                continue
            score = known + _UNIQUE * is_unique
            score += score_own_name(column.name, role, table.raw.stem)
            score += score_same_name(column.name, candidate.name)
            score += interactions.score(candidate.name, role, table.raw.stem)
            is_text = not (column.is_whole or candidate.is_whole)
            why = f"{known:.0%} of the ids in `{candidate.name}` of the interactions have a row"
            why = f"unique in every row; {why}" if is_unique else why
            yield _Pair(score, Key(column.name, candidate.name, known, is_text, why))


def _score_columns_alone(interactions: _Interactions) -> Iterator[_Pair]:
    """Yield the columns of the interactions that may identify queries without a table."""
    wanted = interactions.table.wanted_key[1]
    for reading in interactions.columns(wanted, "--query-key"):
        # A column that differs in every row would make each interaction a query of its own.
        if wanted is None and interactions.is_unique(reading.name):
            continue
        key = Key(None, reading.name, 1.0, not reading.is_whole, "the ids in the interactions")
        yield _Pair(interactions.score(reading.name, "queries", None), key)


def _id_columns(table: OpenedTable, wanted: str | None, option: str) -> list[Reading]:
    """Return the columns that may hold ids, or only the wanted one.

    Raises:
        InputError: the wanted one is not among them.
    """
    columns = [
        reading
        for reading in table.readings
        if reading.name != table.moment.column and may_hold_ids(reading)
    ]
    if wanted is None:
        return columns
    columns = [reading for reading in columns if reading.name == wanted]
    if not columns:
        raise InputError(
            f"{table.raw.path} has no column `{wanted}` of strings or whole numbers that could be "
            f"a key: its columns are {', '.join(table.raw.names)}; correct {option}"
        )
    return columns


def _row_numbers(connection: duckdb.DuckDBPyConnection, table: OpenedTable) -> frozenset[str]:
    return row_number_columns(connection, table.view, table.readings, table.raw.num_rows)


def _completeness(
    connection: duckdb.DuckDBPyConnection, table: OpenedTable, column: str
) -> tuple[bool, bool]:
    """Return whether every row has a value, and whether value and timestamp identify the row.

    In the interactions the value alone must identify it: a query asks many things at many times.
    """
    text, moment = table.id_text(column), table.moment.expression
    if table.raw.role == "interactions":
        moment = "NULL"
    known, distinct, rows = one_row(
        connection,
        f"SELECT count({text}), (SELECT count(*) FROM (SELECT DISTINCT {text}, {moment} "
        f"FROM {table.view})), count(*) FROM {table.view}",
    )
    return known == rows, distinct == rows


def _share_known(
    connection: duckdb.DuckDBPyConnection,
    table: OpenedTable,
    column: str,
    interactions: OpenedTable,
    asking: str,
) -> float:
    """Return the share of the different ids in the interactions that the table has, in [0, 1]."""
    known, total = one_row(
        connection,
        f"WITH ids AS (SELECT DISTINCT {table.id_text(column)} AS id FROM {table.view}), "
        f"asked AS (SELECT DISTINCT {interactions.id_text(asking)} AS id "
        f"FROM {interactions.view}) "
        "SELECT count(ids.id), count(asked.id) FROM asked LEFT JOIN ids USING (id)",
    )
    return float(known / total) if total else 0.0


def _key_option(role: str) -> str:
    return "--item-key" if role == "items" else "--query-key"


def _no_keys(
    connection: duckdb.DuckDBPyConnection,
    items: tuple[OpenedTable, Sequence[_Pair]],
    queries: tuple[OpenedTable | None, Sequence[_Pair]],
    interactions: _Interactions,
) -> InputError:
    """Return the error for tables without two keys: a side has none, or both have the same."""
    for table, pairs in (items, queries):
        if pairs or table is None:
            continue
        error = explain_unmatched(connection, table, interactions.table, table.wanted_key)
        if table.wanted_key[0] is not None or isinstance(error, CurableError):
            return error
        return _ask_for_row_number(connection, table, interactions) or error
    path, columns = interactions.table.raw.path, ", ".join(interactions.table.raw.names)
    return InputError(
        f"{path} needs two columns of ids, one of queries and one of items, and only one was found "
        f"among {columns}: name them with --item-key and --query-key (a column that differs in "
        "every row, numbers the rows, or is named like a weight, a rating or a count is not taken "
        "for one)"
    )


def _ask_for_row_number(
    connection: duckdb.DuckDBPyConnection, table: OpenedTable, interactions: _Interactions
) -> OpenQuestion | None:
    """Return the question whether the row numbers are the ids; None if they do not fit either."""
    asked = interactions.columns(table.wanted_key[1], _key_option(table.raw.role))
    choices = [
        Choice(f"{column}={reading.name}", "it looks like a row number, but nothing else fits")
        for column in sorted(_row_numbers(connection, table))
        for reading in asked
        if _share_known(connection, table, column, interactions.table, reading.name) >= MIN_KNOWN
    ]
    if not choices:
        return None
    question = f"which column of {table.raw.path} holds the ids of the {table.raw.role}"
    return OpenQuestion(question, "item_key" if table.raw.role == "items" else "query_key", choices)


def _check_names(
    connection: duckdb.DuckDBPyConnection,
    table: OpenedTable,
    interactions: _Interactions,
    chosen: Key,
) -> None:
    """Refuse a key if the names point to other columns, with values that do not fit.

    Both tables have, say, `sku`, but with different ids, and two columns of small numbers overlap
    by accident: the accident is no key.

    Raises:
        InputError: there is such a column.
    """
    assert chosen.column is not None
    if table.wanted_key[0] or score_same_name(chosen.column, chosen.interactions_column):
        return
    for reading in table.readings:
        other = next(
            (n for n in interactions.table.raw.names if score_same_name(reading.name, n)), None
        )
        if other is None or not looks_like_id(reading.name):
            continue
        # A column that repeats is a feature of several items, such as `category_id`.
        is_key = reading.form != "unreadable" and _completeness(connection, table, reading.name)[1]
        if is_key or reading.lost_digits:
            only = (reading.name, other)
            raise explain_unmatched(connection, table, interactions.table, only)
