"""Which columns identify items and queries, in their tables and in the interactions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import duckdb

from longtail.errors import InputError
from longtail.init.tables.column_readings import Reading
from longtail.init.tables.raw_tables import RawTable, Role
from longtail.init.tables.sql import one_row, quoted
from longtail.init.time_columns import Moment, snake_case

# Of the different ids in the interactions, the share that the table must know.
MIN_KNOWN = 0.5
# Parts of a name that speak for a side; the names of the tables speak, too.
_WORDS: Mapping[Role, frozenset[str]] = {
    "items": frozenset(
        ("item", "items", "product", "article", "movie", "track", "song", "book", "paper")
    ),
    "queries": frozenset(
        ("query", "user", "customer", "session", "visitor", "member", "account", "person", "uid")
    ),
    "interactions": frozenset(),
}
_UNIQUE, _SAME_NAME, _OWN_WORD, _OTHER_WORD, _ID_LIKE = 8.0, 4.0, 2.0, -4.0, 0.5


@dataclass(frozen=True)
class Key:
    """One side's key.

    Attributes:
        column: in the side's own table; None where the table is derived from the interactions.
        interactions_column: in the interactions.
        known: share of the different ids in the interactions that the table has.
        is_text: ids were strings, and not numbers.
    """

    column: str | None
    interactions_column: str
    known: float
    is_text: bool


@dataclass(frozen=True)
class Side:
    """A table whose key is looked for.

    Attributes:
        view: the view of its readings.
        wanted: columns that the user named: in the table, and in the interactions. Of the
            interactions themselves, the second one names the queries that have no table.
    """

    table: RawTable
    view: str
    readings: Sequence[Reading]
    moment: Moment
    wanted: tuple[str | None, str | None] = (None, None)


def find_keys(
    connection: duckdb.DuckDBPyConnection, items: Side, queries: Side | None, interactions: Side
) -> tuple[Key, Key]:
    """The keys of items and of queries.

    Pairs of a column of the table and one of the interactions are compared by what they say: the
    table's is unique, the interactions' values stand in it, their names are alike. Where all that
    leaves a choice, the query is the first column and the item the second.

    Raises:
        InputError: no columns fit each other, or the wanted ones do not.
    """
    in_items = _pairs(connection, items, interactions)
    if queries is not None:
        in_queries = _pairs(connection, queries, interactions)
    else:
        in_queries = _columns_alone(interactions)
    best: tuple[float, Key, Key] | None = None
    for (query_score, query), (item_score, item) in product(in_queries, in_items):
        if query.interactions_column == item.interactions_column:
            continue
        position = _position(interactions, query) < _position(interactions, item)
        total = query_score + item_score + 0.1 * position
        if best is None or total > best[0]:
            best = (total, item, query)
    if best is None:
        raise InputError(_no_pair(in_items, in_queries, items, queries, interactions))
    return best[1], best[2]


def key_text(reading: Reading) -> str:
    """SQL for the ids of a column as text: 7, 7.0 and '7' are the same id."""
    if reading.form == "number":
        return f"CAST(CAST({quoted(reading.name)} AS BIGINT) AS VARCHAR)"
    return f"CAST({quoted(reading.name)} AS VARCHAR)"


def may_be_id(reading: Reading) -> bool:
    """Whether a column's form is one that ids have."""
    return reading.form == "string" or reading.is_whole


def _pairs(
    connection: duckdb.DuckDBPyConnection, side: Side, interactions: Side
) -> list[tuple[float, Key]]:
    own, other = side.wanted
    columns = [r for r in side.readings if r.name != side.moment.column and may_be_id(r)]
    columns = [r for r in columns if own is None or r.name == own]
    if own is not None and not columns:
        raise InputError(
            f"{side.table.path} has no column `{own}` of strings or whole numbers that could be "
            f"its key: its columns are {', '.join(side.table.names)}"
        )
    pairs = []
    for column in columns:
        complete, unique = _key_likeness(connection, side, column)
        if not complete and own is None:
            continue
        if own is None and not unique and not _sounds_like_id(column.name):
            continue
        for candidate in _id_columns(interactions, other):
            known = _share_known(connection, side.view, column, interactions.view, candidate)
            if known < MIN_KNOWN:
                continue
            score = known + _UNIQUE * unique + _likeness(side.table, column.name, candidate.name)
            is_text = column.form == "string" and candidate.form == "string"
            pairs.append((score, Key(column.name, candidate.name, known, is_text)))
    return pairs


def _columns_alone(interactions: Side) -> list[tuple[float, Key]]:
    """What may name the queries where they have no table."""
    return [
        (
            _words(reading.name, "queries", None) + _ID_LIKE * _sounds_like_id(reading.name),
            Key(None, reading.name, 1.0, reading.form == "string"),
        )
        for reading in _id_columns(interactions, interactions.wanted[1])
    ]


def _id_columns(interactions: Side, wanted: str | None) -> list[Reading]:
    columns = [
        reading
        for reading in interactions.readings
        if reading.name != interactions.moment.column and may_be_id(reading)
    ]
    if wanted is None:
        return [reading for reading in columns if snake_case(reading.name) != "weight"]
    columns = [reading for reading in columns if reading.name == wanted]
    if not columns:
        raise InputError(
            f"{interactions.table.path} has no column `{wanted}` of strings or whole numbers that "
            f"could be a key: its columns are {', '.join(interactions.table.names)}"
        )
    return columns


def _key_likeness(
    connection: duckdb.DuckDBPyConnection, side: Side, column: Reading
) -> tuple[bool, bool]:
    """Whether no row misses the column, and whether it (with the timestamp) names one row."""
    text, moment = key_text(column), side.moment.expression
    known, distinct, rows = one_row(
        connection,
        f"SELECT count({text}), (SELECT count(*) FROM (SELECT DISTINCT {text}, {moment} "
        f"FROM {side.view})), count(*) FROM {side.view}",
    )
    return known == rows, distinct == rows


def _share_known(
    connection: duckdb.DuckDBPyConnection, table: str, column: Reading, asked: str, asking: Reading
) -> float:
    known, total = one_row(
        connection,
        f"WITH ids AS (SELECT DISTINCT {key_text(column)} AS id FROM {table}), "
        f"asked AS (SELECT DISTINCT {key_text(asking)} AS id FROM {asked}) "
        "SELECT count(ids.id), count(asked.id) FROM asked LEFT JOIN ids USING (id)",
    )
    return float(known / total) if total else 0.0


def _likeness(table: RawTable, own: str, other: str) -> float:
    """How much two names speak for each other."""
    score = _words(other, table.role, table.stem) + _ID_LIKE * _sounds_like_id(other)
    return score + (_SAME_NAME if snake_case(own) == snake_case(other) else 0.0)


def _words(name: str, role: Role, stem: str | None) -> float:
    words = set(snake_case(name).split("_"))
    own, other = _WORDS[role], _WORDS["queries" if role == "items" else "items"]
    if stem is not None:
        own = own | {snake_case(stem), snake_case(stem).removesuffix("s")}
    return _OWN_WORD * bool(words & own) + _OTHER_WORD * bool(words & (other - own))


def _sounds_like_id(name: str) -> bool:
    words = snake_case(name).split("_")
    return words[-1] in ("id", "key", "code", "uuid", "uid", "asin", "sku") or name.endswith("id")


def _position(interactions: Side, key: Key) -> int:
    return interactions.table.names.index(key.interactions_column)


def _no_pair(
    in_items: Sequence[object],
    in_queries: Sequence[object],
    items: Side,
    queries: Side | None,
    interactions: Side,
) -> str:
    for found, side, option in (
        (in_items, items, "--item-key"),
        (in_queries, queries, "--query-key"),
    ):
        if found or side is None:
            continue
        own, other = side.wanted
        if own is not None:
            return (
                f"`{own}` of {side.table.path} has fewer than half of the ids in "
                f"{'`' + other + '`' if other else 'any column'} of {interactions.table.path}: the "
                f"keys do not match; name both columns as in {option} {own}=COLUMN, or write the "
                "ids alike in both tables"
            )
        return (
            f"{side.table.path} and {interactions.table.path} have no key in common: no complete "
            f"column of the one ({', '.join(side.table.names)}) has at least half of the ids in a "
            f"column of the other ({', '.join(interactions.table.names)}); name the columns with "
            f"{option} COLUMN=INTERACTIONS_COLUMN, or write the ids alike"
        )
    return (
        f"{interactions.table.path} needs two columns of ids, one of queries and one of items, and "
        f"only one was found among {', '.join(interactions.table.names)}: name them with "
        "--item-key and --query-key"
    )
