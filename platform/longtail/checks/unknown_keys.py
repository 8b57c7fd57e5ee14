"""Checks for interactions that name an unknown query or item."""

from collections.abc import Iterator
from typing import Any

from longtail.checks.check import check
from longtail.checks.inspected_project import TABLE_OF, Inspection, quoted
from longtail.features.feast.table_validation import json_value
from longtail.features.finding import MAX_EXAMPLES, Finding
from longtail.features.schema import Side

MISMATCH = 0.5
"""Share of interactions without a row above which the two tables seem to write ids differently."""


@check("warning", "interactions")
def dangling_keys(inspection: Inspection) -> Iterator[Finding]:
    """Interactions with a query or an item that has no row, or none by the time they happen.

    They train on the id alone. If more than half of the interactions have no row, that is
    `mismatched_keys` instead.
    """
    for side, facts in _count_unknown(inspection):
        table = inspection.sources[TABLE_OF[side]]
        if 0 < facts["num_never"] <= MISMATCH * facts["num_rows"]:
            yield _finding(
                *(inspection, side, facts["num_never"], facts["num_rows"]),
                f"that has no row in {table}",
                f"add the missing rows to {table}, or drop these interactions, which train on the "
                "id alone",
                "born IS NULL",
            )
        if facts["num_early"]:
            yield _finding(
                *(inspection, side, facts["num_early"], facts["num_rows"]),
                f"that has its first row in {table} only after the interaction",
                f"stamp the rows of {table} with the moment from which their values hold, because "
                "only the id is known before",
                "born > i.event_timestamp",
            )


@check("error", "interactions")
def mismatched_keys(inspection: Inspection) -> Iterator[Finding]:
    """Ids written in two ways: more than half of the interactions name a query, or an item, that
    has no row at all."""
    for side, facts in _count_unknown(inspection):
        if facts["num_never"] > MISMATCH * facts["num_rows"]:
            table = inspection.sources[TABLE_OF[side]]
            known = inspection.rows(
                f"SELECT {quoted(inspection.key(side))} AS key FROM {side}_rows LIMIT 1"
            )
            yield _finding(
                *(inspection, side, facts["num_never"], facts["num_rows"]),
                f"that has no row in {table}",
                f"write the ids in the same way in both tables (in {table} they look like "
                f"{known[0]['key']!r})",
                "born IS NULL",
            )


def _count_unknown(inspection: Inspection) -> Iterator[tuple[Side, dict[str, Any]]]:
    """Yield each side with the numbers of interactions, of those that never have a row of the side
    (`num_never`), and of those that have it only later (`num_early`)."""
    if "interactions" not in inspection.known:
        return
    for side in inspection.sides:
        yield (
            side,
            inspection.row(
                "SELECT count(*) AS num_rows, count(*) FILTER (born IS NULL) AS num_never, "
                "count(*) FILTER (born > i.event_timestamp) AS num_early "
                f"FROM {_with_birth(inspection, side)}"
            ),
        )


def _with_birth(inspection: Inspection, side: Side) -> str:
    """Return SQL for the interactions `i` with `born`, the timestamp of the side's first row."""
    return (
        f"interactions i LEFT JOIN (SELECT {quoted(inspection.key(side))} AS key, "
        f"min(event_timestamp) AS born FROM {side}_rows GROUP BY 1) b ON i.{side}_id = b.key"
    )


def _finding(
    inspection: Inspection,
    side: Side,
    num_rows: int,
    num_interactions: int,
    what: str,
    cure: str,
    condition: str,
) -> Finding:
    """Return the finding about the interactions that an SQL condition selects."""
    examples = inspection.rows(
        "SELECT query_id, item_id, i.event_timestamp FROM "
        f"{_with_birth(inspection, side)} WHERE {condition} "
        f"ORDER BY {side}_id, i.event_timestamp LIMIT {MAX_EXAMPLES}"
    )
    names = ", ".join(dict.fromkeys(str(row[f"{side}_id"]) for row in examples))
    source = inspection.sources["interactions"]
    return Finding(
        f"{num_rows} of {num_interactions} interactions in {source} have a `{side}_id` {what}, "
        f"such as {names}",
        cure,
        *(source, "interactions", f"{side}_id", num_rows),
        tuple({name: json_value(value) for name, value in row.items()} for row in examples),
    )
