"""Finds lists as programs print them: `['a', 'b']`, `{'a'}`, `('a',)`, `['a' 'b']`, `[0.1 0.2]`.

pandas writes a column of lists to CSV as Python prints them, and arrays as NumPy does, without
commas.
"""

import duckdb

from longtail.init.tables.sql import literal, one_row

# Words in parentheses are no list, but quoted ones or numbers in them are.
_ITEMS = r"""\s*(['"].*|[-+0-9][-+0-9.eE,\s]*)?"""
_BRACKETED = rf"\s*(\[.*\]|\({_ITEMS}\)|\{{{_ITEMS}\}}|set\(\))\s*"
_NUMBERS = r"\s*\[[-+0-9.eE\s]*\]\s*"
# A key and its value: a dictionary is no list.
_DICTIONARY = r"""\s*\{\s*("[^"]*"|'[^']*'|[^'",:\s]+)\s*:.*"""
# How programs write that there is no value.
_NO_VALUE = ("", "None", "nan", "NaN", "null", "NA", "<NA>")


def find_printed_list(
    connection: duckdb.DuckDBPyConnection, relation: str, text: str, num_known: int
) -> tuple[str, bool] | None:
    """Return how to turn printed lists into lists; None if not all texts are printed lists.

    Args:
        text: SQL for the column; NULL where a value is missing.
        num_known: number of texts that are not NULL.

    Returns:
        SQL for a VARCHAR[], and whether the items are numbers without a comma between them.
    """
    bracketed, numbers, dictionaries = one_row(
        connection,
        "SELECT "
        + ", ".join(
            f"count(*) FILTER (regexp_full_match({text}, {literal('(?s)' + pattern)}))"
            for pattern in (_BRACKETED, _NUMBERS, _DICTIONARY)
        )
        + f" FROM {relation}",
    )
    if bracketed < num_known or dictionaries:
        return None
    inner = f"replace(trim({text}, ' \t\r\n'), 'set()', '[]')"
    inner = f"trim({inner}[2:-2], ' \t\r\n')"
    if numbers == num_known:
        return _without_gaps(rf"string_split_regex({inner}, '\s+')"), True
    # A tuple of one item ends in a comma, and NumPy puts blanks between quoted items.
    inner = f"regexp_replace({inner}, ',$', '')"
    inner = f"regexp_replace({inner}, '([''\"])[ \\t\\r\\n]+([''\"])', '\\1, \\2', 'g')"
    parts = f"TRY_CAST('[' || {inner} || ']' AS VARCHAR[])"
    (parsed,) = one_row(connection, f"SELECT count({parts}) FROM {relation}")
    return (_without_gaps(parts), False) if parsed == num_known else None


def _without_gaps(parts: str) -> str:
    gaps = ", ".join(map(literal, _NO_VALUE))
    return f"list_filter({parts}, lambda v: v NOT IN ({gaps}))"
