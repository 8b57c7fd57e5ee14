"""The check for columns that write one thing in two ways, which become two embeddings."""

from collections.abc import Iterator

from longtail.checks.check import check
from longtail.checks.inspected_project import TABLE_OF, Inspection, quoted, values_of
from longtail.features.finding import MAX_EXAMPLES, Finding, TableName

MOSTLY_NUMBERS = 0.8
"""Share of numbers from which the words among them are reported."""
NUMBER = r"'^[+-]?[0-9]+([.][0-9]+)?$'"


@check("warning", "items", "queries", "interactions")
def mixed_types(inspection: Inspection) -> Iterator[Finding]:
    """Columns of strings that mix numbers and words, or that write one number in two ways; lists
    with missing values.

    Numbers and words are mixed if at least four fifths of the values are numbers, but not all. One
    number is written in two ways if the column has, for example, both `3` and `3.0`, and at least
    half of its values are numbers; ids are looked at too.
    """
    for side in inspection.sides:
        table, key = TABLE_OF[side], inspection.key(side)
        for feature in inspection.features(side):
            values = values_of(feature, f"{side}_rows", key)
            if feature.kind == "multi":
                yield from _nulls_inside(inspection, table, feature.name, values)
            if feature.dtype == "string":
                yield from _words(inspection, table, feature.name, values)
                yield from _spellings(inspection, table, feature.name, values)
        keys = f"(SELECT {quoted(key)} AS key, {quoted(key)} AS value FROM {side}_rows)"
        yield from _spellings(inspection, table, key, keys)
        if "interactions" in inspection.known:
            keys = f"(SELECT {side}_id AS key, {side}_id AS value FROM interactions)"
            yield from _spellings(inspection, "interactions", f"{side}_id", keys)


def _words(inspection: Inspection, table: TableName, column: str, values: str) -> Iterator[Finding]:
    """Yield a finding if a few words stand among numbers."""
    facts = inspection.row(
        f"SELECT count(value) AS num, count(*) FILTER (regexp_matches(value, {NUMBER})) AS numbers "
        f"FROM {values}"
    )
    num_words = facts["num"] - facts["numbers"]
    if num_words and facts["numbers"] >= MOSTLY_NUMBERS * facts["num"]:
        examples = inspection.rows(
            f"SELECT value, count(*) AS n FROM {values} WHERE NOT regexp_matches(value, {NUMBER}) "
            f"GROUP BY 1 ORDER BY n DESC, value LIMIT {MAX_EXAMPLES}"
        )
        words = tuple(row["value"] for row in examples)
        source = inspection.sources[table]
        yield Finding(
            f"column `{column}` of {source} mixes numbers and words: {facts['numbers']} of "
            f"{facts['num']} values are numbers, others are {', '.join(map(repr, words))}",
            "write unknown values as null, and give the column one type",
            *(source, table, column, num_words, words),
        )


def _spellings(
    inspection: Inspection, table: TableName, column: str, values: str
) -> Iterator[Finding]:
    """Yield a finding if one number is written in several ways, such as `3` and `3.0`."""
    number = f"CASE WHEN regexp_matches(value, {NUMBER}) THEN TRY_CAST(value AS DOUBLE) END"
    spelt = (
        f"(SELECT {number} AS number, list(DISTINCT value ORDER BY value) AS ways, count(*) AS n "
        f"FROM {values} GROUP BY 1)"
    )
    facts = inspection.row(
        "SELECT coalesce(sum(n), 0) AS num, "
        "coalesce(sum(n) FILTER (number IS NOT NULL), 0) AS numbers, "
        "coalesce(sum(n) FILTER (number IS NOT NULL AND len(ways) > 1), 0) AS twice "
        f"FROM {spelt}"
    )
    if facts["twice"] and 2 * facts["numbers"] >= facts["num"]:
        rows = inspection.rows(
            f"SELECT ways[:2] AS ways FROM {spelt} WHERE number IS NOT NULL AND len(ways) > 1 "
            f"ORDER BY n DESC, number LIMIT {MAX_EXAMPLES}"
        )
        examples = tuple(row["ways"] for row in rows)
        source = inspection.sources[table]
        yield Finding(
            f"column `{column}` of {source} writes one number in several ways, such as "
            f"{examples[0][0]!r} and {examples[0][1]!r}, which become different values",
            "write each number in one way (pandas writes the integers of a column with missing "
            "values as `3.0`)",
            *(source, table, column, int(facts["twice"]), examples),
        )


def _nulls_inside(
    inspection: Inspection, table: TableName, column: str, values: str
) -> Iterator[Finding]:
    """Yield a finding if lists have nulls inside."""
    nulls = f"FROM {values} WHERE value IS NULL"
    num_rows = inspection.row(f"SELECT count(DISTINCT (key, moment)) AS num {nulls}")["num"]
    if num_rows:
        rows = inspection.rows(f"SELECT DISTINCT key {nulls} ORDER BY key LIMIT {MAX_EXAMPLES}")
        keys = tuple(row["key"] for row in rows)
        source = inspection.sources[table]
        yield Finding(
            f"column `{column}` of {source} has lists with missing values, such as the list of "
            f"{keys[0]!r}",
            "leave the missing values out of the lists",
            *(source, table, column, num_rows, keys),
        )
