"""Finds the column that says which items are gone, and names others that may say so too."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import combinations

import duckdb

from longtail.errors import InputError
from longtail.init.opened_table import OpenedTable
from longtail.init.tables.column_readings import Reading
from longtail.init.tables.csv_files import MISSING
from longtail.init.tables.sql import literal, one_row, quoted
from longtail.init.times.time_columns import snake_case

# The names that are recognised, without `is_`, `_flag` and underscores: true means still there, or
# true means gone.
_THERE = frozenset(("active", "enabled", "alive"))
_GONE = frozenset(
    ("deleted", "removed", "archived", "discontinued", "inactive", "disabled", "deactivated")
)
# A moment under such a name says when the item went; without one it is still there.
_WHEN = "_?(at|on|date|time)"
_GONE_SINCE = re.compile(f"(deleted|removed|archived|discontinued|disabled|deactivated){_WHEN}")
_MAYBE_SINCE = re.compile(f"(expired|expires|expiry|retired|unpublished|withdrawn|delisted){_WHEN}")
# Names that may say whether an item can be recommended, or may be a feature like any other.
_MAYBE_THERE = frozenset(("available", "instock", "published", "visible", "live", "listed"))
_MAYBE_GONE = frozenset(
    (
        *("hidden", "expired", "retired", "unavailable", "unpublished", "delisted", "withdrawn"),
        *("obsolete", "outofstock", "soldout", "unlisted"),
    )
)
_STATES = frozenset(("status", "state", "availability", "lifecycle"))
# Values of such columns that items have once they are gone.
_GONE_WORDS = (
    *("deleted", "removed", "archived", "discontinued", "inactive", "disabled", "deactivated"),
    *("hidden", "expired", "retired", "unavailable", "unpublished", "delisted", "withdrawn"),
    *("obsolete", "out of stock", "sold out", "closed", "cancelled", "offline", "suspended"),
)
_TRUE = ("true", "t", "yes", "y", "on", "1", "1.0")
_FALSE = ("false", "f", "no", "n", "off", "0", "0.0")
# Seconds from 1970 to 1990 and to 2100, and the units that whole numbers count since 1970.
_EARLIEST, _LATEST = 631_152_000, 4_102_444_800
_SCALES = (1, 10**3, 10**6, 10**9)
_MAX_SAMPLES = 3


@dataclass(frozen=True)
class Tombstone:
    """The column that says whether an item still exists.

    Attributes:
        column: the column in the user's table.
        expression: SQL for a BOOLEAN over the view of readings: true where the item is still there.
            NULL is a missing value, and counts as true, as everywhere in longtail.
        note: how the values are read, and how many items are gone; in words for the user.
        gone_share: share of the items whose newest row says that they are gone, in [0, 1).
        same: other columns that say the same. They are in the expression already, and no features.
    """

    column: str
    expression: str
    note: str
    gone_share: float
    same: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Mark:
    """A recognised column, and SQL for whether an item is still there."""

    column: str
    there: str
    note: str


def find_tombstone(
    connection: duckdb.DuckDBPyConnection, items: OpenedTable, used: Collection[str]
) -> Tombstone | None:
    """Return the column that says which items are gone; None if there is none.

    It is recognised by its name together with its values: `active`, `deleted` and the like with
    booleans in any spelling, or `deleted_at` and the like with moments.

    Args:
        used: the column of the key, and that of the time if there is one.

    Raises:
        InputError: every item is gone, or two such columns contradict each other.
    """
    marks = list(_recognised(connection, items, used))
    if not marks:
        return None
    others = [name for name in used if name != items.moment.column]
    key = others[0] if len(others) == 1 else None
    for one, other in combinations(marks, 2):
        _check_agreement(connection, items, key, one, other)
    # NULL AND FALSE is FALSE in SQL: where one column is missing, the other one decides.
    there = " AND ".join(f"({mark.there})" for mark in marks)
    gone, total = _count_gone(connection, items, key, there)
    first = marks[0]
    if gone == total:
        raise InputError(
            f"column `{first.column}` of {items.raw.path} says that all of the {total:,} items are "
            "gone, so nothing would be left to recommend: correct its values, or leave the column "
            f"out with --ignore items.{first.column}"
        )
    notes = [first.note, f"{gone:,} of {total:,} items are gone" if gone else "no item is gone"]
    missing = _count(connection, items, f"({there}) IS NULL")
    if missing:
        notes.append(f"missing in {missing:,} rows, which count as still there")
    same = tuple(mark.column for mark in marks[1:])
    if same:
        notes.append(f"{', '.join(same)} {'says' if len(same) == 1 else 'say'} the same")
    return Tombstone(first.column, there, "; ".join(notes), gone / total, same)


def suspected_tombstones(
    connection: duckdb.DuckDBPyConnection, items: OpenedTable, used: Collection[str]
) -> list[str]:
    """Return a warning for each feature that may say which items are gone, in words for the user.

    Args:
        used: the columns that are no features.
    """
    marks = list(_recognised(connection, items, {items.moment.column or ""}))
    # Items that the tombstone takes out are no reason for a warning.
    left = " AND ".join(f"({mark.there})" for mark in marks) or "true"
    recognised = {mark.column for mark in marks}
    return [
        warning
        for reading in items.readings
        if reading.name not in used and reading.name not in recognised
        # Whoever ignores a column has looked at it.
        if not reading.reason.startswith("it is ignored")
        for warning in _warnings(connection, items, reading, f"coalesce({left}, true)")
    ]


def _recognised(
    connection: duckdb.DuckDBPyConnection, items: OpenedTable, used: Collection[str]
) -> Iterator[_Mark]:
    """Yield the columns that say plainly which items are gone, those called `active` first."""
    free = [reading for reading in items.readings if reading.name not in used]
    for reading in (each for each in free if _plain(each.name) in _THERE):
        truth = _truth(connection, items, reading)
        if truth is not None:
            yield _Mark(reading.name, truth, "false means gone")
    for reading in (each for each in free if _plain(each.name) in _GONE):
        truth = _truth(connection, items, reading)
        if truth is not None:
            yield _Mark(reading.name, f"NOT {truth}", "true means gone")
    for reading in (each for each in free if _GONE_SINCE.fullmatch(snake_case(each.name))):
        moments = _gone_by_now(connection, items, reading)
        if moments is not None:
            yield _Mark(reading.name, f"NOT {moments}", "a moment that has passed means gone")


def _plain(name: str) -> str:
    """Return a name as the sets above have it: `isDeleted`, `deleted_flag` -> `deleted`."""
    return re.sub(r"^is_?|_?flag$|_", "", snake_case(name))


def _known_text(column: str) -> str:
    """Return SQL for the texts in lower case and without blanks around them; NULL if missing.

    CSV files spell missing values in some ways. The same texts in Parquet mean the same.
    """
    missing = ", ".join(literal(text.lower()) for text in MISSING)
    text = f"lower(trim({column}))"
    return f"(CASE WHEN {text} NOT IN ({missing}) THEN {text} END)"


def _truth(
    connection: duckdb.DuckDBPyConnection, items: OpenedTable, reading: Reading
) -> str | None:
    """Return SQL for the column as a BOOLEAN; None if some value is none, or all are missing."""
    column = quoted(reading.name)
    match reading.form:
        case "boolean":
            known = truth = column
        case "integer" | "number":
            known, truth = column, f"(CASE {column} WHEN 1 THEN true WHEN 0 THEN false END)"
        case "string":
            known = _known_text(column)
            words = [", ".join(map(literal, spelt)) for spelt in (_TRUE, _FALSE)]
            truth = (
                f"(CASE WHEN {known} IN ({words[0]}) THEN true "
                f"WHEN {known} IN ({words[1]}) THEN false END)"
            )
        case _:
            return None
    num_known, num_true_or_false = one_row(
        connection, f"SELECT count({known}), count({truth}) FROM {items.view}"
    )
    return truth if num_known and num_known == num_true_or_false else None


def _gone_by_now(
    connection: duckdb.DuckDBPyConnection, items: OpenedTable, reading: Reading
) -> str | None:
    """Return SQL for whether the moment in a column has passed; None if some value is no moment.

    A missing moment has not passed, nor has one in the future, such as the year 9999.
    """
    column = quoted(reading.name)
    match reading.form:
        case "moment":
            known, moment = column, column
        case "string":
            # Databases write "never" as a date of zeros.
            known = (
                f"(CASE WHEN {_known_text(column)} NOT LIKE '0000-00-00%' THEN trim({column}) END)"
            )
            moment = f"TRY_CAST({known} AS TIMESTAMPTZ)"
        case "integer" | "number":
            known = f"nullif({column}, 0)"
            low, high = one_row(connection, f"SELECT min({known}), max({known}) FROM {items.view}")
            fitting = (
                scale
                for scale in _SCALES
                if low is None or (low >= _EARLIEST * scale and high <= _LATEST * scale)
            )
            scale = next(fitting, None)
            if scale is None:
                return None
            moment = f"to_timestamp({known} / {scale})"
        case _:
            return None
    num_known, num_moments = one_row(
        connection, f"SELECT count({known}), count({moment}) FROM {items.view}"
    )
    return f"coalesce({moment} <= now(), false)" if num_known == num_moments else None


def _check_agreement(
    connection: duckdb.DuckDBPyConnection,
    items: OpenedTable,
    key: str | None,
    one: _Mark,
    other: _Mark,
) -> None:
    """Refuse two columns of which one says that an item is gone and the other that it is not.

    Raises:
        InputError: there is such an item.
    """
    id_text = "NULL" if key is None else items.id_text(key)
    different, example = one_row(
        connection,
        f"SELECT count(*), min({id_text}) FROM {items.view} WHERE ({one.there}) <> ({other.there})",
    )
    if different:
        such = "" if example is None else f", such as the item {example!r}"
        raise InputError(
            f"columns `{one.column}` and `{other.column}` of {items.raw.path} contradict each "
            f"other in {different:,} rows{such}: one says that the item is gone, the other that it "
            "is not; make one column `active` of them, or leave one out with --ignore "
            f"items.{one.column} or --ignore items.{other.column}"
        )


def _count_gone(
    connection: duckdb.DuckDBPyConnection, items: OpenedTable, key: str | None, there: str
) -> tuple[int, int]:
    """Return the number of items that are gone by their newest row, and of all items."""
    rows = f"SELECT coalesce({there}, true) AS there FROM {items.view}"
    if key is not None:
        rows = (
            f"SELECT arg_max(coalesce({there}, true), {items.moment.expression}) AS there "
            f"FROM {items.view} GROUP BY {items.id_text(key)}"
        )
    gone, total = one_row(connection, f"SELECT count(*) FILTER (NOT there), count(*) FROM ({rows})")
    return gone, total


def _warnings(
    connection: duckdb.DuckDBPyConnection, items: OpenedTable, reading: Reading, left: str
) -> Iterator[str]:
    """Yield a warning if a feature may say which items are gone.

    Args:
        left: SQL for whether the tombstone leaves an item in the catalogue.
    """
    name, column, spelt = _plain(reading.name), quoted(reading.name), snake_case(reading.name)
    says_plainly = name in _THERE | _GONE or _GONE_SINCE.fullmatch(spelt)
    says_since = _MAYBE_SINCE.fullmatch(spelt)
    maybe = name in _MAYBE_THERE | _MAYBE_GONE or spelt.split("_")[-1] in _STATES
    if not (says_plainly or says_since or maybe):
        return
    where = f"column `{reading.name}` of {items.raw.path}"
    stay = "and these items stay in the catalogue and are recommended: if they are gone,"
    cure = "drop their rows, or add a boolean column `active` that is false for them"
    # Words come first, because a column of any of these names may hold them.
    if reading.form == "string":
        words = ", ".join(map(literal, _GONE_WORDS))
        plain = f"regexp_replace({_known_text(column)}, '[_-]', ' ', 'g')"
        number, example = one_row(
            connection,
            f"SELECT count(*), min({column}) FROM {items.view} WHERE {plain} IN ({words}) "
            f"AND {left}",
        )
        if number:
            yield f"{where} has values such as {example!r} in {number:,} rows, {stay} {cure}"
            return
    if says_since:
        passed = _gone_by_now(connection, items, reading) or "false"
        number = _count(connection, items, f"{passed} AND {left}")
        if number:
            yield f"{where} is a moment that has passed in {number:,} rows, {stay} {cure}"
    elif says_plainly:
        values = _samples(connection, items, reading)
        if values:
            yield (
                f"{where} may say which items are gone, but has values such as {values}: it takes "
                "none out, and all stay in the catalogue and are recommended; if some are gone, "
                f"{cure}"
            )
    elif truth := _truth(connection, items, reading):
        # True is bad news under `hidden`, false under `available`; under `status` it may be either.
        bad, word, other = f"NOT {truth}", "false", "active"
        if name in _MAYBE_GONE:
            bad, word, other = truth, "true", "deleted"
        number = _count(connection, items, f"{bad} AND {left}")
        if number:
            rename = f"rename the column to `{other}`, or drop their rows"
            yield f"{where} is {word} in {number:,} rows, {stay} {rename}"


def _count(connection: duckdb.DuckDBPyConnection, items: OpenedTable, condition: str) -> int:
    """Return the number of rows that meet a condition."""
    (number,) = one_row(connection, f"SELECT count(*) FROM {items.view} WHERE {condition}")
    return int(number)


def _samples(connection: duckdb.DuckDBPyConnection, items: OpenedTable, reading: Reading) -> str:
    """Return a few values of a column in words; empty if it has none."""
    relation = items.raw.relation if reading.form == "unreadable" else items.view
    values = connection.execute(
        f"SELECT DISTINCT CAST({quoted(reading.name)} AS VARCHAR) AS v FROM {relation} "
        f"WHERE v <> '' ORDER BY v LIMIT {_MAX_SAMPLES}"
    ).fetchall()
    return ", ".join(repr(value) for (value,) in values)
