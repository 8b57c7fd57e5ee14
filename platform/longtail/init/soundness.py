"""What must hold of the three tables together, and what their times mean."""

import duckdb

from longtail.errors import InputError
from longtail.init.key_columns import Key, Side, key_text
from longtail.init.tables.column_readings import Reading
from longtail.init.tables.raw_tables import RawTable
from longtail.init.tables.sql import one_row, quoted
from longtail.init.time_columns import EPOCH, Moment

# Of the interactions, the share that may be older than the row of their item or query.
_MAX_TOO_EARLY = 0.01


def reading_of(side: Side, column: str) -> Reading:
    """The reading of a column by name."""
    return next(reading for reading in side.readings if reading.name == column)


def check_complete(connection: duckdb.DuckDBPyConnection, side: Side, column: str) -> None:
    """Refuse a key that misses somewhere.

    Raises:
        InputError: it does.
    """
    (missing,) = one_row(connection, f"SELECT count(*) - count({quoted(column)}) FROM {side.view}")
    if missing:
        raise InputError(
            f"column `{column}` of {side.table.path} is missing in {missing} of "
            f"{side.table.num_rows} rows: fill it in, or drop these rows"
        )


def has_repeats(connection: duckdb.DuckDBPyConnection, side: Side, column: str) -> bool:
    """Whether rows are there more than once, equal in every column.

    Raises:
        InputError: two rows of one key and moment differ.
    """
    key, moment = key_text(reading_of(side, column)), side.moment.expression
    states, rows = one_row(
        connection,
        f"SELECT (SELECT count(*) FROM (SELECT DISTINCT {key}, {moment} FROM {side.view})), "
        f"count(*) FROM {side.view}",
    )
    if states == rows:
        return False
    (different,) = one_row(connection, f"SELECT count(*) FROM (SELECT DISTINCT * FROM {side.view})")
    if different == states:
        return True
    example, times = one_row(
        connection,
        f"SELECT {key} AS k, count(*) AS n FROM (SELECT DISTINCT * FROM {side.view}) "
        f"GROUP BY {key}, {moment} HAVING n > 1 ORDER BY n DESC, k LIMIT 1",
    )
    when = "with one timestamp" if side.moment.column else "and no timestamp tells them apart"
    raise InputError(
        f"{side.table.path} has {rows - states} rows too many: `{column}` = {example!r} stands in "
        f"{times} different rows {when}: keep one row a key, collect what differs into a list, or "
        "name the column of times with --timestamp"
    )


def snapshot_moment(
    connection: duckdb.DuckDBPyConnection, side: Side, key: Key, interactions: Side, insists: bool
) -> Moment:
    """The timestamp of a side's rows, unless it only says when a snapshot was taken.

    A table with one row a key, and rows younger than the interactions with them, is no history:
    joined point in time, those interactions would see no features at all.

    Args:
        insists: the user named the column.
    """
    moment = side.moment
    if moment.column is None or key.column is None or interactions.moment.column is None:
        return moment
    own = key_text(reading_of(side, key.column))
    asked = key_text(reading_of(interactions, key.interactions_column))
    early, total, keys, rows = one_row(
        connection,
        f"WITH born AS (SELECT {own} AS id, min({moment.expression}) AS at FROM {side.view} "
        f"GROUP BY ALL), asked AS (SELECT {asked} AS id, {interactions.moment.expression} AS at "
        f"FROM {interactions.view}) "
        "SELECT count(*) FILTER (asked.at < born.at), count(*), (SELECT count(*) FROM born), "
        f"(SELECT count(*) FROM {side.view}) FROM asked JOIN born USING (id)",
    )
    if not total or early <= _MAX_TOO_EARLY * total:
        return moment
    share = f"{early / total:.0%} of the interactions are older than the row of their {key.column}"
    if insists or keys < rows:
        return Moment(moment.column, moment.expression, f"{share}: they train on the id alone")
    return Moment(
        None,
        EPOCH,
        f"`{moment.column}` is when a snapshot was taken, since {share}: 1970-01-01 is put in "
        f"(--timestamp {moment.column} insists)",
    )


def interactions_moment(
    connection: duckdb.DuckDBPyConnection, interactions: Side, sides: list[tuple[Side, Moment]]
) -> Moment:
    """The timestamp of interactions; where they have none, the newest of the other tables.

    With 1970-01-01 they would be older than every feature.
    """
    if interactions.moment.column is not None:
        return interactions.moment
    newest = [
        one_row(connection, f"SELECT max({moment.expression}) FROM {side.view}")[0]
        for side, moment in sides
        if moment.column is not None
    ]
    if not newest:
        return interactions.moment
    latest = max(newest).isoformat()
    return Moment(
        None,
        f"TIMESTAMPTZ '{latest}'",
        f"no timestamps: {latest}, the newest of the other tables, is put in",
    )


def share_unknown(
    connection: duckdb.DuckDBPyConnection, side: Side, key: Key, interactions: Side
) -> float:
    """Share of the interactions whose id has no row in the side's table."""
    if key.column is None:
        return 0.0
    own = key_text(reading_of(side, key.column))
    asked = key_text(reading_of(interactions, key.interactions_column))
    unknown, total = one_row(
        connection,
        f"SELECT count(*) FILTER ({asked} NOT IN (SELECT {own} FROM {side.view})), count(*) "
        f"FROM {interactions.view}",
    )
    return float(unknown / total)


def weight_column(
    connection: duckdb.DuckDBPyConnection, table: RawTable, interactions: Side, wanted: str | None
) -> str | None:
    """The column of weights: the wanted one, or the one called `weight`.

    Raises:
        InputError: it has no numbers, or a negative one.
    """
    name = wanted or next((n for n in table.names if n.lower() == "weight"), None)
    if name is None:
        return None
    reading = next((r for r in interactions.readings if r.name == name), None)
    if reading is None or reading.form not in ("integer", "number"):
        raise InputError(
            f"{table.path} has no column `{name}` of numbers: name the weights with --weight"
        )
    (lowest,) = one_row(connection, f"SELECT min({quoted(name)}) FROM {interactions.view}")
    if lowest is not None and lowest < 0:
        raise InputError(
            f"column `{name}` of {table.path} has the value {lowest}: weights must not be "
            "negative; interactions are positives only, so leave out what nobody wanted"
        )
    return name
