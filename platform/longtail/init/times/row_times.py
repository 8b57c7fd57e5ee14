"""Corrects the timestamps of one table by what the other tables say.

Training joins each interaction with the features that were known at its time. A timestamp that says
something else would leave interactions without any features.
"""

from dataclasses import replace

import duckdb

from longtail.init.keys.key import Key
from longtail.init.opened_table import OpenedTable
from longtail.init.tables.sql import one_row
from longtail.init.times.time_columns import EPOCH, Moment

# Largest share of the interactions that may be older than the row of their item or query.
_MAX_TOO_EARLY = 0.01


def snapshot_moment(
    connection: duckdb.DuckDBPyConnection,
    table: OpenedTable,
    key: Key,
    interactions: OpenedTable,
    *,
    insists: bool,
) -> Moment:
    """Return the timestamp of the items or queries, or 1970-01-01 if theirs is a snapshot's date.

    A table is a snapshot if it has one row per key and these rows are newer than the interactions
    with them. Joined point in time, those interactions would see no features at all.

    Args:
        insists: the user named the column, so it is kept.
    """
    moment = table.moment
    if moment.column is None or key.column is None or interactions.moment.column is None:
        return moment
    own = table.id_text(key.column)
    asked = interactions.id_text(key.interactions_column)
    early, total, keys, rows = one_row(
        connection,
        f"WITH born AS (SELECT {own} AS id, min({moment.expression}) AS at FROM {table.view} "
        f"GROUP BY ALL), asked AS (SELECT {asked} AS id, {interactions.moment.expression} AS at "
        f"FROM {interactions.view}) "
        "SELECT count(*) FILTER (asked.at < born.at), count(*), (SELECT count(*) FROM born), "
        f"(SELECT count(*) FROM {table.view}) FROM asked JOIN born USING (id)",
    )
    if not total or early <= _MAX_TOO_EARLY * total:
        return moment
    share = f"{early / total:.0%} of the interactions are older than the row of their {key.column}"
    # More rows than keys are a history: its times are kept, even if some interactions are older.
    if insists or keys < rows:
        note = f"{moment.note}; {share}: they train on the id alone".removeprefix("; ")
        return replace(moment, note=note)
    return Moment(
        None,
        EPOCH,
        f"`{moment.column}` is the date of a snapshot, since {share}: 1970-01-01 is used for all "
        f"rows (--time-column {moment.column} keeps the column)",
    )


def interactions_moment(
    connection: duckdb.DuckDBPyConnection,
    interactions: OpenedTable,
    sides: list[tuple[OpenedTable, Moment]],
) -> Moment:
    """Return the timestamp of the interactions; without one, the newest of items and queries.

    With 1970-01-01 they would be older than every feature.

    Args:
        sides: items and queries, with the timestamps that their rows get.
    """
    if interactions.moment.column is not None:
        return interactions.moment
    newest = [
        one_row(connection, f"SELECT max({moment.expression}) FROM {table.view}")[0]
        for table, moment in sides
        if moment.column is not None
    ]
    if not newest:
        return interactions.moment
    latest = max(newest).isoformat()
    return Moment(
        None,
        f"TIMESTAMPTZ '{latest}'",
        f"no timestamps: {latest}, the newest of the other tables, is used for all rows",
    )
