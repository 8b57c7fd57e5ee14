"""Says of every column of the three tables which role it got, and why, with a sample value."""

from collections.abc import Iterator, Mapping

import duckdb

from longtail.init.feature_kinds import Column
from longtail.init.opened_table import OpenedTable
from longtail.init.project_plan import ColumnRole, InteractionsPlan, RoleName, SidePlan
from longtail.init.tables.column_readings import Reading
from longtail.init.tables.raw_tables import Role
from longtail.init.tables.sql import one_row, quoted

# Longest sample value, in characters.
_SAMPLE = 40


def explain_columns(
    connection: duckdb.DuckDBPyConnection,
    tables: Mapping[Role, OpenedTable],
    sides: tuple[SidePlan, SidePlan],
    interactions: InteractionsPlan,
) -> tuple[ColumnRole, ...]:
    """Return the role of every column, in the order of the tables.

    Args:
        sides: the plans of items and queries.
    """
    found: list[ColumnRole] = []
    for side in sides:
        if side.view in tables:
            roles = dict(_side_roles(side))
            found += _in_order(connection, tables[side.view], roles)
    roles = dict(_interactions_roles(sides, interactions))
    found += _in_order(connection, tables["interactions"], roles)
    return tuple(found)


def _side_roles(side: SidePlan) -> Iterator[tuple[str, tuple[str, RoleName, str]]]:
    assert side.key.column is not None
    for column in side.columns:
        role: RoleName = "left out" if column.left_out else "feature"
        yield column.source, (column.name, role, _remarks(column))
    yield side.key.column, (f"{side.side}_id", "key", side.key.why)
    if side.moment.column is not None:
        yield side.moment.column, ("event_timestamp", "time", side.moment.note or "its type")
    if side.tombstone is not None:
        for name in (side.tombstone.column, *side.tombstone.same):
            yield name, ("active", "tombstone", side.tombstone.note)


def _remarks(column: Column) -> str:
    """Return how a feature is read and what it shares, or why it is left out."""
    if column.left_out:
        return column.left_out
    parts = {"single": "one category", "multi": "several categories", "dense": "a quantity"}
    shared = f"shares the table {column.table}" if column.table else ""
    hashed = f"hashed into {column.buckets:,}" if column.buckets else ""
    return "; ".join(part for part in (parts[column.kind], column.note, shared, hashed) if part)


def _interactions_roles(
    sides: tuple[SidePlan, SidePlan], interactions: InteractionsPlan
) -> Iterator[tuple[str, tuple[str, RoleName, str]]]:
    for side in sides:
        why = f"the ids of the {side.view}"
        yield side.key.interactions_column, (f"{side.side}_id", "key", why)
    moment, weight = interactions.moment, interactions.weight
    if moment.column is not None:
        yield moment.column, ("event_timestamp", "time", moment.note or "its type")
    if weight is not None:
        yield weight.column, ("weight", "weight", weight.note or "its name")


def _in_order(
    connection: duckdb.DuckDBPyConnection,
    table: OpenedTable,
    roles: Mapping[str, tuple[str, RoleName, str]],
) -> Iterator[ColumnRole]:
    """Yield the role of each column of a table; a column without one is unused."""
    samples = _samples(connection, table)
    for reading in table.readings:
        unused: tuple[str, RoleName, str] = ("", "unused", reading.reason or "no role fits it")
        name, role, why = roles.get(reading.name, unused)
        yield ColumnRole(table.raw.role, reading.name, name, role, why, samples[reading.name])


def _samples(connection: duckdb.DuckDBPyConnection, table: OpenedTable) -> dict[str, str]:
    """Return a value of each column as text, from the first rows that have one."""
    readable = [reading for reading in table.readings if reading.form != "unreadable"]
    moment = f"strftime(any_value({table.moment.expression}), '%Y-%m-%d %H:%M:%S')"
    *values, read_as = one_row(
        connection,
        f"SELECT {', '.join(map(_sample_of, readable))}, {moment} FROM {table.view}",
    )
    found = dict.fromkeys((reading.name for reading in table.readings), "")
    for reading, value in zip(readable, values, strict=True):
        found[reading.name] = value or ""
    # The user sees at once whether day and month, or seconds and milliseconds, were mistaken.
    if table.moment.column is not None:
        found[table.moment.column] += f" = {read_as}"
    return found


def _sample_of(reading: Reading) -> str:
    column = quoted(reading.name)
    some = f"len({column}) > 0" if reading.form in ("strings", "integers") else "true"
    text = f"CAST(any_value({column}) FILTER ({some}) AS VARCHAR)"
    return (
        f"CASE WHEN length({text}) > {_SAMPLE} THEN left({text}, {_SAMPLE}) || '…' ELSE {text} END"
    )
