"""Finds lists that are written as text: `a|b|c`, or a JSON list."""

from dataclasses import dataclass

import duckdb

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


@dataclass(frozen=True)
class ListInText:
    """A way to turn the texts of a column into lists.

    Attributes:
        expression: SQL for a VARCHAR[] without empty parts.
        note: how the texts are converted, in words for the user.
        is_numeric: all parts are numbers.
    """

    expression: str
    note: str
    is_numeric: bool = False


def find_list(
    connection: duckdb.DuckDBPyConnection, relation: str, text: str, num_known: int
) -> ListInText | None:
    """Return how to turn the texts of a column into lists; None if they are not clearly lists.

    Args:
        text: SQL for the column; NULL where a value is missing.
        num_known: number of texts that are not NULL.
    """
    # One scan counts the JSON lists and the texts with each separator.
    num_json, *num_separated = one_row(
        connection,
        f"SELECT count(*) FILTER (json_type(CASE WHEN json_valid({text}) AND {text} LIKE '[%' "
        f"THEN {text} END) = 'ARRAY'), "
        + ", ".join(f"count(*) FILTER (contains({text}, '{mark}'))" for mark in _SEPARATORS)
        + f" FROM {relation}",
    )
    if num_json == num_known:
        (numeric,) = one_row(
            connection,
            f"SELECT count(TRY_CAST({text} AS DOUBLE[])) FROM {relation}",
        )
        parts = f"from_json({text}, '[\"VARCHAR\"]')"
        return ListInText(_kept(parts), "JSON lists in text, read as lists", numeric == num_known)
    for mark, count in zip(_SEPARATORS, num_separated, strict=True):
        # The count is known already, so it spares most columns the second scan.
        if count >= _MIN_SHARE_SEPARATED * num_known and _is_separator(
            connection, relation, text, mark
        ):
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
