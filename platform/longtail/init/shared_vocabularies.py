"""Finds columns with the same values, which can share one embedding table.

Compared are features of queries with features of items, features with keys, and the two keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import duckdb

from longtail.init.tables.sql import one_row
from longtail.init.time_columns import snake_case

# Smallest share of the smaller vocabulary that the other one must contain.
_MIN_OVERLAP = 0.5
# Fewest common values. Fewer are an accident, such as yes and no.
_MIN_COMMON = 10
# Numbers can equal ids by accident. Lists of numbers count as ids only if at least the share _ALL
# of their values are ids, and at least the share _MANY of the ids is among them.
_ALL, _MANY = 0.95, 0.1


@dataclass(frozen=True)
class Vocabulary:
    """The values of one column.

    Attributes:
        side: the side that the column belongs to.
        name: the name of the feature, or of the key's column.
        relation: SQL for a relation with the values as text in its column `v`, one per row.
        is_text: the values were strings, not numbers.
        is_list: a row of the table has several values.
        is_key: the column is the side's key.
    """

    side: Literal["query", "item"]
    name: str
    relation: str
    is_text: bool
    is_list: bool
    is_key: bool = False


def shared_groups(
    connection: duckdb.DuckDBPyConnection,
    vocabularies: Sequence[Vocabulary],
    *,
    keys_shared: bool | None,
) -> list[list[int]]:
    """Return groups of at least two vocabularies that share values.

    Args:
        keys_shared: whether queries and items have the same ids; None decides it by the values,
            which only strings can do.

    Returns:
        for each group, the positions of its members in `vocabularies`, ascending.
    """
    for number, vocabulary in enumerate(vocabularies):
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE vocabulary_{number} AS "
            f"SELECT DISTINCT v FROM {vocabulary.relation} WHERE v IS NOT NULL"
        )
    # Each vocabulary starts as a group of its own; two that share values merge their groups.
    group_of = list(range(len(vocabularies)))
    for one, two in combinations(range(len(vocabularies)), 2):
        if _is_shared(connection, vocabularies, one, two, keys_shared):
            kept, merged = group_of[one], group_of[two]
            group_of = [kept if group == merged else group for group in group_of]
    groups = [
        [position for position, other in enumerate(group_of) if other == group]
        for group in sorted(set(group_of))
    ]
    return [members for members in groups if len(members) > 1]


def _is_shared(
    connection: duckdb.DuckDBPyConnection,
    vocabularies: Sequence[Vocabulary],
    one: int,
    two: int,
    keys_shared: bool | None,
) -> bool:
    """Return whether two vocabularies, given by their positions, share an embedding table."""
    first, second = vocabularies[one], vocabularies[two]
    # Some pairs need no look at the values: the user's word on the keys, keys of numbers, and two
    # features of one side.
    if first.is_key and second.is_key:
        if keys_shared is not None:
            return keys_shared
        if not (first.is_text and second.is_text):
            return False
    elif first.side == second.side and not (first.is_key or second.is_key):
        return False
    size_one, size_two, common = one_row(
        connection,
        f"SELECT (SELECT count(*) FROM vocabulary_{one}), (SELECT count(*) FROM vocabulary_{two}), "
        f"(SELECT count(*) FROM vocabulary_{one} SEMI JOIN vocabulary_{two} USING (v))",
    )
    if not common or common < _MIN_OVERLAP * min(size_one, size_two):
        return False
    # The same name and common values are proof enough. Under different names, a few common values
    # may be an accident.
    if snake_case(first.name) == snake_case(second.name):
        return True
    if first.is_key != second.is_key:
        key, feature = (first, second) if first.is_key else (second, first)
        size_key, size = (size_one, size_two) if first.is_key else (size_two, size_one)
        return _holds_ids(key, feature, size_key, size, common)
    return first.is_text and second.is_text and common >= _MIN_COMMON


def _holds_ids(key: Vocabulary, feature: Vocabulary, size_key: int, size: int, common: int) -> bool:
    """Return whether a feature's values are ids of the key.

    Args:
        size_key: number of ids.
        size: number of different values of the feature.
        common: number of values that are ids.
    """
    if common < _MIN_OVERLAP * size:
        return False
    if key.is_text:
        return common >= _MIN_COMMON
    # Numbers need more: the key's word in the feature's name, or lists that are hardly accidental.
    words = set(snake_case(feature.name).split("_"))
    stem = snake_case(key.name).removesuffix("_id")
    if stem != "id" and words & {stem, f"{stem}s"}:
        return True
    return feature.is_list and common >= max(_MIN_COMMON, _ALL * size, _MANY * size_key)
