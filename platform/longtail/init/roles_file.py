"""Measures what the roles rest on; `longtail check` compares the figures with later tables."""

from typing import Any

import duckdb

from longtail.init.opened_table import OpenedTable
from longtail.init.project_plan import InteractionsPlan, ProjectPlan, SidePlan
from longtail.init.tables.sql import one_row
from longtail.init.times.time_columns import Moment

ROLES = "roles.json"


def measure_roles(
    connection: duckdb.DuckDBPyConnection,
    sides: tuple[tuple[OpenedTable, SidePlan], tuple[OpenedTable, SidePlan]],
    interactions: tuple[OpenedTable, InteractionsPlan],
) -> dict[str, Any]:
    """Return the figures of `roles.json`.

    Args:
        sides: items and queries with their plans; for queries without a table, the interactions.

    Returns:
        `keys` and `times` by table, `weight` and `tombstone` (None where there is none).
    """
    table, plan = interactions
    return {
        "keys": {
            side.view: {
                "column": side.key.column,
                "interactions_column": side.key.interactions_column,
                "known": side.key.known,
            }
            for _, side in sides
        },
        "weight": plan.weight and {"column": plan.weight.column, **plan.weight.measured},
        "times": {
            **{side.view: _times(connection, own, side.moment) for own, side in sides},
            "interactions": _times(connection, table, plan.moment),
        },
        "tombstone": next(
            (
                {"column": side.tombstone.column, "gone_share": side.tombstone.gone_share}
                for _, side in sides
                if side.tombstone is not None
            ),
            None,
        ),
    }


def roles_document(plan: ProjectPlan) -> dict[str, Any]:
    """Return the whole content of `roles.json`: the figures, and the role of every column."""
    return {**plan.measured, "columns": [vars(column) for column in plan.columns]}


def _times(
    connection: duckdb.DuckDBPyConnection, table: OpenedTable, moment: Moment
) -> dict[str, Any]:
    first, last = one_row(
        connection,
        f"SELECT min({moment.expression}), max({moment.expression}) FROM {table.view}",
    )
    return {"column": moment.column, "first": first.isoformat(), "last": last.isoformat()}
