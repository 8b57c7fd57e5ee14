"""Infers the plan of a project from the three tables, and leaves the work to a module per step."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import duckdb

from longtail.errors import InputError
from longtail.init.embedding_tables import assign_tables
from longtail.init.feature_kinds import plan_column
from longtail.init.key_columns import Key, find_keys
from longtail.init.opened_table import OpenedTable, open_table
from longtail.init.project_plan import InteractionsPlan, ProjectPlan, Request, SidePlan
from longtail.init.row_times import interactions_moment, snapshot_moment
from longtail.init.safe_names import feature_names, project_name
from longtail.init.table_checks import check_complete, has_repeats, share_unknown, weight_column
from longtail.init.tables.raw_tables import Role
from longtail.init.tables.sql import one_row, quoted
from longtail.init.time_columns import EPOCH, Moment, snake_case


def infer_project(
    connection: duckdb.DuckDBPyConnection, request: Request, name: str, scratch: Path
) -> tuple[ProjectPlan, dict[Role, OpenedTable]]:
    """Read the tables and plan the project.

    The connection keeps a view of each table, from which the project's tables are written later.

    Args:
        name: the name of the project's folder.
        scratch: an existing folder for temporary files.

    Returns:
        the plan, and the opened tables by role.

    Raises:
        InputError: a table is missing or unreadable, or the three do not fit each other.
    """
    tables = _open_tables(connection, request, scratch)
    items, queries, interactions = tables["items"], tables.get("queries"), tables["interactions"]

    item_key, query_key = find_keys(connection, items, queries, interactions)
    for key in (item_key, query_key):
        check_complete(connection, interactions, key.interactions_column)

    item_plan = _plan_side(connection, "item", items, item_key, interactions, request)
    if queries is not None:
        query_plan = _plan_side(connection, "query", queries, query_key, interactions, request)
    else:
        query_plan = _plan_queries_without_table(connection, query_key, interactions)

    # Features can share embeddings only across sides, so both sides must be planned before.
    source = interactions if queries is None else queries
    item_plan, query_plan = assign_tables(
        connection, (items, item_plan), (source, query_plan), keys_shared=_keys_shared(request)
    )
    # Interactions without timestamps borrow the newest one of the sides, so they come last.
    moment = interactions_moment(
        connection, interactions, [(items, item_plan.moment), (source, query_plan.moment)]
    )
    plan = ProjectPlan(
        name=project_name(name),
        items=item_plan,
        queries=query_plan,
        interactions=_plan_interactions(
            connection,
            replace(interactions, moment=moment),
            (items, item_key),
            (source, query_key),
            request.weight,
        ),
    )
    return plan, tables


def _open_tables(
    connection: duckdb.DuckDBPyConnection, request: Request, scratch: Path
) -> dict[Role, OpenedTable]:
    query_key = _split_key(request.query_key)
    given: list[tuple[Role, Path | None, tuple[str | None, str | None]]] = [
        ("items", request.items, _split_key(request.item_key)),
        ("queries", request.queries, query_key),
        # For queries without a table, `--query-key user` names a column of the interactions.
        ("interactions", request.interactions, (None, query_key[1] or query_key[0])),
    ]
    tables: dict[Role, OpenedTable] = {}
    for role, path, wanted_key in given:
        if path is not None:
            tables[role] = open_table(
                connection,
                role,
                path,
                scratch,
                timestamp=request.timestamp,
                wanted_key=wanted_key,
            )
    # One table with the column is enough. In none of them, the name must be misspelt.
    timestamp = request.timestamp
    if timestamp and not any(timestamp in table.raw.names for table in tables.values()):
        raise InputError(f"no table has the column `{timestamp}`: correct --timestamp")
    return tables


def _split_key(option: str | None) -> tuple[str | None, str | None]:
    """Return the columns in an option: `id=item_id` -> (id, item_id), `id` -> (id, None)."""
    if option is None:
        return None, None
    own, _, other = option.partition("=")
    return own, other or None


def _keys_shared(request: Request) -> bool | None:
    """Return whether items and queries have the same ids; None if only the values can tell."""
    if request.shared_ids is not None or request.queries is None:
        return request.shared_ids
    return True if request.queries.resolve() == request.items.resolve() else None


def _plan_side(
    connection: duckdb.DuckDBPyConnection,
    side: Literal["item", "query"],
    table: OpenedTable,
    key: Key,
    interactions: OpenedTable,
    request: Request,
) -> SidePlan:
    assert key.column is not None
    check_complete(connection, table, key.column)
    repeats = has_repeats(connection, table, key.column)
    (num_keys,) = one_row(
        connection, f"SELECT count(DISTINCT {table.id_text(key.column)}) FROM {table.view}"
    )
    # Key, timestamp and tombstone have a place of their own. All other columns may be features.
    active = _find_tombstone(connection, table) if side == "item" else None
    used = {key.column, table.moment.column, active}
    others = [reading for reading in table.readings if reading.name not in used]
    names = feature_names([reading.name for reading in others])
    columns = tuple(
        plan_column(connection, table.view, reading, names[reading.name], table.raw.num_rows)
        for reading in others
    )
    return SidePlan(
        side=side,
        path=table.raw.path,
        num_rows=table.raw.num_rows,
        num_keys=num_keys,
        key=key,
        moment=snapshot_moment(
            connection, table, key, interactions, insists=request.timestamp is not None
        ),
        columns=columns,
        active=None if active is None else f"CAST({quoted(active)} AS BOOLEAN)",
        repeats=repeats,
    )


def _plan_queries_without_table(
    connection: duckdb.DuckDBPyConnection, key: Key, interactions: OpenedTable
) -> SidePlan:
    ids = interactions.id_text(key.interactions_column)
    (num_keys,) = one_row(connection, f"SELECT count(DISTINCT {ids}) FROM {interactions.view}")
    moment = Moment(None, EPOCH, "taken from the interactions: 1970-01-01 is used for all rows")
    return SidePlan("query", None, num_keys, num_keys, key, moment, columns=())


def _find_tombstone(connection: duckdb.DuckDBPyConnection, items: OpenedTable) -> str | None:
    """Return the column that says whether an item still exists: `active`, if it is boolean or 0/1.

    Other columns of that name are features.
    """
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
            # Both are None where every row is null: such a column says nothing.
            if lowest is not None and lowest >= 0 and highest <= 1:
                return reading.name
    return None


def _plan_interactions(
    connection: duckdb.DuckDBPyConnection,
    interactions: OpenedTable,
    items: tuple[OpenedTable, Key],
    queries: tuple[OpenedTable, Key],
    wanted_weight: str | None,
) -> InteractionsPlan:
    weight = weight_column(connection, interactions, wanted_weight)
    item_column, query_column = items[1].interactions_column, queries[1].interactions_column
    item, query = interactions.id_text(item_column), interactions.id_text(query_column)
    (num_pairs,) = one_row(
        connection,
        f"SELECT count(*) FROM (SELECT DISTINCT {query}, {item} FROM {interactions.view})",
    )
    used = {item_column, query_column, interactions.moment.column, weight}
    return InteractionsPlan(
        path=interactions.raw.path,
        num_rows=interactions.raw.num_rows,
        num_pairs=num_pairs,
        moment=interactions.moment,
        weight=weight,
        unused=tuple(name for name in interactions.raw.names if name not in used),
        unknown_items=share_unknown(connection, *items, interactions),
        unknown_queries=share_unknown(connection, *queries, interactions),
    )
