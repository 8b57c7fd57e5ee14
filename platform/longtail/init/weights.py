"""Finds the weights of the interactions, measures them, and refuses those that would mislead."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from longtail.errors import InputError
from longtail.init.opened_table import OpenedTable
from longtail.init.tables.column_readings import Reading
from longtail.init.tables.csv_files import MISSING
from longtail.init.tables.sql import literal, one_row, quoted
from longtail.init.times.time_columns import snake_case

# Largest number of a 32-bit float, which the project's table holds. A larger one is not finite.
_LARGEST = "3.4028234e38"
_NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?inf(inity)?"
# CSV files spell missing values so. The same texts in Parquet mean the same.
_NO_VALUE = ", ".join(literal(text.lower()) for text in MISSING)


@dataclass(frozen=True)
class Weight:
    """The weights of the interactions.

    Attributes:
        column: the column in the user's table.
        expression: SQL for a FLOAT over the view of readings, finite and not negative; NULL stands
            for 1, as everywhere in longtail.
        note: how the values are read, and which of them count otherwise than one might think; in
            words for the user, and empty if there is nothing to say.
        measured: `min`, `q10`, `median`, `q90` and `max` of the weights that are known (between two
            values the quantiles are interpolated), and `zero_share` and `missing_share` of all
            rows. A weight that is not finite is missing.
    """

    column: str
    expression: str
    note: str
    measured: Mapping[str, float]


@dataclass(frozen=True)
class _Counts:
    """The rows by what is wrong with their weight: missing, NaN, or too large for a number."""

    rows: int
    missing: int
    nan: int
    infinite: int


def find_weight(
    connection: duckdb.DuckDBPyConnection,
    interactions: OpenedTable,
    wanted: str | None,
    used: Collection[str],
    max_refused_share: float,
) -> Weight | None:
    """Return the weights: in the wanted column, else in the one called `weight`, else None.

    Args:
        wanted: the column that the user named.
        used: the columns of the keys and of the time, which hold no weights.
        max_refused_share: largest share of weights that may be NaN or not finite.

    Raises:
        InputError: the wanted column does not exist or has another role; or the column has a value
            that is no number, a negative one, too many that are not finite, or nothing but 0.
    """
    reading = _choose_column(interactions, wanted, used)
    if reading is None:
        return None
    where = f"column `{reading.name}` of {interactions.raw.path}"
    value, remark = _read_numbers(connection, interactions, reading)
    expression = f"CASE WHEN abs({value}) <= {_LARGEST} THEN CAST({value} AS FLOAT) END"
    counts = _count(connection, interactions, reading, expression)

    unusable = counts.nan + counts.infinite
    if unusable > max_refused_share * counts.rows:
        raise InputError(
            f"{where} is not finite in {unusable} of {counts.rows} rows ({counts.nan} NaN, "
            f"{counts.infinite} infinite), and `checks.max_refused_share` allows "
            f"{max_refused_share:.1%} of them: correct the weights (1 is one interaction), drop "
            f"these rows, or {_leave_out(reading.name)}"
        )
    if counts.missing + unusable == counts.rows:
        why = reading.reason or "it has no value at all"
        raise InputError(
            f"{where} cannot be used: {why}; fill it in, or {_leave_out(reading.name)}"
        )
    measured = _measure(connection, interactions, expression)
    if measured["min"] < 0:
        raise InputError(
            f"{where} has the value {measured['min']:g}: weights must not be negative; all "
            "interactions count as positive, so leave out the rows that are not"
        )
    if not measured["max"]:
        raise InputError(
            f"{where} is 0 in every row that has a weight, so the loss would be 0 and nothing "
            "would be learned: correct the weights (a join may have lost them), or "
            f"{_leave_out(reading.name)}"
        )
    notes = [remark, *_remarks(counts, measured)]
    return Weight(reading.name, expression, "; ".join(note for note in notes if note), measured)


def _choose_column(
    interactions: OpenedTable, wanted: str | None, used: Collection[str]
) -> Reading | None:
    path, readings = interactions.raw.path, {each.name: each for each in interactions.readings}
    if wanted is None:
        named = [
            reading
            for reading in readings.values()
            if snake_case(reading.name) == "weight"
            and reading.name not in used
            and not _is_ignored(reading)
        ]
        return named[0] if named else None
    if wanted not in readings:
        raise InputError(
            f"{path} has no column `{wanted}`: its columns are {', '.join(readings)}; correct "
            "--weight"
        )
    if wanted in used:
        raise InputError(
            f"column `{wanted}` of {path} is a key or the time, and cannot hold the weights too: "
            "name another column with --weight"
        )
    if _is_ignored(readings[wanted]):
        raise InputError(
            f"column `{wanted}` of {path} is named by both --weight and --ignore: take one away"
        )
    return readings[wanted]


def _is_ignored(reading: Reading) -> bool:
    return reading.form == "unreadable" and reading.reason.startswith("it is ignored")


def _leave_out(column: str) -> str:
    return f"leave the column out with --ignore interactions.{column}"


def _read_numbers(
    connection: duckdb.DuckDBPyConnection, interactions: OpenedTable, reading: Reading
) -> tuple[str, str]:
    """Return SQL for the weights as numbers, over the view, and how they are read.

    Raises:
        InputError: some values are no numbers.
    """
    column = quoted(reading.name)
    match reading.form:
        case "integer" | "number":
            return column, ""
        case "boolean":
            return f"CAST({column} AS INTEGER)", "booleans, read as 1 and 0"
        case "string":
            text = _known_text(column)
            is_wrong = f"NOT regexp_full_match({text}, '{_NUMBER}')"
            remark = "texts, read as numbers"
        case _ if _raw_numbers(interactions, reading) is not None:
            # A column of numbers or texts is unreadable only where it has no value.
            return "CAST(NULL AS DOUBLE)", ""
        case _:
            text, is_wrong, remark = column, f"{column} IS NOT NULL", ""
    relation = interactions.raw.relation if reading.form == "unreadable" else interactions.view
    (example,) = one_row(
        connection,
        f"SELECT any_value(CAST({column} AS VARCHAR)) FILTER ({is_wrong}) FROM {relation}",
    )
    if example is None:
        return f"TRY_CAST({text} AS DOUBLE)", remark
    raise InputError(
        f"{interactions.raw.path} has no column `{reading.name}` of numbers: it has the value "
        f"{example!r}; write every weight as a number, name another column with --weight, or "
        f"{_leave_out(reading.name)}"
    )


def _known_text(column: str) -> str:
    """Return SQL for the texts in lower case and without blanks around them; NULL if missing."""
    text = f"lower(trim({column}))"
    return f"CASE WHEN {text} NOT IN ({_NO_VALUE}) THEN {text} END"


def _raw_numbers(interactions: OpenedTable, reading: Reading) -> str | None:
    """Return SQL for the numbers as they are stored, over the raw table; None: no such column.

    The readings have turned NaN and infinity into NULL.
    """
    stored = next(each.type for each in interactions.raw.columns if each.name == reading.name)
    column = quoted(reading.name)
    if pa.types.is_dictionary(stored):
        stored = stored.value_type
    if pa.types.is_floating(stored) or pa.types.is_null(stored):
        return f"CAST({column} AS DOUBLE)"
    if pa.types.is_string(stored) or pa.types.is_large_string(stored) or stored == pa.string_view():
        return f"TRY_CAST({_known_text(column)} AS DOUBLE)"
    return None


def _count(
    connection: duckdb.DuckDBPyConnection,
    interactions: OpenedTable,
    reading: Reading,
    expression: str,
) -> _Counts:
    rows, known = one_row(
        connection, f"SELECT count(*), count({expression}) FROM {interactions.view}"
    )
    nan, infinite = 0, 0
    raw = _raw_numbers(interactions, reading)
    if raw is not None and known < rows:
        nan, infinite = one_row(
            connection,
            f"SELECT count(*) FILTER (isnan({raw})), "
            f"count(*) FILTER (NOT isnan({raw}) AND abs({raw}) > {_LARGEST}) "
            f"FROM {interactions.raw.relation}",
        )
    return _Counts(rows, rows - known - nan - infinite, nan, infinite)


def _measure(
    connection: duckdb.DuckDBPyConnection, interactions: OpenedTable, expression: str
) -> dict[str, float]:
    """Return the figures of `Weight.measured`."""
    low, high, quantiles, zeros, known, rows = one_row(
        connection,
        "SELECT min(w), max(w), quantile_cont(w, [0.1, 0.5, 0.9]), count(*) FILTER (w = 0), "
        f"count(w), count(*) FROM (SELECT CAST({expression} AS DOUBLE) AS w "
        f"FROM {interactions.view})",
    )
    names = ("min", "q10", "median", "q90", "max", "zero_share", "missing_share")
    figures = (low, *quantiles, high, zeros / rows, (rows - known) / rows)
    return dict(zip(names, figures, strict=True))


def _remarks(counts: _Counts, measured: Mapping[str, float]) -> Iterator[str]:
    """Yield what the user should know about the weights, in words."""
    # pandas stores a missing number as NaN, so the two are told apart only in what is said.
    for number, what in (
        (counts.missing, "missing"),
        (counts.nan, "NaN"),
        (counts.infinite, "infinite"),
    ):
        if number:
            yield f"{what} in {number:,} of {counts.rows:,} rows, which count as 1"
    zeros = round(measured["zero_share"] * counts.rows)
    if zeros:
        yield f"0 in {zeros:,} of {counts.rows:,} rows, which count nothing"
    if measured["min"] == measured["max"] and not measured["missing_share"]:
        yield f"{measured['max']:g} in every row, which is as good as no weights"
