"""Writes the project's tables: the user's values under the names and types of the data contract."""

from collections.abc import Mapping
from pathlib import Path

import duckdb

from longtail.init.opened_table import OpenedTable
from longtail.init.project_plan import ProjectPlan, SidePlan
from longtail.init.safe_names import PLACEHOLDER
from longtail.init.tables.raw_tables import Role
from longtail.init.tables.sql import literal, quoted


def write_tables(
    connection: duckdb.DuckDBPyConnection,
    plan: ProjectPlan,
    tables: Mapping[Role, OpenedTable],
    folder: Path,
) -> None:
    """Write items, queries and interactions as Parquet, streaming from the user's tables.

    Args:
        tables: the user's tables by role; without queries, their ids come from the interactions.
        folder: an existing folder, which gets three files.
    """
    for side in (plan.items, plan.queries):
        _copy(connection, _side_query(side, tables), folder / f"{side.view}.parquet")
    interactions = tables["interactions"]
    columns = [
        f"{interactions.id_text(plan.queries.key.interactions_column)} AS query_id",
        f"{interactions.id_text(plan.items.key.interactions_column)} AS item_id",
        f"{plan.interactions.moment.expression} AS event_timestamp",
    ]
    if plan.interactions.weight is not None:
        columns.append(f"CAST({plan.interactions.weight.expression} AS FLOAT) AS weight")
    query = f"SELECT {', '.join(columns)} FROM {interactions.view}"
    _copy(connection, query, folder / "interactions.parquet")


def _side_query(side: SidePlan, tables: Mapping[Role, OpenedTable]) -> str:
    """Return SQL for the rows of the items or the queries."""
    if side.key.column is None:
        interactions = tables["interactions"]
        return (
            f"SELECT DISTINCT {interactions.id_text(side.key.interactions_column)} AS query_id, "
            f"'yes' AS {PLACEHOLDER}, {side.moment.expression} AS event_timestamp "
            f"FROM {interactions.view} ORDER BY query_id"
        )
    table = tables[side.view]
    columns = [f"{table.id_text(side.key.column)} AS {side.side}_id"]
    columns += [f"{column.expression} AS {quoted(column.name)}" for column in side.declared]
    if side.has_placeholder:
        columns.append(f"'yes' AS {PLACEHOLDER}")
    columns.append(f"{side.moment.expression} AS event_timestamp")
    if side.tombstone is not None:
        columns.append(f"{side.tombstone.expression} AS active")
    distinct = "DISTINCT " if side.repeats else ""
    return f"SELECT {distinct}{', '.join(columns)} FROM {table.view}"


def _copy(connection: duckdb.DuckDBPyConnection, query: str, file: Path) -> None:
    connection.execute(f"COPY ({query}) TO {literal(str(file))} (FORMAT parquet, COMPRESSION zstd)")
