"""What was found, for people and for programs: one document."""

from pathlib import Path
from typing import Any

from longtail.init.feature_kinds import Column
from longtail.init.project_plan import ProjectPlan, SidePlan


def summarise(plan: ProjectPlan, folder: Path) -> dict[str, Any]:
    """The JSON document of `longtail init`.

    Returns:
        `{"folder", "configuration", "project", "shared_ids", "items", "queries", "interactions",
        "warnings"}`; of items and queries `{"path", "num_rows", "num_keys", "key",
        "interactions_key", "known", "timestamp", "tombstone", "features": [...]}`.
    """
    interactions = plan.interactions
    return {
        "folder": str(folder),
        "configuration": str(folder / "longtail.yaml"),
        "project": plan.name,
        "shared_ids": plan.shared_ids,
        "items": _side(plan.items),
        "queries": _side(plan.queries),
        "interactions": {
            "path": str(interactions.path),
            "num_rows": interactions.num_rows,
            "num_pairs": interactions.num_pairs,
            "timestamp": {
                "column": interactions.moment.column,
                "note": interactions.moment.note,
            },
            "weight": interactions.weight,
            "unused": list(interactions.unused),
        },
        "warnings": _warnings(plan),
    }


def _side(side: SidePlan) -> dict[str, Any]:
    return {
        "path": None if side.path is None else str(side.path),
        "num_rows": side.num_rows,
        "num_keys": side.num_keys,
        "key": side.key.column,
        "interactions_key": side.key.interactions_column,
        "known": side.key.known,
        "table": side.table,
        "timestamp": {"column": side.moment.column, "note": side.moment.note},
        "tombstone": side.active is not None,
        "features": [_feature(column) for column in side.columns],
    }


def _feature(column: Column) -> dict[str, Any]:
    profile = column.profile
    return {
        "column": column.source,
        "name": column.name,
        "kind": column.kind,
        "type": column.feast_type or None,
        "num_distinct": None if profile is None or column.kind == "dense" else profile.num_distinct,
        "coverage": None if profile is None else profile.coverage,
        "length": None if profile is None else profile.length,
        "table": column.table,
        "buckets": column.buckets,
        "note": column.note,
        "left_out": column.left_out or None,
    }


def _warnings(plan: ProjectPlan) -> list[str]:
    found = []
    for share, side in (
        (plan.interactions.unknown_items, plan.items),
        (plan.interactions.unknown_queries, plan.queries),
    ):
        if share:
            found.append(
                f"{share:.1%} of the interactions name a {side.side} without a row in {side.path}: "
                "they train on its id alone"
            )
    timeless = [
        side.view for side in (plan.items, plan.queries) if side.moment.column is None and side.path
    ]
    if timeless:
        found.append(
            f"{' and '.join(timeless)} have no times: their features count as true since "
            "1970-01-01, so every interaction sees today's values, those that came after it too"
        )
    if plan.interactions.moment.column is None:
        found.append(
            "the interactions have no times: training cannot be held to what was known before, "
            "`dataset.split: time` means nothing, and every run counts as of the last complete day"
        )
    for side in (plan.items, plan.queries):
        if side.repeats:
            found.append(f"{side.path} has rows that are there twice: each is written once")
    if plan.items.has_placeholder:
        found.append(
            "the items have no feature but their id: nothing can be learned of those that nobody "
            "chose"
        )
    if plan.interactions.unused:
        found.append(
            f"unused columns of the interactions: {', '.join(plan.interactions.unused)}; all rows "
            "count as positive, so leave out what nobody wanted, or name a --weight"
        )
    return found
