"""Describes the plan of a project in one JSON document, which the command line also prints from."""

from pathlib import Path
from typing import Any

from longtail.init.feature_kinds import Column
from longtail.init.project_plan import ProjectPlan, SidePlan


def summarise(plan: ProjectPlan, folder: Path) -> dict[str, Any]:
    """Return the JSON document of `longtail init`.

    Returns:
        `{"folder", "configuration", "project", "shared_ids", "items", "queries", "interactions",
        "columns", "doubts", "warnings"}`. Items and queries are `{"path", "num_rows", "num_keys",
        "key", "interactions_key", "known", "table", "timestamp", "tombstone", "features": [...]}`.
        `columns` lists every column with its role, `doubts` the guesses to look at.
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
            "weight": interactions.weight and interactions.weight.column,
            "unused": list(interactions.unused),
        },
        "columns": [vars(column) for column in plan.columns],
        "doubts": list(plan.doubts),
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
        "tombstone": side.tombstone is not None,
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
    """Return what the user should know about the data before training on it."""
    interactions, sides = plan.interactions, (plan.items, plan.queries)
    found = [*plan.notes, *plan.doubts]
    for side, share in zip(
        sides, (interactions.unknown_items, interactions.unknown_queries), strict=True
    ):
        if share:
            article = "an" if side.side == "item" else "a"
            found.append(
                f"{share:.1%} of the interactions name {article} {side.side} without a row in "
                f"{side.path}: they train on its id alone"
            )
    # Queries without a table have no features, so their times do not matter.
    timeless = [side.view for side in sides if side.moment.column is None and side.path]
    if timeless:
        found.append(
            f"{' and '.join(timeless)} have no timestamps: their features count as true since "
            "1970-01-01, so training uses today's values for every interaction, even values that "
            "are newer than it"
        )
    if interactions.moment.column is None:
        found.append(
            "the interactions have no timestamps: training cannot be limited to what was known "
            "before each of them, `dataset.split: time` has no meaning, and every run counts as of "
            "the last complete day"
        )
    for side in sides:
        if side.repeats:
            found.append(f"{side.path} has repeated rows: each is written once")
    # An item without interactions is known to the model by its features only.
    if plan.items.has_placeholder:
        found.append(
            "the items have no feature but their id: the model learns nothing about items without "
            "interactions"
        )
    if interactions.unused:
        found.append(
            f"unused columns of the interactions: {', '.join(interactions.unused)}; all rows count "
            "as positive, so leave out the rows that are not, or name a column of weights with "
            "--weight"
        )
    return found
