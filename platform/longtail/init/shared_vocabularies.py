"""Finds columns with the same values, which can share one embedding table.

Compared are features of queries with features of items, features with keys, and the two keys.
Evidence is a name, or words in common. Numbers and dates in common are none, however they are
stored: a year lies among the ids of films, and a film of 1995 is not the film 1995.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import duckdb

from longtail.init.tables.sql import one_row
from longtail.init.times.time_columns import snake_case

# Smallest share of the smaller vocabulary that the other one must contain.
_MIN_OVERLAP = 0.5
# Fewest common words. Fewer are an accident, such as yes and no.
_MIN_COMMON = 10
# Lists of numbers may be ids if at least the share _ALL of their values are ids, and at least the
# share _MANY of the ids is among them.
_ALL, _MANY = 0.95, 0.1
# Shorter numbers are in both keys by accident, because both count from 1.
_LONG_ID = 6.0
# A word has a letter, and is neither a number such as 1e5 nor a date such as 5-Mar-2024 or 2024-Q1.
_MONTH = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_PERIOD = rf"(?i)([0-9][-/. ]*{_MONTH}|{_MONTH}[-/., ]*[0-9]|^[0-9]{{4}}[- ]?[qwh][0-9]{{1,2}}$)"
_IS_WORD = (
    f"regexp_matches(v, '\\p{{L}}') AND NOT regexp_matches(v, '{_PERIOD}') "
    "AND TRY_CAST(v AS TIMESTAMP) IS NULL AND TRY_CAST(v AS DOUBLE) IS NULL"
)
# Names that any column of ids may have. Numbers under such a name need not be of one kind.
_GENERIC = frozenset(
    (
        *("id", "ids", "key", "code", "uid", "uuid", "guid", "pk", "number", "no", "nr", "num"),
        *("index", "idx", "row", "ref", "name", "value"),
    )
)
# The end of a key's name that says no more than that it is one, and words that may follow it.
_ID_ENDING = re.compile(r"(^|_?)(ids?|key|code|uuid|guid|uid|number|no|nr)$")
_AFTER = frozenset(("id", "ids", "key", "keys", "next", "previous", "prev", "parent"))
# A list under such a name holds ids of its own side: the items similar to an item are items.
_OF_ITS_KIND = frozenset(
    (
        *("similar", "related", "alike", "neighbours", "neighbors", "cites", "cited", "linked"),
        *("also_bought", "also_viewed", "bought_together", "viewed_together"),
    )
)
# A number of items is no item.
_COUNTS = frozenset(
    (
        *("num", "n", "nr", "no", "number", "count", "counts", "total", "sum", "avg", "mean"),
        *("max", "min", "rank", "share", "ratio", "distinct", "unique", "average", "median"),
    )
)


@dataclass(frozen=True)
class Vocabulary:
    """The values of one column.

    Attributes:
        side: the side that the column belongs to.
        name: the name of the feature, or of the key's column.
        relation: SQL for a relation with the values as text in its column `v`, one per row.
        is_text: the values are stored as strings, not as numbers.
        is_list: a row of the table has several values.
        is_key: the column is the side's key.
        called: the names of the column in the user's tables; a key may have two.
    """

    side: Literal["query", "item"]
    name: str
    relation: str
    is_text: bool
    is_list: bool
    is_key: bool = False
    called: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """Its names in snake case."""
        return frozenset(map(snake_case, self.called or (self.name,)))


@dataclass(frozen=True)
class SharedVocabularies:
    """The vocabularies that share values, by their positions.

    Attributes:
        groups: positions of at least two vocabularies each, ascending.
        likely: a list of numbers and a key each. The numbers may be ids of the key, but nothing
            except the values says so.
        overlapping: the number of ids that both keys have, if these are long numbers and the keys
            are not in one group; else 0.
    """

    groups: list[list[int]]
    likely: list[tuple[int, int]]
    overlapping: int


@dataclass(frozen=True)
class _Overlap:
    """The numbers of different values: of one, of the other, of both, and of the words in both.

    `length` is the mean number of characters of the values in both.
    """

    one: int
    two: int
    common: int
    words: int
    length: float

    @property
    def is_large(self) -> bool:
        """Whether both have much of the smaller vocabulary."""
        return self.common > 0 and self.common >= _MIN_OVERLAP * min(self.one, self.two)


def find_shared(
    connection: duckdb.DuckDBPyConnection,
    vocabularies: Sequence[Vocabulary],
    *,
    keys_shared: bool | None,
) -> SharedVocabularies:
    """Return which vocabularies share values, and which may but do not say it.

    Args:
        keys_shared: whether queries and items have the same ids; None decides it by names and
            words.
    """
    for number, vocabulary in enumerate(vocabularies):
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE vocabulary_{number} AS SELECT v, {_IS_WORD} AS is_word "
            f"FROM (SELECT DISTINCT v FROM {vocabulary.relation} WHERE v IS NOT NULL)"
        )
    # Each vocabulary starts as a group of its own; two that share values merge their groups.
    group_of = list(range(len(vocabularies)))
    likely, overlapping = [], 0
    for one, two in combinations(range(len(vocabularies)), 2):
        first, second = vocabularies[one], vocabularies[two]
        is_keys = first.is_key and second.is_key
        if first.side == second.side and not (first.is_key or second.is_key):
            continue
        # The user's word on the keys needs no look at the values.
        found = None if is_keys and keys_shared is not None else _overlap(connection, one, two)
        if bool(keys_shared) if found is None else _is_shared(first, second, found):
            kept, merged = group_of[one], group_of[two]
            group_of = [kept if group == merged else group for group in group_of]
        elif found is not None and is_keys and found.is_large and found.length >= _LONG_ID:
            overlapping = found.common
        elif found is not None and not is_keys and _may_hold_ids(first, second, found):
            likely.append((two, one) if first.is_key else (one, two))
    groups = [
        [position for position, other in enumerate(group_of) if other == group]
        for group in sorted(set(group_of))
    ]
    return SharedVocabularies(
        [members for members in groups if len(members) > 1],
        [(feature, key) for feature, key in likely if group_of[feature] != group_of[key]],
        overlapping,
    )


def _overlap(connection: duckdb.DuckDBPyConnection, one: int, two: int) -> _Overlap:
    row = one_row(
        connection,
        f"SELECT (SELECT count(*) FROM vocabulary_{one}), (SELECT count(*) FROM vocabulary_{two}), "
        "count(*), count(*) FILTER (is_word), coalesce(avg(length(v)), 0) "
        f"FROM vocabulary_{one} SEMI JOIN vocabulary_{two} USING (v)",
    )
    return _Overlap(*row)


def _is_shared(first: Vocabulary, second: Vocabulary, found: _Overlap) -> bool:
    """Return whether two vocabularies share an embedding table."""
    if not found.is_large:
        return False
    # The same name and common values are proof enough, if the name says what the values are.
    if first.names & second.names - _GENERIC:
        return True
    if first.is_key != second.is_key:
        key, feature = (first, second) if first.is_key else (second, first)
        # A key may have many more values than the feature, but not the other way round.
        if found.common < _MIN_OVERLAP * (found.two if first.is_key else found.one):
            return False
        if any(_names_the_key(name, feature, key) for name in feature.names):
            return True
    return found.words >= _MIN_COMMON


def _names_the_key(name: str, feature: Vocabulary, key: Vocabulary) -> bool:
    """Return whether a name of a feature says that its values are ids of the key.

    `parent_item` and `similar_items` name items; `item_price` and `num_items` do not. In English
    the last word says what a thing is.
    """
    words = name.split("_")
    if _COUNTS & set(words):
        return False
    # Several ids make a plural, and so does the word `ids`. A single value is singular.
    may_be_plural = feature.is_list or words[-1] in ("ids", "keys")
    while words and (words[-1] in _AFTER or words[-1].isdigit()):
        words.pop()
    # Names that are written as one word: `movieids`.
    thing = re.sub(r"(?<=[a-z]{3})ids?$", "", "_".join(words))
    if thing in _OF_ITS_KIND and feature.is_list and feature.side == key.side:
        return True
    for stem in {key.side, *(_ID_ENDING.sub("", called) for called in key.names)} - {""}:
        wanted = {stem, *(_plurals(stem) if may_be_plural else ())}
        if any(thing == each or thing.endswith(f"_{each}") for each in wanted):
            return True
    return False


def _plurals(stem: str) -> tuple[str, ...]:
    return (f"{stem}s", f"{stem}es", f"{stem.removesuffix('y')}ies")


def _may_hold_ids(first: Vocabulary, second: Vocabulary, found: _Overlap) -> bool:
    """Return whether a feature may hold ids of a key: lists of numbers, nearly all of them ids."""
    if first.is_key == second.is_key:
        return False
    feature, size, size_key = (
        (second, found.two, found.one) if first.is_key else (first, found.one, found.two)
    )
    return feature.is_list and found.common >= max(_MIN_COMMON, _ALL * size, _MANY * size_key)
