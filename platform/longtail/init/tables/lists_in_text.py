"""Lists that stand in text, as CSV has them: `a|b|c`, or a JSON list."""

from dataclasses import dataclass

import duckdb

from longtail.init.tables.sql import literal, one_row

_SEPARATORS = ("|", ";", ",")
# Of the texts, with at least one separator. Fewer are an accident.
_MIN_SHARE_SEPARATED = 0.05
# Words a part. Of prose, parts between commas are longer.
_MAX_WORDS = 3.0
# In how many different texts a part stands, on average.
_MIN_REPETITION = 1.2
# Commas stand in addresses and prose, too: of the parts between them, so many stand in several.
_MIN_SHARE_REPEATED = 0.3
# A verdict needs no more rows.
_SAMPLE_ROWS = 200_000


@dataclass(frozen=True)
class ListInText:
    """How a text becomes a list.

    Attributes:
        expression: SQL for VARCHAR[], without empty parts.
        note: what was found.
        is_numeric: the parts are numbers.
    """

    expression: str
    note: str
    is_numeric: bool = False


def find_list(
    connection: duckdb.DuckDBPyConnection, relation: str, text: str, num_known: int
) -> ListInText | None:
    """How the texts of a column are clearly lists, or None.

    Args:
        text: SQL for the column; NULL where it is missing.
        num_known: texts that are not NULL.
    """
    json, *separated = one_row(
        connection,
        f"SELECT count(*) FILTER (json_type(CASE WHEN json_valid({text}) AND {text} LIKE '[%' "
        f"THEN {text} END) = 'ARRAY'), "
        + ", ".join(f"count(*) FILTER (contains({text}, '{mark}'))" for mark in _SEPARATORS)
        + f" FROM {relation}",
    )
    if json == num_known:
        (numeric,) = one_row(
            connection,
            f"SELECT count(TRY_CAST({text} AS DOUBLE[])) FROM {relation}",
        )
        parts = f"from_json({text}, '[\"VARCHAR\"]')"
        return ListInText(_kept(parts), "JSON lists in text, read as lists", numeric == num_known)
    for mark, count in zip(_SEPARATORS, separated, strict=True):
        if count >= _MIN_SHARE_SEPARATED * num_known and _is_separator(
            connection, relation, text, mark
        ):
            parts = f"list_transform(string_split({text}, {literal(mark)}), lambda v: trim(v))"
            return ListInText(_kept(parts), f"text split at {mark!r} into lists")
    return None


def _is_separator(
    connection: duckdb.DuckDBPyConnection, relation: str, text: str, mark: str
) -> bool:
    """Whether the parts between the marks are short, and texts have them in common."""
    different, repeated, standing, words = one_row(
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
        and standing >= _MIN_REPETITION * different
        and (mark != "," or repeated >= _MIN_SHARE_REPEATED * different)
    )


def _kept(parts: str) -> str:
    return f"list_distinct(list_filter({parts}, lambda v: v <> ''))"
