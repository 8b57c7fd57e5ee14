"""Decides the form of each column, and writes the SQL expression that reads it.

Values that Feast or the model cannot take as they are stored are converted here, and the reading's
note says so. A column that cannot be converted gets a reason instead.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import duckdb
import pyarrow as pa

from longtail.init.tables.lists_in_text import find_list
from longtail.init.tables.raw_tables import RawColumn, RawTable
from longtail.init.tables.sql import one_row, quoted

Form = Literal[
    "string",
    "integer",
    "number",
    "boolean",
    "moment",
    "strings",
    "integers",
    "vector",
    "unreadable",
]

# Above it, a double does not hold every whole number.
_EXACT = 2**53
# At most 18 digits, which always fit in 64 bits. A leading zero marks a code, not a number.
_INTEGER = r"-?(0|[1-9][0-9]{0,17})"
_NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
_MOMENT = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?\s*(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?)?)?"
)


@dataclass(frozen=True)
class Reading:
    """The form of a column's values, and the SQL that reads them.

    Attributes:
        name: the column's name in the user's table.
        form: the form of its values. `strings` and `integers` are lists of such values; a `vector`
            is a list of numbers that has the same length in every row.
        expression: SQL over the raw table; its DuckDB type is VARCHAR, BIGINT, DOUBLE, BOOLEAN or
            TIMESTAMPTZ, for lists VARCHAR[], BIGINT[] or FLOAT[]. A missing value is NULL.
        note: how the values are converted; empty if they stay as they are.
        reason: why an unreadable column cannot be read; else empty.
        is_whole: all its numbers are whole, so the column may be an id.
    """

    name: str
    form: Form
    expression: str
    note: str = ""
    reason: str = ""
    is_whole: bool = False


def read_columns(connection: duckdb.DuckDBPyConnection, table: RawTable) -> list[Reading]:
    """Return the reading of every column, decided from all of its values."""
    return [_read_column(connection, table, column) for column in table.columns]


def _read_column(
    connection: duckdb.DuckDBPyConnection, table: RawTable, column: RawColumn
) -> Reading:
    name, stored, source = column.name, quoted(column.name), column.type
    # DuckDB reads dictionary-encoded values as plain ones, so the type of the values decides.
    if pa.types.is_dictionary(source):
        reading = _read_column(connection, table, RawColumn(name, source.value_type, False))
        note = reading.note or f"categories of {source.value_type}, read as their values"
        return Reading(name, reading.form, reading.expression, note, reading.reason)
    if pa.types.is_null(source):
        return _unreadable(name, "it has no value at all")
    if _is_text(source):
        return _read_text(connection, table, column)
    if pa.types.is_boolean(source):
        return Reading(name, "boolean", stored)
    if pa.types.is_integer(source):
        return _read_integers(connection, table, name, source)
    if pa.types.is_floating(source) or pa.types.is_decimal(source):
        note = f"{source}, read as double" if pa.types.is_decimal(source) else ""
        return _read_numbers(connection, table, name, f"CAST({stored} AS DOUBLE)", note)
    if pa.types.is_timestamp(source) or pa.types.is_date(source):
        return _read_moments(name, source)
    if _is_list(source):
        return _read_lists(connection, table, name, source.value_type)
    return _unreadable(
        name, f"it is {source}: only categories, numbers and lists of them can be features"
    )


def _unreadable(name: str, reason: str) -> Reading:
    return Reading(name, "unreadable", quoted(name), reason=reason)


def _is_text(found: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(found) or pa.types.is_large_string(found) or found == pa.string_view()
    )


def _is_list(found: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(found)
        or pa.types.is_large_list(found)
        or pa.types.is_fixed_size_list(found)
        or pa.types.is_list_view(found)
        or pa.types.is_large_list_view(found)
    )


def _read_moments(name: str, source: pa.DataType) -> Reading:
    if pa.types.is_date(source):
        note = "dates, read as midnight in UTC"
    else:
        note = "" if source.tz else "timestamps without a zone, read as UTC"
    return Reading(name, "moment", f"CAST({quoted(name)} AS TIMESTAMPTZ)", note)


def _read_integers(
    connection: duckdb.DuckDBPyConnection, table: RawTable, name: str, source: pa.DataType
) -> Reading:
    stored = quoted(name)
    # Feast's largest integer type is Int64. As categories, larger values may as well be strings.
    if pa.types.is_uint64(source):
        (highest,) = one_row(connection, f"SELECT max({stored}) FROM {table.relation}")
        if highest is not None and highest >= 2**63:
            note = "integers too large for Int64, read as strings"
            return Reading(name, "string", f"CAST({stored} AS VARCHAR)", note)
    return Reading(name, "integer", f"CAST({stored} AS BIGINT)", is_whole=True)


def _read_numbers(
    connection: duckdb.DuckDBPyConnection, table: RawTable, name: str, double: str, note: str = ""
) -> Reading:
    finite = f"CASE WHEN isfinite({double}) THEN {double} END"
    known, whole = one_row(
        connection,
        f"SELECT count(v), count(*) FILTER (v = floor(v) AND abs(v) < {_EXACT}) "
        f"FROM (SELECT {finite} AS v FROM {table.relation})",
    )
    if not known:
        return _unreadable(name, "it has no value at all")
    if known == whole < table.num_rows:
        # Pandas has no missing integer: it stores a column of integers with gaps as floats.
        note = "whole numbers with gaps, read as integers"
        return Reading(name, "integer", f"CAST({finite} AS BIGINT)", note, is_whole=True)
    return Reading(name, "number", finite, note, is_whole=known == whole)


def _read_text(
    connection: duckdb.DuckDBPyConnection, table: RawTable, column: RawColumn
) -> Reading:
    name, text = column.name, f"nullif({quoted(column.name)}, '')"
    (known,) = one_row(connection, f"SELECT count({text}) FROM {table.relation}")
    if not known:
        return _unreadable(name, "it has no value at all")
    # Only CSV and folder names store numbers and dates as text. In Parquet, text was meant as text.
    if column.is_text:
        typed = next(_typed_texts(connection, table, name, text, known), None)
        if typed is not None:
            return typed
    found = find_list(connection, table.relation, text, known)
    if found is None:
        return Reading(name, "string", text)
    if found.is_numeric:
        numbers = f"TRY_CAST({text} AS DOUBLE[])"
        reading = _read_number_lists(connection, table, name, numbers, is_text=True)
        if reading.form != "unreadable":
            return Reading(name, reading.form, reading.expression, found.note)
    return Reading(name, "strings", found.expression, found.note)


def _typed_texts(
    connection: duckdb.DuckDBPyConnection, table: RawTable, name: str, text: str, known: int
) -> Iterator[Reading]:
    """Yield the typed readings that fit all texts of a CSV column, best first."""
    patterns = ", ".join(
        f"count(*) FILTER (regexp_full_match({text}, '{pattern}'))"
        for pattern in (_INTEGER, _NUMBER, _MOMENT)
    )
    integers, numbers, moments, booleans, dated = one_row(
        connection,
        f"SELECT {patterns}, count(*) FILTER (lower({text}) IN ('true', 'false')), "
        f"count(TRY_CAST({text} AS TIMESTAMPTZ)) FROM {table.relation}",
    )
    if integers == known:
        yield Reading(name, "integer", f"CAST({text} AS BIGINT)", is_whole=True)
    if numbers == known:
        # If all are plain digits, some are too long or start with a zero: ids, not quantities.
        (coded,) = one_row(
            connection,
            f"SELECT count(*) FILTER (regexp_full_match({text}, '[+-]?[0-9]+')) "
            f"FROM {table.relation}",
        )
        if coded < known:
            yield _read_numbers(connection, table, name, f"CAST({text} AS DOUBLE)")
    if booleans == known:
        yield Reading(name, "boolean", f"CAST(lower({text}) AS BOOLEAN)")
    if moments == known == dated:
        note = "ISO dates in text, read as UTC unless they name a zone"
        yield Reading(name, "moment", f"CAST({text} AS TIMESTAMPTZ)", note)


def _read_lists(
    connection: duckdb.DuckDBPyConnection, table: RawTable, name: str, values: pa.DataType
) -> Reading:
    stored, note = quoted(name), ""
    if pa.types.is_dictionary(values):
        values, note = values.value_type, "lists of categories, read as their values"
    if pa.types.is_floating(values) or pa.types.is_decimal(values):
        return _read_number_lists(connection, table, name, f"CAST({stored} AS DOUBLE[])")
    if pa.types.is_integer(values) and not pa.types.is_uint64(values):
        cast, form = "BIGINT[]", "integers"
    elif _is_text(values) or pa.types.is_boolean(values) or pa.types.is_integer(values):
        cast, form = "VARCHAR[]", "strings"
        note = note if _is_text(values) else f"lists of {values}, read as lists of strings"
    else:
        return _unreadable(
            name, f"it is a list of {values}: only lists of categories or numbers can be features"
        )
    # A null in a list says nothing. A column that has only empty lists has no value.
    kept = f"list_filter(CAST({stored} AS {cast}), lambda v: v IS NOT NULL)"
    (known,) = one_row(
        connection, f"SELECT count(*) FILTER (len({kept}) > 0) FROM {table.relation}"
    )
    if not known:
        return _unreadable(name, "it has no value at all")
    return Reading(name, "integers" if form == "integers" else "strings", kept, note)


def _read_number_lists(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    name: str,
    doubles: str,
    *,
    is_text: bool = False,
) -> Reading:
    known, shortest, longest, whole, values = one_row(
        connection,
        "SELECT count(v), min(len(v)) FILTER (len(v) > 0), max(len(v)), "
        f"sum(len(list_filter(v, lambda x: x = floor(x) AND abs(x) < {_EXACT}))), "
        "sum(len(list_filter(v, lambda x: x IS NOT NULL))) "
        f"FROM (SELECT {doubles} AS v FROM {table.relation})",
    )
    if not known or not values:
        return _unreadable(name, "it has no value at all")
    # Lists of one length are a vector. Whole numbers in text are not: they are likely ids.
    if shortest == longest and not (is_text and whole == values):
        usable = f"len(list_filter({doubles}, lambda x: isfinite(x))) = {longest}"
        return Reading(name, "vector", f"CASE WHEN {usable} THEN CAST({doubles} AS FLOAT[]) END")
    if whole == values:
        kept = f"list_filter(CAST({doubles} AS BIGINT[]), lambda v: v IS NOT NULL)"
        return Reading(name, "integers", kept, "lists of whole numbers, read as integers")
    return _unreadable(
        name, f"it has lists of {shortest} to {longest} numbers: give all lists the same length"
    )
