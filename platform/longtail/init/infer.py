"""Infers the plan of a project from the three tables, and leaves the work to a module per step."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import duckdb

from longtail.config import ChecksConfig
from longtail.errors import InputError
from longtail.init.column_roles import explain_columns
from longtail.init.embedding_tables import assign_tables
from longtail.init.feature_kinds import plan_column
from longtail.init.keys.id_rules import DIFFERENCES, ID_RULES
from longtail.init.keys.key import Key
from longtail.init.keys.key_columns import find_keys
from longtail.init.keys.row_numbers import is_row_number, row_number_columns
from longtail.init.keys.unmatched_ids import examples_alike, share_alike
from longtail.init.opened_table import OpenedTable, ReadingOptions, open_table
from longtail.init.project_plan import InteractionsPlan, ProjectPlan, Request, SidePlan
from longtail.init.roles_file import measure_roles
from longtail.init.safe_names import feature_names, project_name
from longtail.init.table_checks import check_complete, has_repeats, share_unknown
from longtail.init.tables.column_readings import Reading
from longtail.init.tables.raw_tables import Role, open_raw_table
from longtail.init.tables.sql import one_row
from longtail.init.times.row_times import interactions_moment, snapshot_moment
from longtail.init.times.time_columns import EPOCH, Moment, unnamed_moment
from longtail.init.tombstones import find_tombstone, suspected_tombstones
from longtail.init.weights import Weight, find_weight


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
    # A time under a name that says nothing must be none of the columns that have a role.
    weight, interactions = _weight_and_moment(
        connection, interactions, item_key, query_key, request
    )
    _check_formats(request, *({**tables, "interactions": interactions}.values()))

    item_plan = _plan_side(connection, "item", items, item_key, interactions, request)
    if queries is not None:
        query_plan = _plan_side(connection, "query", queries, query_key, interactions, request)
    else:
        query_plan = _plan_queries_without_table(connection, query_key, interactions)

    # Features can share embeddings only across sides, so both sides must be planned before.
    source = interactions if queries is None else queries
    assigned = assign_tables(
        connection, (items, item_plan), (source, query_plan), keys_shared=_keys_shared(request)
    )
    item_plan, query_plan = assigned.items, assigned.queries
    # Interactions without timestamps borrow the newest one of the sides, so they come last.
    moment = interactions_moment(
        connection, interactions, [(items, item_plan.moment), (source, query_plan.moment)]
    )
    interactions = replace(interactions, moment=moment)
    interactions_plan = _plan_interactions(
        connection, interactions, (items, item_key), (source, query_key), weight
    )
    plan = ProjectPlan(
        name=project_name(name),
        items=item_plan,
        queries=query_plan,
        interactions=interactions_plan,
        columns=explain_columns(
            connection,
            {**tables, "interactions": interactions},
            (item_plan, query_plan),
            interactions_plan,
        ),
        measured=measure_roles(
            connection,
            ((items, item_plan), (source, query_plan)),
            (interactions, interactions_plan),
        ),
        notes=(
            *(f"{role}: {note}" for role, table in tables.items() for note in table.raw.notes),
            *_nearly_unmatched(connection, (items, item_key), (source, query_key), interactions),
            *suspected_tombstones(connection, items, _roles(item_plan)),
            *assigned.notes,
        ),
        doubts=tuple(_doubts(item_plan, query_plan, interactions_plan)),
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
    reading = ReadingOptions(request.time_column, request.time_format, request.ids, request.ignore)
    raw = {
        role: open_raw_table(role, path, scratch, connection, comment=request.comment)
        for role, path, _ in given
        if path is not None
    }
    # One table with the column is enough. In none of them, the name must be misspelt.
    named = [("--time-column", request.time_column)] if request.time_column else []
    for option, column in [*named, *(("--ignore", column) for column in request.ignore)]:
        if not any(column in (n, f"{r}.{n}") for r, table in raw.items() for n in table.names):
            raise InputError(f"no table has the column `{column}`: correct {option}")
    return {
        role: open_table(connection, raw[role], reading, wanted_key)
        for role, _, wanted_key in given
        if role in raw
    }


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
    used = _named(key.column, table.moment.column)
    tombstone = find_tombstone(connection, table, used) if side == "item" else None
    if tombstone is not None:
        used |= {tombstone.column, *tombstone.same}
    others = [reading for reading in table.readings if reading.name not in used]
    names = feature_names([reading.name for reading in others])
    columns = tuple(
        plan_column(connection, table.view, reading, names[reading.name], table.raw.num_rows)
        for reading in (_without_row_number(connection, table, reading) for reading in others)
    )
    return SidePlan(
        side=side,
        path=table.raw.path,
        num_rows=table.raw.num_rows,
        num_keys=num_keys,
        key=key,
        moment=snapshot_moment(
            connection, table, key, interactions, insists=table.moment.column == request.time_column
        ),
        columns=columns,
        tombstone=tombstone,
        repeats=repeats,
    )


def _without_row_number(
    connection: duckdb.DuckDBPyConnection, table: OpenedTable, reading: Reading
) -> Reading:
    """Return the reading, or an unreadable one if the column only numbers the rows."""
    if reading.form == "unreadable" or not is_row_number(
        connection, table.view, reading, table.raw.num_rows
    ):
        return reading
    return replace(reading, form="unreadable", reason="it numbers the rows")


def _plan_queries_without_table(
    connection: duckdb.DuckDBPyConnection, key: Key, interactions: OpenedTable
) -> SidePlan:
    ids = interactions.id_text(key.interactions_column)
    (num_keys,) = one_row(connection, f"SELECT count(DISTINCT {ids}) FROM {interactions.view}")
    moment = Moment(None, EPOCH, "taken from the interactions: 1970-01-01 is used for all rows")
    return SidePlan("query", None, num_keys, num_keys, key, moment, columns=())


def _weight_and_moment(
    connection: duckdb.DuckDBPyConnection,
    interactions: OpenedTable,
    item_key: Key,
    query_key: Key,
    request: Request,
) -> tuple[Weight | None, OpenedTable]:
    """Return the weight of the interactions, and the interactions with their timestamp."""
    keys = (item_key.interactions_column, query_key.interactions_column)
    used = _named(*keys, interactions.moment.column)
    weight = find_weight(
        connection, interactions, request.weight, used, ChecksConfig().max_refused_share
    )
    if interactions.moment.column is None:
        used |= set() if weight is None else {weight.column}
        readable = [each for each in interactions.readings if each.form != "unreadable"]
        used |= row_number_columns(
            connection, interactions.view, readable, interactions.raw.num_rows
        )
        moment = unnamed_moment(
            connection, interactions.raw, interactions.view, readable, used, request.time_format
        )
        if moment is not None:
            interactions = replace(interactions, moment=moment)
    return weight, interactions


def _check_formats(request: Request, *tables: OpenedTable) -> None:
    """Refuse a format that the user named and that no table has: it is meant for one of them."""
    for named in request.time_format:
        if not any(table.moment.format in (named, "") for table in tables if table.moment.column):
            read = [
                f"`{table.moment.column}` of {table.raw.path} is read as {table.moment.format}"
                for table in tables
                if table.moment.column
            ]
            raise InputError(
                f"--time-format {named} fits no column of times "
                f"({', '.join(read) or 'there is none'}): correct it, or leave it out"
            )


def _plan_interactions(
    connection: duckdb.DuckDBPyConnection,
    interactions: OpenedTable,
    items: tuple[OpenedTable, Key],
    queries: tuple[OpenedTable, Key],
    weight: Weight | None,
) -> InteractionsPlan:
    item_column, query_column = items[1].interactions_column, queries[1].interactions_column
    pair = f"{interactions.id_text(query_column)} AS q, {interactions.id_text(item_column)} AS i"
    value = "1" if weight is None else weight.expression
    num_pairs, num_reweighted = one_row(
        connection,
        "SELECT count(*), count(*) FILTER (different > 1) FROM (SELECT q, i, count(DISTINCT w) "
        f"AS different FROM (SELECT {pair}, {value} AS w FROM {interactions.view}) GROUP BY q, i)",
    )
    used = {item_column, query_column, interactions.moment.column}
    used |= set() if weight is None else {weight.column}
    return InteractionsPlan(
        path=interactions.raw.path,
        num_rows=interactions.raw.num_rows,
        num_pairs=num_pairs,
        moment=interactions.moment,
        weight=weight,
        num_reweighted=num_reweighted,
        unused=tuple(name for name in interactions.raw.names if name not in used),
        unknown_items=share_unknown(connection, *items, interactions),
        unknown_queries=share_unknown(connection, *queries, interactions),
    )


def _roles(side: SidePlan) -> set[str]:
    """Return the columns of a side that are no features."""
    tombstone = () if side.tombstone is None else (side.tombstone.column, *side.tombstone.same)
    return _named(side.key.column, side.moment.column, *tombstone)


def _named(*columns: str | None) -> set[str]:
    return {column for column in columns if column is not None}


def _nearly_unmatched(
    connection: duckdb.DuckDBPyConnection,
    items: tuple[OpenedTable, Key],
    queries: tuple[OpenedTable, Key],
    interactions: OpenedTable,
) -> Iterator[str]:
    """Yield a note for each key of which some ids would match if they were written in one way."""
    for table, key in (items, queries):
        if key.column is None or key.known == 1.0:
            continue
        columns = (key.column, key.interactions_column)
        for rule in ID_RULES:
            share = share_alike(connection, table, interactions, columns, (rule,))
            if share > key.known:
                examples = examples_alike(connection, table, interactions, columns, (rule,))
                yield (
                    f"{share - key.known:.1%} of the ids in `{columns[1]}` of the interactions "
                    f"would match an id of {table.raw.path} but for {DIFFERENCES[rule]}, such as "
                    f"{examples}: --ids {rule} makes them alike"
                )


def _doubts(items: SidePlan, queries: SidePlan, interactions: InteractionsPlan) -> Iterator[str]:
    """Yield the guesses that a careful person would look at before going on."""
    moments = ((items.view, items.moment), (queries.view, queries.moment))
    for table, moment in (*moments, ("interactions", interactions.moment)):
        if moment.column is not None and moment.is_guess:
            yield f"`{moment.column}` of the {table} is taken for their time: {moment.note}"
    if items.tombstone is not None:
        yield (
            f"`{items.tombstone.column}` of the items says which of them still exist: "
            f"{items.tombstone.gone_share:.1%} do not, and are left out of the catalogue"
        )
    if interactions.num_reweighted:
        yield (
            f"{interactions.num_reweighted:,} pairs have several rows with different weights: the "
            "largest counts, from the earliest time on (`features.repeated_weights` in "
            "longtail.yaml: max, sum or last)"
        )
