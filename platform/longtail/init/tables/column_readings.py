"""Decides the form of each column, and writes the SQL expression that reads it.

Values that Feast or the model cannot take as they are stored are converted here, and the reading's
note says so. A column that cannot be converted gets a reason instead.
"""

from dataclasses import dataclass, replace
from typing import Literal

import duckdb
import pyarrow as pa

from longtail.errors import InputError
from longtail.init.tables.raw_tables import RawColumn, RawTable
from longtail.init.tables.sql import literal, one_row, quoted
from longtail.init.tables.values_in_text import ListInText, find_list, find_typed

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

_TEXTS = (pa.string(), pa.large_string(), pa.string_view())
_BINARIES = (pa.binary(), pa.large_binary(), pa.binary_view())
_LISTS = (
    *(pa.ListType, pa.LargeListType, pa.FixedSizeListType),
    *(pa.ListViewType, pa.LargeListViewType),
)
# From it on, a float does not hold every whole number.
_EXACT = 2**53
_EXACT_OF_SMALL_FLOATS = {pa.float32(): 2**24, pa.float16(): 2**11}
# A word of digits that may equal an integer.
_DIGITS = "0|[1-9][0-9]{0,17}"
_CONTROL = r"[\x00-\x08\x0e-\x1f\x7f]"


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
        lost_digits: number of values in a `number` that are whole and so large that floats have
            rounded them, from 2^53 on: ids among them have lost digits.
        is_digits: all its strings are digits without a zero in front, as integers would be.
        text: SQL over the raw table for the text that was split into lists, which may be an id
            after all; else empty.
    """

    name: str
    form: Form
    expression: str
    note: str = ""
    reason: str = ""
    is_whole: bool = False
    lost_digits: int = 0
    is_digits: bool = False
    text: str = ""


def read_columns(connection: duckdb.DuckDBPyConnection, table: RawTable) -> list[Reading]:
    """Return the reading of every column, decided from all of its values.

    Raises:
        InputError: the values of a column are damaged.
    """
    readings = []
    for column in table.columns:
        try:
            reading = _read_column(connection, table, column)
            # Nothing has looked at these values yet, and later steps expect no damage.
            if reading.form in ("boolean", "integer", "moment"):
                values = f"(SELECT {reading.expression} AS v FROM {table.relation})"
                one_row(connection, f"SELECT bit_xor(hash(v)) FROM {values}")
        except duckdb.Error as error:
            # DuckDB has no error of its own for texts that are not UTF-8.
            cure = "write it as UTF-8" if "UTF8" in str(error) else "write the file again"
            raise InputError(
                f"column `{column.name}` of {table.path} cannot be read: {cure}, or leave the "
                f"column out ({error})"
            ) from error
        readings.append(reading)
    return readings


def _read_column(
    connection: duckdb.DuckDBPyConnection, table: RawTable, column: RawColumn
) -> Reading:
    name, stored, source = column.name, quoted(column.name), column.type
    if column.extension not in ("", "arrow.json", "arrow.uuid"):
        return _unreadable(
            name, f"it is of the extension type {column.extension}: derive a column of plain values"
        )
    # DuckDB reads dictionary-encoded values as plain ones, so the type of the values decides.
    if pa.types.is_dictionary(source):
        plain = replace(column, type=source.value_type, is_text=False)
        reading = _read_column(connection, table, plain)
        note = reading.note or f"categories of {source.value_type}, read as their values"
        return replace(reading, note=note)
    if pa.types.is_null(source):
        return _unreadable(name, "it has no value at all")
    if source in _TEXTS:
        return _read_text(connection, table, column)
    if pa.types.is_boolean(source):
        return Reading(name, "boolean", stored)
    if pa.types.is_integer(source):
        return _read_integers(connection, table, name, source)
    if pa.types.is_decimal(source) and column.stored.startswith("DECIMAL"):
        return _read_decimals(connection, table, name, source)
    if pa.types.is_floating(source) or pa.types.is_decimal(source):
        note = f"{source}, read as double" if pa.types.is_decimal(source) else ""
        exact = _EXACT_OF_SMALL_FLOATS.get(source, _EXACT)
        return _read_numbers(connection, table, name, f"CAST({stored} AS DOUBLE)", note, exact)
    is_binary = source in _BINARIES or pa.types.is_fixed_size_binary(source)
    if is_binary and column.stored in ("UUID", "BLOB"):
        return _read_binary(connection, table, column)
    if pa.types.is_timestamp(source) or pa.types.is_date(source):
        return _read_moments(name, source)
    if isinstance(source, _LISTS):
        return _read_lists(connection, table, name, source.value_type)
    kind = column.stored.lower() if is_binary else source
    return _unreadable(
        name, f"it is {kind}: only categories, numbers and lists of them can be features"
    )


def _unreadable(name: str, reason: str) -> Reading:
    return Reading(name, "unreadable", quoted(name), reason=reason)


def _read_moments(name: str, source: pa.DataType) -> Reading:
    if pa.types.is_date(source):
        note = "dates, read as midnight in UTC"
    else:
        note = "" if source.tz else "timestamps without a zone, read as UTC"
    # DuckDB writes `infinity`, and years that no timestamp holds: neither is a moment.
    moment = f"TRY_CAST({quoted(name)} AS TIMESTAMPTZ)"
    return Reading(name, "moment", f"CASE WHEN isfinite({moment}) THEN {moment} END", note)


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


def _read_decimals(
    connection: duckdb.DuckDBPyConnection, table: RawTable, name: str, source: pa.DataType
) -> Reading:
    """Read decimals with digits behind the point as doubles, and all others exactly."""
    stored = quoted(name)
    known, whole, largest = one_row(
        connection,
        f"SELECT count({stored}), count(*) FILTER ({stored} = trunc({stored})), "
        f"max(abs({stored})) FROM {table.relation}",
    )
    # Whole numbers in a column with decimals are a quantity, such as a price, or ids: as doubles
    # they may be both. Without decimals, or too large for a double, they are ids.
    if known and known == whole and (source.scale <= 0 or largest >= _EXACT):
        if largest < 2**63:
            note = f"{source}, read as integers"
            return Reading(name, "integer", f"CAST({stored} AS BIGINT)", note, is_whole=True)
        text = f"CAST(CAST({stored} AS DECIMAL(38, 0)) AS VARCHAR)"
        return Reading(name, "string", text, f"{source}, too large for Int64, read as strings")
    note = f"{source}, read as double"
    return _read_numbers(connection, table, name, f"CAST({stored} AS DOUBLE)", note)


def _read_binary(
    connection: duckdb.DuckDBPyConnection, table: RawTable, column: RawColumn
) -> Reading:
    name, stored = column.name, quoted(column.name)
    if column.stored == "UUID":
        return Reading(name, "string", f"CAST({stored} AS VARCHAR)", "UUIDs, read as text")
    digits = f"lower(hex({stored}))"
    if column.extension == "arrow.uuid":
        groups = "(.{8})(.{4})(.{4})(.{4})(.{12})"
        text = rf"regexp_replace({digits}, '{groups}', '\1-\2-\3-\4-\5')"
        return Reading(name, "string", text, "UUIDs, read as text")
    text = f"TRY(decode({stored}))"
    known, num_texts = one_row(
        connection,
        f"SELECT count({stored}), "
        f"count(*) FILTER (NOT regexp_matches({text}, {literal(_CONTROL)})) FROM {table.relation}",
    )
    if not known:
        return _unreadable(name, "it has no value at all")
    if known > num_texts:
        return Reading(name, "string", digits, f"{column.type}, read as text in hexadecimal digits")
    note = f"{column.type}, read as text in UTF-8"
    return replace(_as_string(connection, table, name, f"nullif({text}, '')"), note=note)


def _as_string(
    connection: duckdb.DuckDBPyConnection, table: RawTable, name: str, text: str
) -> Reading:
    count = f"count(*) FILTER (regexp_full_match({text}, '{_DIGITS}'))"
    known, digits = one_row(connection, f"SELECT count({text}), {count} FROM {table.relation}")
    return Reading(name, "string", text, is_digits=known == digits > 0)


def _read_numbers(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    name: str,
    double: str,
    note: str = "",
    exact: int = _EXACT,
) -> Reading:
    """Read doubles.

    Args:
        exact: from it on, the stored type does not hold every whole number.
    """
    # Features have 32 bits: a larger value is as infinite to them as `inf`.
    finite = f"CASE WHEN isfinite(TRY_CAST({double} AS FLOAT)) THEN {double} END"
    known, whole, rounded, lost, infinite = one_row(
        connection,
        f"SELECT count(v), count(*) FILTER (v = floor(v) AND abs(v) < {exact}), "
        f"count(*) FILTER (abs(v) >= {exact}), count(*) FILTER (abs(v) >= {_EXACT}), "
        "count(*) FILTER (v IS NULL AND NOT isnan(d)) "
        f"FROM (SELECT {double} AS d, {finite} AS v FROM {table.relation})",
    )
    if not known:
        return _unreadable(name, "it has no value at all")
    if infinite:
        note += f"{'; ' * bool(note)}{infinite:,} infinite or too large, read as missing"
    if known == whole < table.num_rows:
        # Pandas has no missing integer: it stores a column of integers with gaps as floats.
        note += f"{'; ' * bool(note)}whole numbers with gaps, read as integers"
        return Reading(name, "integer", f"CAST({finite} AS BIGINT)", note, is_whole=True)
    if rounded > lost:
        note += f"{'; ' * bool(note)}{rounded:,} from {exact:,} on, which so small a float rounds"
    return Reading(name, "number", finite, note, is_whole=known == whole, lost_digits=lost)


def _read_text(
    connection: duckdb.DuckDBPyConnection, table: RawTable, column: RawColumn
) -> Reading:
    name, text = column.name, f"nullif(CAST({quoted(column.name)} AS VARCHAR), '')"
    (known,) = one_row(connection, f"SELECT count({text}) FROM {table.relation}")
    if not known:
        return _unreadable(name, "it has no value at all")
    # Only CSV and folder names store numbers and dates as text. In Parquet, text was meant as text.
    if column.is_text:
        typed = find_typed(connection, table.relation, text, column.delimiter)
        if typed is not None and typed.form == "number":
            return _read_numbers(connection, table, name, typed.expression, typed.note)
        if typed is not None:
            is_whole = typed.form == "integer"
            return Reading(name, typed.form, typed.expression, typed.note, is_whole=is_whole)
    found = find_list(connection, table.relation, text, known)
    if not isinstance(found, ListInText):
        reading = _as_string(connection, table, name, text)
        return reading if found is None else replace(reading, note=found.note)
    if found.numbers:
        reading = _read_number_lists(connection, table, name, found.numbers, is_text=True)
        if reading.form != "unreadable":
            return Reading(name, reading.form, reading.expression, found.note, text=text)
    return Reading(name, "strings", found.expression, found.note, text=text)


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
    elif values in _TEXTS or pa.types.is_boolean(values) or pa.types.is_integer(values):
        cast, form = "VARCHAR[]", "strings"
        note = note if values in _TEXTS else f"lists of {values}, read as lists of strings"
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
        floats = f"list_filter(TRY_CAST({doubles} AS FLOAT[]), lambda x: isfinite(x))"
        return Reading(name, "vector", f"CASE WHEN len({floats}) = {longest} THEN {floats} END")
    if whole == values:
        kept = f"list_filter(CAST({doubles} AS BIGINT[]), lambda v: v IS NOT NULL)"
        return Reading(name, "integers", kept, "lists of whole numbers, read as integers")
    return _unreadable(
        name, f"it has lists of {shortest} to {longest} numbers: give all lists the same length"
    )
