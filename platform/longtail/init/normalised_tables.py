"""The project's own tables: what was given, in the names and types of the data contract."""

from pathlib import Path

import duckdb

from longtail.init.key_columns import key_text
from longtail.init.names import PLACEHOLDER
from longtail.init.project_plan import ProjectPlan, SidePlan
from longtail.init.tables.column_readings import Reading
from longtail.init.tables.sql import literal, quoted


def write_tables(
    connection: duckdb.DuckDBPyConnection,
    plan: ProjectPlan,
    readings: dict[str, dict[str, Reading]],
    folder: Path,
) -> None:
    """Write items, queries and interactions as Parquet, streaming from the views of readings.

    Args:
        readings: of each table's columns, by the table's role and the column's name.
        folder: an existing folder, which gets three files.
    """
    for side in (plan.items, plan.queries):
        _copy(connection, _side_query(side, readings), folder / f"{side.view}.parquet")
    interactions = plan.interactions
    columns = [
        f"{_key(readings['interactions'], plan.queries.key.interactions_column)} AS query_id",
        f"{_key(readings['interactions'], plan.items.key.interactions_column)} AS item_id",
        f"{interactions.moment.expression} AS event_timestamp",
    ]
    if interactions.weight is not None:
        columns.append(f"CAST({quoted(interactions.weight)} AS FLOAT) AS weight")
    query = f"SELECT {', '.join(columns)} FROM interactions_read"
    _copy(connection, query, folder / "interactions.parquet")


def _side_query(side: SidePlan, readings: dict[str, dict[str, Reading]]) -> str:
    if side.key.column is None:
        key = _key(readings["interactions"], side.key.interactions_column)
        return (
            f"SELECT DISTINCT {key} AS query_id, 'yes' AS {PLACEHOLDER}, "
            f"{side.moment.expression} AS event_timestamp FROM interactions_read ORDER BY query_id"
        )
    columns = [f"{_key(readings[side.view], side.key.column)} AS {side.side}_id"]
    columns += [f"{column.expression} AS {quoted(column.name)}" for column in side.declared]
    if side.has_placeholder:
        columns.append(f"'yes' AS {PLACEHOLDER}")
    columns.append(f"{side.moment.expression} AS event_timestamp")
    if side.active is not None:
        columns.append(f"{side.active} AS active")
    distinct = "DISTINCT " if side.repeats else ""
    return f"SELECT {distinct}{', '.join(columns)} FROM {side.view}_read"


def _key(readings: dict[str, Reading], column: str) -> str:
    return key_text(readings[column])


def _copy(connection: duckdb.DuckDBPyConnection, query: str, file: Path) -> None:
    connection.execute(f"COPY ({query}) TO {literal(str(file))} (FORMAT parquet, COMPRESSION zstd)")
