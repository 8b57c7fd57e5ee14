"""Says why the ids of two tables do not match, and what would make them alike."""

from collections.abc import Iterator
from itertools import product

import duckdb

from longtail.errors import InputError
from longtail.init.keys.id_rules import DIFFERENCES, ID_RULES, apply_rules
from longtail.init.keys.name_evidence import is_measure, looks_like_id
from longtail.init.opened_table import OpenedTable
from longtail.init.tables.column_readings import Reading
from longtail.init.tables.sql import one_row, quoted

# Share of the ids in the interactions that a rule must match to be named as the cure.
_CURED = 0.5
# One rule is tried before several, so that the message names no more than is needed.
_RULE_SETS = (*((name,) for name in ID_RULES), ("trim", "lower"), tuple(ID_RULES))


def may_hold_ids(reading: Reading) -> bool:
    """Return whether a column's values may be ids: texts, or whole numbers.

    A text that was split into a list counts: `A|7` may be an id after all.
    """
    return reading.form == "string" or reading.is_whole or bool(reading.text)


class CurableError(InputError):
    """The ids do not match, and it is known why."""


def explain_unmatched(
    connection: duckdb.DuckDBPyConnection,
    table: OpenedTable,
    interactions: OpenedTable,
    only: tuple[str | None, str | None] = (None, None),
) -> InputError:
    """Return the error for a table that has no key in common with the interactions.

    Args:
        only: the columns that should be the key, in the table and in the interactions; None: any.
    """
    own, asked = _candidates(table, only[0]), _candidates(interactions, only[1])
    cure = (
        next(_lost_digits(connection, (table, own), (interactions, asked)), None)
        or next(_incomplete(connection, table, interactions, own, asked), None)
        or _alike(connection, table, interactions, own, asked)
        or next(_unusable_types((table, own), (interactions, asked)), None)
    )
    return CurableError(cure) if cure else InputError(_nothing_alike(table, interactions, only))


def _candidates(table: OpenedTable, only: str | None) -> list[Reading]:
    """Return the columns that may be meant as ids; columns with the name of an id come first."""
    if only is not None:
        return [reading for reading in table.readings if reading.name == only]
    found = [r for r in table.readings if r.name != table.moment.column and not is_measure(r.name)]
    return sorted(found, key=lambda reading: not looks_like_id(reading.name))


def _lost_digits(
    connection: duckdb.DuckDBPyConnection, *sides: tuple[OpenedTable, list[Reading]]
) -> Iterator[str]:
    """Yield a message for each column of ids that became floating point, and so lost digits."""
    for table, readings in sides:
        for reading in readings:
            if not reading.lost_digits:
                continue
            column = quoted(reading.name)
            row, value = one_row(
                connection,
                f"SELECT row, v FROM (SELECT row_number() OVER () AS row, {column} AS v "
                f"FROM {table.view}) WHERE abs(v) >= {2**53} ORDER BY row LIMIT 1",
            )
            yield (
                f"digits were lost in column `{reading.name}` of {table.raw.path}: "
                f"{reading.lost_digits:,} of its whole numbers are too long for floating point, "
                f"such as {value:.17g} in row {row:,}, so they match no id. pandas makes floats of "
                "integers when one is missing: write the column again as text, or as `Int64`, from "
                "data that still has all digits"
            )


def _incomplete(
    connection: duckdb.DuckDBPyConnection,
    table: OpenedTable,
    interactions: OpenedTable,
    own: list[Reading],
    asked: list[Reading],
) -> Iterator[str]:
    """Yield a message for each column that would be the key if it had a value in every row."""
    for one, other in product(_texts(own), _texts(asked)):
        text = table.id_text(one)
        known, distinct, rows = one_row(
            connection,
            f"SELECT count({text}), count(DISTINCT {text}), count(*) FROM {table.view}",
        )
        if known == rows or distinct < known:
            continue
        if share_alike(connection, table, interactions, (one, other), ()) >= _CURED:
            yield (
                f"column `{one}` of {table.raw.path} has most of the ids in `{other}` of "
                f"{interactions.raw.path}, but it is missing in {rows - known:,} of {rows:,} rows, "
                "and a key has no gaps: fill it in, or drop these rows"
            )


def _alike(
    connection: duckdb.DuckDBPyConnection,
    table: OpenedTable,
    interactions: OpenedTable,
    own: list[Reading],
    asked: list[Reading],
) -> str:
    """Return a message if the ids of two columns are alike but for what a rule removes; else ""."""
    for one, other in product(_texts(own), _texts(asked)):
        for rules in _RULE_SETS:
            if share_alike(connection, table, interactions, (one, other), rules) < _CURED:
                continue
            examples = examples_alike(connection, table, interactions, (one, other), rules)
            if not examples:
                continue
            return (
                f"the ids in `{one}` of {table.raw.path} and in `{other}` of "
                f"{interactions.raw.path} differ only in "
                f"{' and '.join(DIFFERENCES[rule] for rule in rules)}, such as {examples}: write "
                f"them in one way, or make them alike with "
                f"{' '.join(f'--ids {rule}' for rule in rules)}"
            )
    return ""


def _texts(readings: list[Reading]) -> list[str]:
    return [reading.name for reading in readings if may_hold_ids(reading)]


def share_alike(
    connection: duckdb.DuckDBPyConnection,
    table: OpenedTable,
    interactions: OpenedTable,
    columns: tuple[str, str],
    rules: tuple[str, ...],
) -> float:
    """Return the share of the different ids in the interactions that match under some rules.

    Args:
        columns: the column of the table, and that of the interactions.
        rules: keys of `ID_RULES`.

    Returns:
        a share in [0, 1].
    """
    own, asked = _ids(table, columns[0], rules), _ids(interactions, columns[1], rules)
    known, total = one_row(
        connection,
        f"SELECT count(*) FILTER (key IN (SELECT key FROM {own})), count(*) "
        f"FROM (SELECT DISTINCT key FROM {asked})",
    )
    return float(known / total) if total else 0.0


def examples_alike(
    connection: duckdb.DuckDBPyConnection,
    table: OpenedTable,
    interactions: OpenedTable,
    columns: tuple[str, str],
    rules: tuple[str, ...],
) -> str:
    """Return two pairs of ids that only the rules make alike, in words; empty if there are none."""
    own, asked = _ids(table, columns[0], rules), _ids(interactions, columns[1], rules)
    rows = connection.execute(
        f"SELECT DISTINCT o.id, a.id FROM {own} o JOIN {asked} a USING (key) "
        f"WHERE o.id <> a.id AND a.id NOT IN (SELECT id FROM {own} WHERE id IS NOT NULL) "
        "ORDER BY 1, 2 LIMIT 2"
    ).fetchall()
    return " and ".join(f"{one!r} here and {other!r} there" for one, other in rows)


def _ids(table: OpenedTable, column: str, rules: tuple[str, ...]) -> str:
    """Return SQL for the ids of a column: `id` as it is, and `key` after the rules."""
    text = table.id_text(column)
    return (
        f"(SELECT {text} AS id, {apply_rules(text, rules)} AS key FROM {table.view} "
        f"WHERE {text} IS NOT NULL)"
    )


def _unusable_types(*sides: tuple[OpenedTable, list[Reading]]) -> Iterator[str]:
    """Yield a message for each column with the name of an id and a type that none can have."""
    for table, readings in sides:
        for reading in readings:
            if may_hold_ids(reading) or not looks_like_id(reading.name):
                continue
            reason = reading.reason or f"its values are read as {reading.form}"
            yield (
                f"column `{reading.name}` of {table.raw.path} cannot hold ids: {reason}. Write it "
                "as text or as whole numbers, or name the columns of ids with "
                "--item-key and --query-key"
            )


def _nothing_alike(
    table: OpenedTable, interactions: OpenedTable, only: tuple[str | None, str | None]
) -> str:
    option = "--item-key" if table.raw.role == "items" else "--query-key"
    path = interactions.raw.path
    if only[0] is not None:
        there = f"`{only[1]}`" if only[1] else "any column"
        return (
            f"`{only[0]}` of {table.raw.path} has fewer than half of the ids in {there} of {path}: "
            f"the keys do not match; name both columns, as in {option} {only[0]}=COLUMN, or write "
            "the ids the same way in both tables"
        )
    return (
        f"{table.raw.path} and {path} have no key in common: no complete column of the first "
        f"({', '.join(table.raw.names)}) has at least half of the ids in a column of the second "
        f"({', '.join(interactions.raw.names)}); name the columns with {option} "
        "COLUMN=INTERACTIONS_COLUMN, or write the ids the same way in both tables"
    )
