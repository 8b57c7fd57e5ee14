"""From three tables to a plan: reading, keys, times, features, shared vocabularies."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import duckdb

from longtail.errors import InputError
from longtail.init import soundness
from longtail.init.feature_kinds import Column, left_out_reason, plan_column
from longtail.init.key_columns import Key, Side, find_keys, key_text
from longtail.init.names import feature_names, project_name
from longtail.init.project_plan import InteractionsPlan, ProjectPlan, Request, SidePlan
from longtail.init.shared_vocabularies import Vocabulary, shared_groups
from longtail.init.tables.column_readings import Reading, read_columns
from longtail.init.tables.raw_tables import Role, open_table
from longtail.init.tables.sql import one_row, quoted
from longtail.init.time_columns import EPOCH, Moment, find_moment, snake_case

# Above it a vocabulary is hashed: an exact one would be held in memory to encode with.
_EXACT_VALUES = 5_000_000


def infer_project(
    connection: duckdb.DuckDBPyConnection, request: Request, name: str, scratch: Path
) -> tuple[ProjectPlan, dict[str, dict[str, Reading]]]:
    """Read the tables and plan the project. Leaves a view of readings for each table.

    Args:
        name: of the project's folder.
        scratch: an existing folder for what is made on the way.

    Returns:
        the plan, and the readings of each table's columns, by the table's role and their names.

    Raises:
        InputError: a table is missing or unreadable, or the three do not fit each other.
    """
    item_key, query_key = _wanted(request.item_key), _wanted(request.query_key)
    items = _open(connection, "items", request.items, request, scratch, item_key)
    queries = None
    if request.queries is not None:
        queries = _open(connection, "queries", request.queries, request, scratch, query_key)
    alone = (None, query_key[1] or query_key[0])
    interactions = _open(connection, "interactions", request.interactions, request, scratch, alone)
    sides = [items, interactions] + ([queries] if queries is not None else [])
    if request.timestamp and not any(request.timestamp in side.table.names for side in sides):
        raise InputError(f"no table has the column `{request.timestamp}`: correct --timestamp")
    of_items, of_queries = find_keys(connection, items, queries, interactions)
    for key in (of_items, of_queries):
        soundness.check_complete(connection, interactions, key.interactions_column)
    item_plan = _plan_side(connection, "item", items, of_items, interactions, request)
    if queries is not None:
        query_plan = _plan_side(connection, "query", queries, of_queries, interactions, request)
    else:
        query_plan = _derived_queries(connection, of_queries, interactions)
    item_plan, query_plan = _share(
        connection, (items, item_plan), (queries or interactions, query_plan), request
    )
    dated = [(items, item_plan.moment)]
    dated += [(queries, query_plan.moment)] if queries is not None else []
    moment = soundness.interactions_moment(connection, interactions, dated)
    plan = ProjectPlan(
        name=project_name(name),
        items=item_plan,
        queries=query_plan,
        interactions=_plan_interactions(
            connection,
            (items, of_items),
            (queries, of_queries),
            replace(interactions, moment=moment),
            request.weight,
        ),
    )
    return plan, {
        side.table.role: {reading.name: reading for reading in side.readings} for side in sides
    }


def _wanted(option: str | None) -> tuple[str | None, str | None]:
    """`id=item_id` -> (id, item_id)."""
    if option is None:
        return None, None
    own, _, other = option.partition("=")
    return own, other or None


def _open(
    connection: duckdb.DuckDBPyConnection,
    role: Role,
    path: Path,
    request: Request,
    scratch: Path,
    wanted: tuple[str | None, str | None],
) -> Side:
    table = open_table(role, path, scratch, connection)
    readings = read_columns(connection, table)
    view = f"{role}_read"
    readable = [reading for reading in readings if reading.form != "unreadable"]
    if not readable:
        raise InputError(f"{path} has no column of ids: its columns are {', '.join(table.names)}")
    columns = ", ".join(f"{r.expression} AS {quoted(r.name)}" for r in readable)
    connection.execute(f"CREATE VIEW {view} AS SELECT {columns} FROM {table.relation}")
    moment = find_moment(connection, table, view, readable, request.timestamp)
    return Side(table, view, readings, moment, wanted)


def _plan_side(
    connection: duckdb.DuckDBPyConnection,
    side: Literal["item", "query"],
    given: Side,
    key: Key,
    interactions: Side,
    request: Request,
) -> SidePlan:
    assert key.column is not None
    soundness.check_complete(connection, given, key.column)
    repeats = soundness.has_repeats(connection, given, key.column)
    text = key_text(soundness.reading_of(given, key.column))
    (num_keys,) = one_row(connection, f"SELECT count(DISTINCT {text}) FROM {given.view}")
    active = _tombstone(connection, given) if side == "item" else None
    used = {key.column, given.moment.column, active}
    others = [reading for reading in given.readings if reading.name not in used]
    names = feature_names([reading.name for reading in others])
    columns = tuple(
        plan_column(connection, given.view, reading, names[reading.name], given.table.num_rows)
        for reading in others
    )
    return SidePlan(
        side=side,
        path=given.table.path,
        num_rows=given.table.num_rows,
        num_keys=num_keys,
        key=key,
        moment=soundness.snapshot_moment(
            connection, given, key, interactions, insists=request.timestamp is not None
        ),
        columns=columns,
        active=None if active is None else f"CAST({quoted(active)} AS BOOLEAN)",
        repeats=repeats,
    )


def _derived_queries(
    connection: duckdb.DuckDBPyConnection, key: Key, interactions: Side
) -> SidePlan:
    text = key_text(soundness.reading_of(interactions, key.interactions_column))
    (num,) = one_row(connection, f"SELECT count(DISTINCT {text}) FROM {interactions.view}")
    moment = Moment(None, EPOCH, "taken from the interactions: 1970-01-01 is put in")
    return SidePlan("query", None, num, num, key, moment, ())


def _tombstone(connection: duckdb.DuckDBPyConnection, items: Side) -> str | None:
    """The column that says whether an item is still there: `active`, of booleans or 0 and 1."""
    for reading in items.readings:
        if snake_case(reading.name) != "active":
            continue
        if reading.form == "boolean":
            return reading.name
        if reading.form == "integer":
            column = quoted(reading.name)
            lowest, highest = one_row(
                connection, f"SELECT min({column}), max({column}) FROM {items.view}"
            )
            if lowest >= 0 and highest <= 1:
                return reading.name
    return None


def _share(
    connection: duckdb.DuckDBPyConnection,
    items: tuple[Side, SidePlan],
    queries: tuple[Side, SidePlan],
    request: Request,
) -> tuple[SidePlan, SidePlan]:
    """Both sides with the tables that their columns share, and what is left out for good."""
    vocabularies: list[Vocabulary] = []
    places: list[tuple[int, int | None]] = []  # the side, and the column; None for the key
    for side, (given, plan) in enumerate((queries, items)):
        key = plan.key.column or plan.key.interactions_column
        text = key_text(soundness.reading_of(given, key))
        relation = f"(SELECT {text} AS v FROM {given.view})"
        vocabularies.append(
            Vocabulary(plan.side, key, relation, plan.key.is_text, False, is_key=True)
        )
        places.append((side, None))
        for position, planned in enumerate(plan.columns):
            if planned.kind in ("single", "multi"):
                vocabularies.append(_vocabulary(plan, given, planned))
                places.append((side, position))
    keys_shared = request.shared_ids
    if keys_shared is None and request.queries is not None:
        keys_shared = True if request.queries.resolve() == request.items.resolve() else None
    groups = shared_groups(connection, vocabularies, keys_shared=keys_shared)
    plans = [queries[1], items[1]]
    for members in groups:
        table = _table_name([vocabularies[member] for member in members])
        as_text = any(vocabularies[m].is_key or vocabularies[m].is_text for m in members)
        for member in members:
            side, column = places[member]
            plans[side] = _with_table(plans[side], column, table, as_text)
    finished = [
        _finished(connection, plan, given)
        for plan, (given, _) in zip(plans, (queries, items), strict=True)
    ]
    return finished[1], finished[0]


def _vocabulary(plan: SidePlan, given: Side, column: Column) -> Vocabulary:
    value = f"unnest({column.expression})" if column.kind == "multi" else column.expression
    relation = f"(SELECT CAST({value} AS VARCHAR) AS v FROM {given.view})"
    return Vocabulary(plan.side, column.name, relation, column.is_text, column.kind == "multi")


def _table_name(members: Sequence[Vocabulary]) -> str:
    """The key's own word, where a key is among them, else the items' feature's name."""
    key = next((member for member in reversed(members) if member.is_key), None)
    if key is None:
        return next(member.name for member in reversed(members))
    stem = snake_case(key.name).removesuffix("_id")
    plain = feature_names([stem])[stem]
    return f"{key.side}_id" if stem in ("id", "item", "query") else plain


def _with_table(plan: SidePlan, position: int | None, table: str, as_text: bool) -> SidePlan:
    if position is None:
        return replace(plan, table=table)
    column = plan.columns[position]
    if as_text and not column.is_text:
        cast, feast_type = (
            ("VARCHAR[]", "Array(String)") if column.kind == "multi" else ("VARCHAR", "String")
        )
        column = replace(
            column,
            expression=f"CAST({column.expression} AS {cast})",
            feast_type=feast_type,
            note="integers, read as strings like the ids that they are",
        )
    column = replace(column, table=table)
    columns = (*plan.columns[:position], column, *plan.columns[position + 1 :])
    return replace(plan, columns=columns)


def _finished(connection: duckdb.DuckDBPyConnection, plan: SidePlan, given: Side) -> SidePlan:
    """The side with every column's last word: left out, or hashed."""
    columns = []
    for column in plan.columns:
        reason = left_out_reason(column, plan.num_keys)
        if not reason and column.table is not None and column.table == plan.table:
            reason = _repeats_key(connection, plan, given, column)
        columns.append(replace(column, left_out=reason, buckets=_buckets(column)))
    return replace(plan, columns=tuple(columns), buckets=_key_buckets(plan))


def _repeats_key(
    connection: duckdb.DuckDBPyConnection, plan: SidePlan, given: Side, column: Column
) -> str:
    if column.kind != "single" or plan.key.column is None:
        return ""
    key = key_text(soundness.reading_of(given, plan.key.column))
    equal, known = one_row(
        connection,
        f"SELECT count(*) FILTER (CAST({column.expression} AS VARCHAR) = {key}), "
        f"count({column.expression}) FROM {given.view}",
    )
    return "it repeats the id" if equal == known else ""


def _buckets(column: Column) -> int | None:
    """Rows of a hashed vocabulary: the next power of two; None for an exact one."""
    if column.table is not None or column.kind not in ("single", "multi") or not column.profile:
        return None
    return _hashed(column.profile.num_distinct)


def _key_buckets(plan: SidePlan) -> int | None:
    return None if plan.table is not None else _hashed(plan.num_keys)


def _hashed(num_values: int) -> int | None:
    return 2 ** math.ceil(math.log2(num_values)) if num_values > _EXACT_VALUES else None


def _plan_interactions(
    connection: duckdb.DuckDBPyConnection,
    items: tuple[Side, Key],
    queries: tuple[Side | None, Key],
    interactions: Side,
    wanted_weight: str | None,
) -> InteractionsPlan:
    table = interactions.table
    weight = soundness.weight_column(connection, table, interactions, wanted_weight)
    item = key_text(soundness.reading_of(interactions, items[1].interactions_column))
    query = key_text(soundness.reading_of(interactions, queries[1].interactions_column))
    (pairs,) = one_row(
        connection,
        f"SELECT count(*) FROM (SELECT DISTINCT {query}, {item} FROM {interactions.view})",
    )
    used = {
        items[1].interactions_column,
        queries[1].interactions_column,
        interactions.moment.column,
        weight,
    }
    unknown_items = soundness.share_unknown(connection, *items, interactions)
    unknown_queries = 0.0
    if queries[0] is not None:
        unknown_queries = soundness.share_unknown(connection, queries[0], queries[1], interactions)
    return InteractionsPlan(
        path=table.path,
        num_rows=table.num_rows,
        num_pairs=pairs,
        moment=interactions.moment,
        weight=weight,
        unused=tuple(name for name in table.names if name not in used),
        unknown_items=unknown_items,
        unknown_queries=unknown_queries,
    )
