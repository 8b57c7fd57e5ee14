"""Gives every key and categorical column its embedding table: shared, exact or hashed.

Columns that would add nothing to the model are left out here and not earlier: a near-unique column
is useless with a table of its own, and useful if it shares one.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import duckdb

from longtail.config.table_names import is_reserved
from longtail.init.feature_kinds import Column, left_out_reason
from longtail.init.opened_table import OpenedTable
from longtail.init.project_plan import SidePlan
from longtail.init.safe_names import feature_names
from longtail.init.shared_vocabularies import SharedVocabularies, Vocabulary, find_shared
from longtail.init.tables.sql import one_row
from longtail.init.times.time_columns import snake_case

# A larger vocabulary is hashed: encoding needs an exact one in memory.
_EXACT_VALUES = 5_000_000


@dataclass(frozen=True)
class AssignedTables:
    """The plans of items and queries with the embedding tables of their columns.

    Attributes:
        notes: columns that may share a table, but do not say so; in words for the user.
    """

    items: SidePlan
    queries: SidePlan
    notes: tuple[str, ...] = ()


def assign_tables(
    connection: duckdb.DuckDBPyConnection,
    items: tuple[OpenedTable, SidePlan],
    queries: tuple[OpenedTable, SidePlan],
    *,
    keys_shared: bool | None,
) -> AssignedTables:
    """Give the columns of both sides their embedding tables.

    Args:
        queries: their plan, and the table that has their ids: their own or the interactions.
        keys_shared: whether items and queries have the same ids; None decides it by names and
            words.
    """
    sides = (queries, items)
    found = [
        (side, position, vocabulary)
        for side, (table, plan) in enumerate(sides)
        for position, vocabulary in _vocabularies(table, plan)
    ]
    vocabularies = [vocabulary for _, _, vocabulary in found]
    plans = [plan for _, plan in sides]
    shared = find_shared(connection, vocabularies, keys_shared=keys_shared)
    for members in shared.groups:
        sharing = [vocabularies[member] for member in members]
        name = _table_name(sharing)
        # Ids are strings in the project, and one embedding table holds values of one type.
        as_text = any(vocabulary.is_key or vocabulary.is_text for vocabulary in sharing)
        for member in members:
            side, position, _ = found[member]
            plans[side] = _with_table(plans[side], position, name, as_text=as_text)
    query_plan, item_plan = (
        _settle_columns(connection, table, plan)
        for (table, _), plan in zip(sides, plans, strict=True)
    )
    of_column = [(plans[side], position) for side, position, _ in found]
    notes = _notes(shared, vocabularies, of_column)
    return AssignedTables(item_plan, query_plan, tuple(notes))


def _vocabularies(table: OpenedTable, plan: SidePlan) -> Iterator[tuple[int | None, Vocabulary]]:
    """Yield the vocabularies of a side, each with its position in `plan.columns`; None: the key."""
    key = plan.key.column or plan.key.interactions_column
    ids = f"(SELECT {table.id_text(key)} AS v FROM {table.view})"
    yield (
        None,
        Vocabulary(
            *(plan.side, key, ids, plan.key.is_text),
            is_list=False,
            is_key=True,
            called=(key, plan.key.interactions_column),
        ),
    )
    for position, column in enumerate(plan.columns):
        if column.kind in ("single", "multi"):
            is_list = column.kind == "multi"
            value = f"unnest({column.expression})" if is_list else column.expression
            values = f"(SELECT CAST({value} AS VARCHAR) AS v FROM {table.view})"
            yield (
                position,
                Vocabulary(
                    *(plan.side, column.name, values, column.is_text, is_list),
                    called=(column.source,),
                ),
            )


def _notes(
    shared: SharedVocabularies,
    vocabularies: Sequence[Vocabulary],
    of_column: Sequence[tuple[SidePlan, int | None]],
) -> Iterator[str]:
    """Yield what the user should say if two columns hold the same ids.

    Args:
        of_column: for each vocabulary, the plan of its side, and its position in `plan.columns`;
            None: the key.
    """
    for feature, key in shared.likely:
        plan, key_plan, side = of_column[feature][0], of_column[key][0], vocabularies[key].side
        [called] = vocabularies[feature].called
        many = "items" if side == "item" else "queries"
        # A key that shares nothing has the table that is called after it.
        table = key_plan.table or f"{side}_{side}_id"
        as_text = "" if vocabularies[feature].is_text else ", with its values as strings"
        yield (
            f"column `{called}` of {plan.path} has lists of numbers, and nearly all of them are "
            f"ids of {many}; numbers can be so by accident, so they get an embedding table of "
            f"their own. If they are ids of {many}, rename the column to `{called}_{many}`, or "
            f'give its field the tag {{"table": "{table}"}}{as_text}'
        )
    if shared.overlapping:
        yield (
            f"queries and items have {shared.overlapping:,} ids in common, but numbers can be so "
            "by accident, so they count as different things. If a query and an item with one id "
            "are the same thing, say --shared-ids; if not, --separate-ids"
        )


def _table_name(sharing: Sequence[Vocabulary]) -> str:
    """Return the name of a shared embedding table: after the key in it, else after a feature.

    The items come last among the vocabularies, and their names are preferred.
    """
    key = next((vocabulary for vocabulary in reversed(sharing) if vocabulary.is_key), None)
    if key is None:
        name = sharing[-1].name
        return f"{name.strip('_')}_table" if is_reserved(name) else name
    stem = snake_case(key.name).removesuffix("_id")
    plain = feature_names([stem])[stem]
    return f"{key.side}_id" if stem in ("id", "item", "query") or is_reserved(plain) else plain


def _with_table(plan: SidePlan, position: int | None, name: str, *, as_text: bool) -> SidePlan:
    """Return the plan with a shared embedding table for one column; position None: for the key.

    Args:
        as_text: the table holds strings, so a column of integers is converted.
    """
    if position is None:
        return replace(plan, table=name)
    column = plan.columns[position]
    if as_text and not column.is_text:
        cast, feast_type = (
            ("VARCHAR[]", "Array(String)") if column.kind == "multi" else ("VARCHAR", "String")
        )
        column = replace(
            column,
            expression=f"CAST({column.expression} AS {cast})",
            feast_type=feast_type,
            note="integers, read as strings like the other values of their embedding table",
        )
    column = replace(column, table=name)
    columns = (*plan.columns[:position], column, *plan.columns[position + 1 :])
    return replace(plan, columns=columns)


def _settle_columns(
    connection: duckdb.DuckDBPyConnection, table: OpenedTable, plan: SidePlan
) -> SidePlan:
    """Return the plan with useless columns left out and large vocabularies hashed."""
    columns = []
    for column in plan.columns:
        reason = left_out_reason(column, plan.num_keys)
        if not reason and column.table is not None and column.table == plan.table:
            reason = _repetition_reason(connection, table, plan, column)
        columns.append(replace(column, left_out=reason, buckets=_column_buckets(column)))
    buckets = _hash_buckets(plan.num_keys) if plan.table is None else None
    return replace(plan, columns=tuple(columns), buckets=buckets)


def _repetition_reason(
    connection: duckdb.DuckDBPyConnection, table: OpenedTable, plan: SidePlan, column: Column
) -> str:
    """Return the reason to leave out a copy of the key; empty if the column is none."""
    if column.kind != "single" or plan.key.column is None:
        return ""
    equal, known = one_row(
        connection,
        f"SELECT count(*) FILTER (CAST({column.expression} AS VARCHAR) = "
        f"{table.id_text(plan.key.column)}), count({column.expression}) FROM {table.view}",
    )
    return "it repeats the id" if equal == known else ""


def _column_buckets(column: Column) -> int | None:
    if column.table is not None or column.kind not in ("single", "multi") or not column.profile:
        return None
    return _hash_buckets(column.profile.num_distinct)


def _hash_buckets(num_values: int) -> int | None:
    """Return the rows of a hashed vocabulary: the next power of two; None for an exact one."""
    return 2 ** math.ceil(math.log2(num_values)) if num_values > _EXACT_VALUES else None
