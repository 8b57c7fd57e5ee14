"""Finds what the texts of a column hold: numbers, booleans, dates, or lists such as `a|b|c`.

A comma may stand before the decimals, between the thousands or between the items of a list. Where
the texts do not say which, they stay text.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import duckdb

from longtail.init.tables.printed_lists import find_printed_list
from longtail.init.tables.sql import literal, one_row

_SEPARATORS = ("|", ";", ",")
# Smallest share of the texts that contain the separator. In fewer texts it is there by accident.
_MIN_SHARE_SEPARATED = 0.05
# Most words that a part has, on average. Prose has more words between two commas.
_MAX_WORDS = 3.0
# Fewest different texts that contain the same part, on average.
_MIN_REPETITION = 1.2
# Smallest share of the parts that occur in several texts. Asked of commas only, because addresses
# and prose have commas too.
_MIN_SHARE_REPEATED = 0.3
# The decision needs no more rows than these.
_SAMPLE_ROWS = 200_000
# At most 18 digits, which always fit in 64 bits. A leading zero marks a code, not a number.
_INTEGER = r"-?(0|[1-9][0-9]{0,17})"
_NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
_MOMENT = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?\s*(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?)?)?"
)
# They stand for a missing value among numbers, dates and booleans. Among other texts, `NA` may be
# Namibia.
_MISSING_AMONG_TYPED = (
    *("NA", "na", "N.A.", "n.a.", "-", "--", "?", "."),
    *("inf", "-inf", "Inf", "-Inf", "Infinity", "-Infinity"),
)
_WHOLE = "(0|[1-9][0-9]*)"
# Numbers with decimal commas; one of the signs may stand between thousands.
_THOUSANDS = "[.' \u2019\u00a0\u202f]"
_COMMA_DECIMAL = f"[+-]?({_WHOLE}|[1-9][0-9]{{0,2}}({_THOUSANDS}[0-9]{{3}})+)(,[0-9]+)?"
# Numbers with decimal points, and commas between thousands.
_POINT_DECIMAL = rf"[+-]?({_WHOLE}|[1-9][0-9]{{0,2}}(,[0-9]{{3}})+)(\.[0-9]+)?"
# Signs that a comma or point belongs to a number. The items of a list have no zero in front.
_SURE_COMMA_DECIMAL = f".*({_THOUSANDS}[0-9]{{3}},|,0[0-9]|[.][0-9]{{3}}[.]).*|[+-].*,.*"
_SURE_POINT_DECIMAL = r".*,[0-9]{3}\..*|.*,0.*|[+-].*,.*"
# Those who write decimal commas separate cells by one of them. Then a comma needs no quotes.
_FREE_FOR_COMMAS = (";", "\t", "|")


@dataclass(frozen=True)
class ListInText:
    """A way to turn the texts of a column into lists.

    Attributes:
        expression: SQL for a VARCHAR[] without empty parts.
        note: how the texts are converted, in words for the user.
        numbers: SQL for a DOUBLE[] with all parts, if all are numbers; else empty.
    """

    expression: str
    note: str
    numbers: str = ""


@dataclass(frozen=True)
class TypedText:
    """A way to read all texts of a column as values of a type.

    Attributes:
        form: the type.
        expression: SQL for a BIGINT, DOUBLE, BOOLEAN or TIMESTAMPTZ.
        note: how the texts are converted, in words for the user; empty if that is plain.
    """

    form: Literal["integer", "number", "boolean", "moment"]
    expression: str
    note: str = ""


@dataclass(frozen=True)
class UnclearText:
    """Texts with commas that may be numbers or lists, so that they are kept.

    Attributes:
        note: what the user can write instead.
    """

    note: str


def find_typed(
    connection: duckdb.DuckDBPyConnection, relation: str, text: str, delimiter: str
) -> TypedText | None:
    """Return the typed reading that fits all texts of a CSV column; None if there is none.

    Args:
        text: SQL for the column; NULL where a value is missing.
        delimiter: the character between the cells of the file; "" if there is none.
    """
    marks = ", ".join(map(literal, _MISSING_AMONG_TYPED))
    said = f"CASE WHEN {text} NOT IN ({marks}) THEN {text} END"
    known, missing, signs = one_row(
        connection,
        f"SELECT count({said}), count({text}) - count({said}), "
        f"string_agg(DISTINCT '`' || {text} || '`', ', ' ORDER BY '`' || {text} || '`') "
        f"FILTER ({text} IN ({marks})) FROM {relation}",
    )
    if not known:
        return None
    # Without such signs the expression stays short.
    typed = _typed(connection, relation, said if missing else text, known, delimiter)
    found = next(typed, None)
    if found is None or not missing:
        return found
    cells = f"{missing:,} cells with {signs} are" if missing > 1 else f"a cell with {signs} is"
    return replace(found, note="; ".join(filter(None, (found.note, f"{cells} missing"))))


def _typed(
    connection: duckdb.DuckDBPyConnection, relation: str, text: str, known: int, delimiter: str
) -> Iterator[TypedText]:
    """Yield the typed readings that fit all texts, best first."""
    patterns = ", ".join(
        f"count(*) FILTER (regexp_full_match({text}, '{pattern}'))"
        for pattern in (_INTEGER, _NUMBER, _MOMENT)
    )
    integers, numbers, moments, booleans, dated = one_row(
        connection,
        f"SELECT {patterns}, count(*) FILTER (lower({text}) IN ('true', 'false')), "
        f"count(TRY_CAST({text} AS TIMESTAMPTZ)) FROM {relation}",
    )
    if integers == known:
        yield TypedText("integer", f"CAST({text} AS BIGINT)")
    if numbers == known:
        # If all are plain digits, some are too long or start with a zero: ids, not quantities.
        (coded,) = one_row(
            connection,
            f"SELECT count(*) FILTER (regexp_full_match({text}, '[+-]?[0-9]+')) FROM {relation}",
        )
        if coded < known:
            yield TypedText("number", f"CAST({text} AS DOUBLE)")
    if booleans == known:
        yield TypedText("boolean", f"CAST(lower({text}) AS BOOLEAN)")
    if moments == known == dated:
        note = "ISO dates in text, read as UTC unless they name a zone"
        yield TypedText("moment", f"CAST({text} AS TIMESTAMPTZ)", note)
    with_commas = _with_commas(connection, relation, text, known, delimiter)
    if with_commas is not None:
        yield with_commas


def _with_commas(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    text: str,
    num_known: int,
    delimiter: str,
) -> TypedText | None:
    """Return how to read numbers with commas; None if a text is no number, or has two readings."""
    patterns = (_COMMA_DECIMAL, _POINT_DECIMAL, _SURE_COMMA_DECIMAL, _SURE_POINT_DECIMAL)
    counts = ", ".join(
        f"count(*) FILTER (regexp_full_match({text}, {literal(pattern)}))" for pattern in patterns
    )
    comma_decimals, point_decimals, sure_commas, sure_points, commas = one_row(
        connection,
        f"SELECT {counts}, count(*) FILTER (contains({text}, ',')) FROM {relation}",
    )
    # 1,234 is a number either way, and not the same one.
    if (comma_decimals == num_known) == (point_decimals == num_known):
        return None
    # A list of numbers looks the same, so one text at least has to say that it is none. In a file
    # with other delimiters a comma is enough, if it cannot stand between thousands.
    if comma_decimals == num_known:
        if sure_commas or (commas and delimiter in _FREE_FOR_COMMAS):
            bare = f"regexp_replace({text}, '[^0-9,+-]', '', 'g')"
            expression = f"CAST(replace({bare}, ',', '.') AS DOUBLE)"
            return TypedText("number", expression, "numbers with decimal commas, read as numbers")
    elif sure_points:
        expression = f"CAST(replace({text}, ',', '') AS DOUBLE)"
        return TypedText(
            "number", expression, "numbers with commas between thousands, read as numbers"
        )
    return None


def find_list(
    connection: duckdb.DuckDBPyConnection, relation: str, text: str, num_known: int
) -> ListInText | UnclearText | None:
    """Return how to turn the texts of a column into lists; None if they are not clearly lists.

    Texts such as 3,14 may be lists of two numbers or a number: they are kept, with a note.

    Args:
        text: SQL for the column; NULL where a value is missing.
        num_known: number of texts that are not NULL.
    """
    # One scan counts the JSON lists and the texts with each separator.
    num_json, num_no_numbers, example, *num_separated = one_row(
        connection,
        f"SELECT count(*) FILTER (json_type(CASE WHEN json_valid({text}) AND {text} LIKE '[%' "
        f"THEN {text} END) = 'ARRAY'), "
        f"count(*) FILTER (contains({text}, ',') AND NOT regexp_full_match({text}, "
        f"{literal(_COMMA_DECIMAL + '|' + _POINT_DECIMAL)})), "
        f"min({text}) FILTER (contains({text}, ',')), "
        + ", ".join(f"count(*) FILTER (contains({text}, '{mark}'))" for mark in _SEPARATORS)
        + f" FROM {relation}",
    )
    if num_json == num_known:
        numbers = f"TRY_CAST({text} AS DOUBLE[])"
        (numeric,) = one_row(connection, f"SELECT count({numbers}) FROM {relation}")
        parts, note = f"from_json({text}, '[\"VARCHAR\"]')", "JSON lists in text, read as lists"
        return ListInText(_kept(parts), note, numbers if numeric == num_known else "")
    printed = find_printed_list(connection, relation, text, num_known)
    if printed is not None:
        parts, is_numeric = printed
        numbers = f"TRY_CAST({parts} AS DOUBLE[])" if is_numeric else ""
        return ListInText(_kept(parts), "lists as programs print them, read as lists", numbers)
    for mark, count in zip(_SEPARATORS, num_separated, strict=True):
        # The count is known already, so it spares most columns the second scan.
        if count < _MIN_SHARE_SEPARATED * num_known:
            continue
        if mark == "," and not num_no_numbers:
            return UnclearText(
                f"texts such as {example}, kept as they are: the comma may stand before decimals, "
                "between thousands, or between the items of a list; write decimals with a point, "
                "thousands without a mark, and lists with `|`"
            )
        if _is_separator(connection, relation, text, mark):
            parts = f"list_transform(string_split({text}, {literal(mark)}), lambda v: trim(v))"
            return ListInText(_kept(parts), f"text split at {mark!r} into lists")
    return None


def _is_separator(
    connection: duckdb.DuckDBPyConnection, relation: str, text: str, mark: str
) -> bool:
    """Return whether the parts between the marks are short and recur in several texts."""
    num_parts, num_repeated, num_occurrences, words = one_row(
        connection,
        f"WITH texts AS (SELECT DISTINCT t FROM (SELECT {text} AS t FROM {relation} "
        f"LIMIT {_SAMPLE_ROWS})), "
        f"parts AS (SELECT trim(unnest(string_split(t, {literal(mark)}))) AS part FROM texts), "
        "counted AS (SELECT part, count(*) AS n FROM parts WHERE part <> '' GROUP BY part) "
        "SELECT count(*), count(*) FILTER (n > 1), coalesce(sum(n), 0), "
        "coalesce(avg(len(string_split_regex(part, '\\s+'))), 0) FROM counted",
    )
    return bool(
        words <= _MAX_WORDS
        and num_occurrences >= _MIN_REPETITION * num_parts
        and (mark != "," or num_repeated >= _MIN_SHARE_REPEATED * num_parts)
    )


def _kept(parts: str) -> str:
    return f"list_distinct(list_filter({parts}, lambda v: v <> ''))"
