"""Checks of what `longtail init` understood against the tables of today: keys, times, tombstone.

They look at all rows that a table has, whatever the day of the run is, because `longtail init`
measured all rows too. Weights are in `weights.py`.
"""

from collections.abc import Iterator
from typing import Any

from longtail.checks.check import check
from longtail.checks.inspected_project import TABLE_OF, Inspection, quoted
from longtail.checks.recorded_roles import (
    RecordedKey,
    RecordedTimes,
    exceeds,
    read_roles,
    recording,
    roles_file,
)
from longtail.checks.unknown_keys import mismatched_keys
from longtail.errors import InputError
from longtail.features.feast.history import ACTIVE
from longtail.features.feast.refused_rows import TIMESTAMP
from longtail.features.finding import MAX_EXAMPLES, TABLES, Finding, TableName
from longtail.features.schema import Side

OLDER_DAYS = 730
"""Days by which a row must be older than the oldest recorded row to look wrong."""
BACK_DAYS = 1
"""Days by which the newest row may be older than the newest recorded row, since dates may replace
moments."""
MIN_GONE = 5
"""Fewest items that should be gone from which it is strange that none is."""


@check("warning")
def recorded_roles(inspection: Inspection) -> Iterator[Finding]:
    """A `roles.json` that cannot be read, so that the project's roles are not checked.

    `longtail init` writes it; a project without the file is fine.
    """
    try:
        read_roles(inspection.config.feature_repo)
    except InputError as error:
        yield Finding.of(str(error), str(roles_file(inspection.config.feature_repo)))


@check("warning", "interactions")
def key_overlap(inspection: Inspection) -> Iterator[Finding]:
    """Ids in the interactions that have a row less often than at `longtail init`: the share of the
    different ids fell by more than `checks.max_overlap_loss`.

    If more than half of the interactions have no row, `mismatched_keys` says so instead.
    """
    if inspection.roles is None or "interactions" not in inspection.admitted:
        return
    told = set()
    if inspection.config.checks.severity.get(mismatched_keys.name) != "ignore":
        told = {finding.column for finding in mismatched_keys.find(inspection)}
    for side, table in TABLE_OF.items():
        then = inspection.roles.keys[table]
        if table in inspection.admitted and then.known is not None and f"{side}_id" not in told:
            now = _overlap(inspection, side)
            known = 1.0 - now["num_unknown"] / max(1, now["num_ids"])
            if exceeds(then.known - known, inspection.config.checks.max_overlap_loss):
                yield _overlap_finding(inspection, side, then, known, now["num_rows"])


@check("warning", "items", "queries", "interactions")
def time_range(inspection: Inspection) -> Iterator[Finding]:
    """Timestamps unlike those that `longtail init` recorded: the newest row is older than the
    newest was, or the oldest by years; all rows have one time, or several where all had one.

    The oldest row may be newer than before, as with tables that keep some months. Timestamps in
    another unit or with another zone, and an old export, look like this.
    """
    if inspection.roles is None:
        return
    for table in TABLES:
        if table in inspection.admitted:
            yield from _time_findings(inspection, table, inspection.roles.times[table])


@check("warning", "items")
def tombstone(inspection: Inspection) -> Iterator[Finding]:
    """Items that are gone (`active` is false) in another share than at `longtail init`: it changed
    by more than `checks.max_share_change`, or no item is gone any more.

    The latest row of each item counts. A flag that is read the wrong way round, or that nobody
    writes any more, looks like this; the items would be recommended, or would be missing.
    """
    items = inspection.admitted.get("items")
    if inspection.roles is None or items is None or ACTIVE not in items.rows.column_names:
        return
    then = inspection.roles.tombstone
    before = then.gone_share if then is not None else 0.0
    now = inspection.row(
        f"SELECT count(*) AS num_items, count(*) FILTER (NOT {ACTIVE}) AS num_gone FROM (SELECT "
        f"arg_max({ACTIVE}, {TIMESTAMP}) AS {ACTIVE} FROM admitted_items "
        f"GROUP BY {quoted(inspection.key('item'))})"
    )
    after = now["num_gone"] / max(1, now["num_items"])
    stopped = not now["num_gone"] and before * now["num_items"] >= MIN_GONE
    if stopped or exceeds(abs(after - before), inspection.config.checks.max_share_change):
        origin = then.made_from(ACTIVE) if then is not None else ""
        yield Finding(
            f"{now['num_gone']} of {now['num_items']} items in {items.source} are gone by column "
            f"`{ACTIVE}`{origin}, {after:.1%} against {before:.1%} at `longtail init`",
            "look for a flag that is read the wrong way round or no longer written, and for items "
            f"that an export lost; {recording(inspection.config.feature_repo, 'tombstone')}",
            *(items.source, "items", ACTIVE, now["num_gone"]),
            ({"gone_share_then": before, "gone_share_now": after},),
        )


def _overlap(inspection: Inspection, side: Side) -> dict[str, Any]:
    """Return the numbers of different ids in the interactions, of those without a row of the side,
    and of the interactions with such an id."""
    return inspection.row(
        "SELECT count(*) AS num_ids, count(*) FILTER (unknown) AS num_unknown, "
        "coalesce(sum(num) FILTER (unknown), 0)::BIGINT AS num_rows "
        f"FROM {_ids(inspection, side)}"
    )


def _ids(inspection: Inspection, side: Side) -> str:
    """Return SQL for the different ids of a side in the interactions: `id`, `num`, `unknown`."""
    key = quoted(inspection.key(side))
    return (
        f"(SELECT id, num, key IS NULL AS unknown FROM (SELECT {side}_id AS id, count(*) AS num "
        f"FROM admitted_interactions GROUP BY 1) LEFT JOIN (SELECT DISTINCT {key} AS key "
        f"FROM admitted_{TABLE_OF[side]}) ON id = key)"
    )


def _overlap_finding(
    inspection: Inspection, side: Side, then: RecordedKey, known: float, num_rows: int
) -> Finding:
    interactions = inspection.admitted["interactions"].source
    table = inspection.admitted[TABLE_OF[side]].source
    examples = inspection.rows(
        f"SELECT id FROM {_ids(inspection, side)} WHERE unknown ORDER BY id LIMIT {MAX_EXAMPLES}"
    )
    ids = tuple(str(row["id"]) for row in examples)
    # Without a table of its own, the side was made from the ids in the interactions.
    cure = (
        f"add the missing rows to {table}"
        if then.column is None
        else f"add the missing rows to {table}, or write the ids in the same way in both tables"
    )
    return Finding(
        f"{known:.1%} of the different ids in column `{side}_id` of {interactions} have a row in "
        f"{table}, against {then.known:.1%} at `longtail init`; {', '.join(ids)} have none",
        f"{cure}; " + recording(inspection.config.feature_repo, f"keys.{TABLE_OF[side]}"),
        *(interactions, "interactions", f"{side}_id", num_rows, ids),
    )


def _time_findings(
    inspection: Inspection, table: TableName, then: RecordedTimes
) -> Iterator[Finding]:
    """Find what is new about the timestamps of a table; at most one finding.

    Refused rows count too, since `longtail init` refuses none.
    """
    # Plain timestamps in UTC, so that nothing depends on the zone of this machine.
    first, last = (
        f"TIMESTAMP '{each.replace(tzinfo=None).isoformat()}'" for each in (then.first, then.last)
    )
    now = inspection.row(
        f"SELECT count(*) AS num_rows, min(moment)::VARCHAR AS first, max(moment)::VARCHAR AS last,"
        f" {first}::VARCHAR AS first_then, {last}::VARCHAR AS last_then, count(*) FILTER "
        f"(moment < {first} - INTERVAL {OLDER_DAYS} DAYS) AS num_old, "
        f"max(moment) < {last} - INTERVAL {BACK_DAYS} DAYS AS is_back "
        f"FROM (SELECT make_timestamp(epoch_us({TIMESTAMP})) AS moment FROM "
        f"(SELECT {TIMESTAMP} FROM admitted_{table} UNION ALL SELECT {TIMESTAMP} "
        f"FROM refused_{table}) WHERE {TIMESTAMP} IS NOT NULL)"
    )
    if now["num_rows"] < 2:
        return
    num_rows, reasons, is_constant = now["num_rows"], [], now["first"] == now["last"]
    if then.column is None:
        if not is_constant:
            reasons = ["all rows had one time then"]
            cure = "put one time in all rows again"
    elif is_constant and then.first < then.last:
        reasons = ["all rows have one time now"]
        cure = "write the moment of each row again"
    else:
        cure = "look for times in another unit or zone, and for an old export"
        if now["num_old"]:
            reasons.append(f"{now['num_old']} rows are years older than the oldest was")
            num_rows = now["num_old"]
        if now["is_back"]:
            reasons.append("the newest row is older than the newest was")
    if reasons:
        source = inspection.admitted[table].source
        yield Finding(
            f"column `{TIMESTAMP}` of {source}{then.made_from(TIMESTAMP)} has times from "
            f"{now['first']} to {now['last']} (UTC), against {now['first_then']} to "
            f"{now['last_then']} at `longtail init`; {' and '.join(reasons)}",
            f"{cure}; {recording(inspection.config.feature_repo, f'times.{table}')}",
            *(source, table, TIMESTAMP, num_rows),
            ({name: now[name] for name in ("first_then", "last_then", "first", "last")},),
        )
