"""Which columns speak of the same things: their values, and so their embeddings, are shared.

Looked for between a feature of queries and one of items, and between a feature and a key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import duckdb

from longtail.init.tables.sql import one_row
from longtail.init.time_columns import snake_case

# Of the smaller vocabulary, the share that stands in the other one.
_MIN_OVERLAP = 0.5
# Fewer common values are an accident, such as yes and no.
_MIN_COMMON = 10
# Numbers equal ids by accident: lists of them must all be ids, and of more than a few items.
_ALL, _MANY = 0.95, 0.1


@dataclass(frozen=True)
class Vocabulary:
    """The values of one column.

    Attributes:
        side: whose column it is.
        name: the feature's name, or the key's in its table.
        relation: SQL for its rows; the column `v` holds the values as text, a row each.
        is_text: they were strings, not numbers.
        is_list: a row of the table has several of them.
        is_key: it is the side's key.
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
    """Groups of at least two vocabularies that share values, as positions in the sequence.

    Args:
        keys_shared: whether queries and items have the same ids; None finds it out, where ids are
            strings.
    """
    for number, vocabulary in enumerate(vocabularies):
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE vocabulary_{number} AS "
            f"SELECT DISTINCT v FROM {vocabulary.relation} WHERE v IS NOT NULL"
        )
    group = list(range(len(vocabularies)))
    for one, two in combinations(range(len(vocabularies)), 2):
        if _is_shared(connection, vocabularies, one, two, keys_shared):
            group = [group[one] if number == group[two] else number for number in group]
    groups = [[i for i, g in enumerate(group) if g == number] for number in sorted(set(group))]
    return [members for members in groups if len(members) > 1]


def _is_shared(
    connection: duckdb.DuckDBPyConnection,
    vocabularies: Sequence[Vocabulary],
    one: int,
    two: int,
    keys_shared: bool | None,
) -> bool:
    first, second = vocabularies[one], vocabularies[two]
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
    if snake_case(first.name) == snake_case(second.name):
        return True
    if first.is_key != second.is_key:
        key, feature = (first, second) if first.is_key else (second, first)
        size_key, size = (size_one, size_two) if first.is_key else (size_two, size_one)
        return _refers(key, feature, size_key, size, common)
    return first.is_text and second.is_text and common >= _MIN_COMMON


def _refers(key: Vocabulary, feature: Vocabulary, size_key: int, size: int, common: int) -> bool:
    """Whether a feature's values are ids."""
    if common < _MIN_OVERLAP * size:
        return False
    if key.is_text:
        return common >= _MIN_COMMON
    words = set(snake_case(feature.name).split("_"))
    stem = snake_case(key.name).removesuffix("_id")
    if stem != "id" and words & {stem, f"{stem}s"}:
        return True
    return feature.is_list and common >= max(_MIN_COMMON, _ALL * size, _MANY * size_key)
