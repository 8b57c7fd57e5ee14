"""Checks for columns with hardly any values, and for columns that differ in every row."""

from collections.abc import Iterator

from longtail.checks.check import check
from longtail.checks.inspected_project import TABLE_OF, Inspection, quoted, values_of
from longtail.features.finding import MAX_EXAMPLES, Finding
from longtail.features.schema import Side

MIN_ROWS = 20
"""Fewest rows from which a constant or an empty column is reported."""
MIN_VALUES = 100
"""Fewest values from which a feature is reported as near-unique."""


@check("warning", "items", "queries")
def near_unique(inspection: Inspection) -> Iterator[Finding]:
    """Features with almost as many different values as rows: an identifier, or free text.

    Distinct values divided by values are at least `checks.near_unique_share`, in the latest row of
    each key, and there are 100 values or more. Features with a hashed vocabulary are skipped, since
    it is meant for many values.
    """
    limit = inspection.config.checks.near_unique_share
    for side in inspection.sides:
        for feature in inspection.features(side):
            if feature.vocabulary == "hash":
                continue
            values = values_of(feature, _latest(side), inspection.key(side))
            facts = inspection.row(
                f"SELECT count(value) AS num, count(DISTINCT value) AS num_distinct FROM {values}"
            )
            num, num_distinct = facts["num"], facts["num_distinct"]
            if num >= MIN_VALUES and num_distinct >= limit * num:
                rows = inspection.rows(
                    f"SELECT DISTINCT value FROM {values} WHERE value IS NOT NULL "
                    f"ORDER BY value LIMIT {MAX_EXAMPLES}"
                )
                source = inspection.sources[TABLE_OF[side]]
                yield Finding(
                    f"column `{feature.name}` of {source} has {num_distinct} different values "
                    f"among {num}, so hardly two {TABLE_OF[side]} share one and the model learns "
                    "nothing from it",
                    "leave it out of the FeatureService, group its values into coarser ones, or "
                    "tag it `vocabulary: hash`",
                    *(source, TABLE_OF[side], feature.name, num),
                    tuple(row["value"] for row in rows),
                )


@check("warning", "items", "queries")
def constant_columns(inspection: Inspection) -> Iterator[Finding]:
    """Features that have one and the same value in the latest row of every key.

    Tables with fewer than 20 keys are skipped.
    """
    for side in inspection.sides:
        for feature in inspection.features(side):
            column = quoted(feature.name)
            facts = inspection.row(
                f"SELECT count(*) AS num_rows, count({column}) AS num, "
                f"count(DISTINCT {column}) AS num_distinct, any_value({column}) AS value "
                f"FROM {_latest(side)}"
            )
            num_rows = facts["num_rows"]
            if num_rows >= MIN_ROWS and facts["num"] == num_rows and facts["num_distinct"] == 1:
                source = inspection.sources[TABLE_OF[side]]
                yield Finding(
                    f"column `{feature.name}` of {source} is {facts['value']!r} in every row",
                    "leave it out of the FeatureService, or look for what removed its other values",
                    *(source, TABLE_OF[side], feature.name, num_rows, (facts["value"],)),
                )


@check("warning", "items", "queries")
def nearly_empty(inspection: Inspection) -> Iterator[Finding]:
    """Features that hardly any key has a value for: less than `checks.min_coverage` of the keys.

    The latest row of each key counts. Tables with fewer than 20 keys are skipped.
    """
    limit = inspection.config.checks.min_coverage
    for side in inspection.sides:
        for feature in inspection.features(side):
            values = values_of(feature, _latest(side), inspection.key(side))
            num_rows = inspection.latest[side].num_rows
            covered = inspection.row(f"SELECT count(DISTINCT key) AS num FROM {values}")["num"]
            if num_rows >= MIN_ROWS and covered < limit * num_rows:
                rows = inspection.rows(
                    f"SELECT key, value FROM {values} ORDER BY key, value LIMIT {MAX_EXAMPLES}"
                )
                source = inspection.sources[TABLE_OF[side]]
                yield Finding(
                    f"column `{feature.name}` of {source} has a value for only {covered} of "
                    f"{num_rows} {TABLE_OF[side]}",
                    "leave it out of the FeatureService, or look for what emptied it",
                    *(source, TABLE_OF[side], feature.name, num_rows - covered, tuple(rows)),
                )


def _latest(side: Side) -> str:
    """Return the SQL table that holds the latest row of each key; see `Inspection`."""
    return TABLE_OF[side]
