"""Finds the columns that identify items and queries, in their tables and in the interactions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import duckdb

from longtail.errors import InputError
from longtail.init.opened_table import OpenedTable, id_text
from longtail.init.tables.column_readings import Reading
from longtail.init.tables.raw_tables import RawTable, Role
from longtail.init.tables.sql import one_row
from longtail.init.time_columns import snake_case

# Smallest share of the different ids in the interactions that must have a row in the table.
MIN_KNOWN = 0.5
# Words in a column's name that point to items or to queries. The name of the file counts as well.
_WORDS: Mapping[Role, frozenset[str]] = {
    "items": frozenset(
        ("item", "items", "product", "article", "movie", "track", "song", "book", "paper")
    ),
    "queries": frozenset(
        ("query", "user", "customer", "session", "visitor", "member", "account", "person", "uid")
    ),
    "interactions": frozenset(),
}
# Points of a pair of columns: the table's column is unique, both have the same name, the name has a
# word of its own side, the name has a word of the other side, the name looks like that of an id.
_UNIQUE, _SAME_NAME, _OWN_WORD, _OTHER_WORD, _ID_LIKE = 8.0, 4.0, 2.0, -4.0, 0.5


@dataclass(frozen=True)
class Key:
    """The key of the items or of the queries.

    Attributes:
        column: the column in their own table; None if they have no table and their ids come from
            the interactions.
        interactions_column: the column in the interactions.
        known: share of the different ids in the interactions that have a row in the table.
        is_text: the ids are strings in both tables, not numbers.
    """

    column: str | None
    interactions_column: str
    known: float
    is_text: bool


def find_keys(
    connection: duckdb.DuckDBPyConnection,
    items: OpenedTable,
    queries: OpenedTable | None,
    interactions: OpenedTable,
) -> tuple[Key, Key]:
    """Return the key of the items and the key of the queries.

    Each pair of a column of the table and a column of the interactions gets a score: it is higher
    if the table's column is unique, if it has more of the ids in the interactions, and if the names
    are alike. The best two pairs win that use different columns of the interactions. If nothing
    else decides, the query's column is the first and the item's the second.

    Raises:
        InputError: no columns fit each other, or the columns that the user named do not.
    """
    item_pairs = _score_pairs(connection, items, interactions)
    if queries is not None:
        query_pairs = _score_pairs(connection, queries, interactions)
    else:
        query_pairs = _score_columns_alone(interactions)
    names = interactions.raw.names
    best: tuple[float, Key, Key] | None = None
    for (query_score, query), (item_score, item) in product(query_pairs, item_pairs):
        if query.interactions_column == item.interactions_column:
            continue
        query_is_first = names.index(query.interactions_column) < names.index(
            item.interactions_column
        )
        # So little that the position decides only between pairs that are otherwise about equal.
        total = query_score + item_score + 0.1 * query_is_first
        if best is None or total > best[0]:
            best = (total, item, query)
    if best is None:
        raise InputError(_explain_no_keys(item_pairs, query_pairs, items, queries, interactions))
    return best[1], best[2]


def _score_pairs(
    connection: duckdb.DuckDBPyConnection, table: OpenedTable, interactions: OpenedTable
) -> list[tuple[float, Key]]:
    """Return the pairs of a table's column and an interactions' column that may be a key."""
    wanted, wanted_there = table.wanted_key
    option = _key_option(table.raw.role)
    pairs = []
    for column in _id_columns(table, wanted, option):
        is_complete, is_unique = _completeness(connection, table, column)
        # A key has no gaps. A column that repeats may still be the key if its name looks like an
        # id: `table_checks.py` then names the rows. A column that the user named is always tried.
        may_be_key = is_complete and (is_unique or _looks_like_id(column.name))
        if wanted is None and not may_be_key:
            continue
        for candidate in _interactions_id_columns(interactions, wanted_there, option):
            known = _share_known(connection, table.view, column, interactions.view, candidate)
            if known < MIN_KNOWN:
                continue
            score = known + _UNIQUE * is_unique
            score += _score_names(table.raw, column.name, candidate.name)
            is_text = column.form == "string" and candidate.form == "string"
            pairs.append((score, Key(column.name, candidate.name, known, is_text)))
    return pairs


def _score_columns_alone(interactions: OpenedTable) -> list[tuple[float, Key]]:
    """Return the columns of the interactions that may identify queries without a table."""
    wanted = interactions.wanted_key[1]
    return [
        (
            _score_words(reading.name, "queries", None) + _ID_LIKE * _looks_like_id(reading.name),
            Key(None, reading.name, 1.0, reading.form == "string"),
        )
        for reading in _interactions_id_columns(interactions, wanted, "--query-key")
    ]


def _id_columns(table: OpenedTable, wanted: str | None, option: str) -> list[Reading]:
    """Return the columns that may hold ids, or only the wanted one.

    Raises:
        InputError: the wanted one is not among them.
    """
    columns = [
        reading
        for reading in table.readings
        if reading.name != table.moment.column and (reading.form == "string" or reading.is_whole)
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


def _interactions_id_columns(
    interactions: OpenedTable, wanted: str | None, option: str
) -> list[Reading]:
    columns = _id_columns(interactions, wanted, option)
    # Whole numbers called `weight` are weights, unless the user says that they are the key.
    return [r for r in columns if wanted is not None or snake_case(r.name) != "weight"]


def _completeness(
    connection: duckdb.DuckDBPyConnection, table: OpenedTable, column: Reading
) -> tuple[bool, bool]:
    """Return whether every row has a value, and whether value and timestamp identify the row."""
    text, moment = id_text(column), table.moment.expression
    known, distinct, rows = one_row(
        connection,
        f"SELECT count({text}), (SELECT count(*) FROM (SELECT DISTINCT {text}, {moment} "
        f"FROM {table.view})), count(*) FROM {table.view}",
    )
    return known == rows, distinct == rows


def _share_known(
    connection: duckdb.DuckDBPyConnection, table: str, column: Reading, asked: str, asking: Reading
) -> float:
    """Return the share of the different ids in `asked` that `table` has, in [0, 1]."""
    known, total = one_row(
        connection,
        f"WITH ids AS (SELECT DISTINCT {id_text(column)} AS id FROM {table}), "
        f"asked AS (SELECT DISTINCT {id_text(asking)} AS id FROM {asked}) "
        "SELECT count(ids.id), count(asked.id) FROM asked LEFT JOIN ids USING (id)",
    )
    return float(known / total) if total else 0.0


def _score_names(table: RawTable, own: str, other: str) -> float:
    """Return the points of the name in the table and the name in the interactions."""
    score = _score_words(other, table.role, table.stem) + _ID_LIKE * _looks_like_id(other)
    return score + (_SAME_NAME if snake_case(own) == snake_case(other) else 0.0)


def _score_words(name: str, role: Role, stem: str | None) -> float:
    words = set(snake_case(name).split("_"))
    own, other = _WORDS[role], _WORDS["queries" if role == "items" else "items"]
    if stem is not None:
        own = own | {snake_case(stem), snake_case(stem).removesuffix("s")}
    return _OWN_WORD * bool(words & own) + _OTHER_WORD * bool(words & (other - own))


def _looks_like_id(name: str) -> bool:
    words = snake_case(name).split("_")
    return words[-1] in ("id", "key", "code", "uuid", "uid", "asin", "sku") or name.endswith("id")


def _key_option(role: Role) -> str:
    return "--item-key" if role == "items" else "--query-key"


def _explain_no_keys(
    item_pairs: Sequence[object],
    query_pairs: Sequence[object],
    items: OpenedTable,
    queries: OpenedTable | None,
    interactions: OpenedTable,
) -> str:
    """Return the message for tables that have no keys in common."""
    path, columns = interactions.raw.path, ", ".join(interactions.raw.names)
    for pairs, table in ((item_pairs, items), (query_pairs, queries)):
        if pairs or table is None:
            continue
        option = _key_option(table.raw.role)
        wanted, wanted_there = table.wanted_key
        if wanted is not None:
            return (
                f"`{wanted}` of {table.raw.path} has fewer than half of the ids in "
                f"{'`' + wanted_there + '`' if wanted_there else 'any column'} of {path}: the keys "
                f"do not match; name both columns, as in {option} {wanted}=COLUMN, or write the "
                "ids the same way in both tables"
            )
        return (
            f"{table.raw.path} and {path} have no key in common: no complete column of the first "
            f"({', '.join(table.raw.names)}) has at least half of the ids in a column of the "
            f"second ({columns}); name the columns with {option} COLUMN=INTERACTIONS_COLUMN, or "
            "write the ids the same way in both tables"
        )
    # Both sides have pairs, but all of them use the same column of the interactions.
    return (
        f"{path} needs two columns of ids, one of queries and one of items, and only one was found "
        f"among {columns}: name them with --item-key and --query-key"
    )
