"""The check for features that give the answer away by naming the pairs that interact."""

from collections.abc import Iterator
from typing import Any

from longtail.checks.check import check
from longtail.checks.inspected_project import TABLE_OF, Inspection, quoted, values_of
from longtail.features.finding import MAX_EXAMPLES, Finding
from longtail.features.schema import Feature, Side

MIN_FORETOLD = 20
"""Fewest foretold pairs from which a feature is reported."""
TIMES_CHANCE = 10.0
"""Multiple of chance that the foretold pairs must reach if a feature names many wrong pairs too."""


@check("warning", "items", "queries")
def label_leakage(inspection: Inspection) -> Iterator[Finding]:
    """Features that give away which pairs interact: item features that hold ids of queries, or
    query features that hold ids of items.

    A row names pairs of its own id with the ids that it holds, from its timestamp on. A pair is
    foretold if it interacts then or later. A history that is right at each moment names a pair only
    afterwards, and foretells nothing. A feature is reported if all of these hold:

    - at least `checks.leakage_share` of its distinct values are ids of the other side;
    - 20 pairs or more are foretold;
    - the foretold pairs are at least `checks.leakage_share` of the named ones, after chance is
      subtracted from both; or they are at least `checks.leakage_share` of all interactions, and 10
      times what chance gives.

    Chance gives each named pair the product of both sides' numbers of interactions, divided by the
    number of all interactions (at most 1). If both sides share their ids, rows that name themselves
    do not count.
    """
    if len(inspection.sides) < 2 or "interactions" not in inspection.known:
        return
    sides: tuple[tuple[Side, Side], ...] = (("item", "query"), ("query", "item"))
    for side, other in sides:
        for feature in inspection.features(side):
            yield from _leak(inspection, side, other, feature)


def _leak(inspection: Inspection, side: Side, other: Side, feature: Feature) -> Iterator[Finding]:
    """Yield a finding if a feature of `side` names ids of `other` and foretells interactions."""
    limit = inspection.config.checks.leakage_share
    values = values_of(feature, f"{side}_rows", inspection.key(side))
    ids = (
        f"(SELECT {quoted(inspection.key(other))} AS id FROM {other}_rows "
        f"UNION SELECT {other}_id FROM interactions)"
    )
    # The cheap question first: hardly any feature holds ids of the other side.
    overlap = inspection.row(
        "SELECT count(*) AS num, count(*) FILTER (value IN (SELECT id FROM "
        f"{ids})) AS num_ids FROM (SELECT DISTINCT value FROM {values} WHERE value IS NOT NULL)"
    )
    if not overlap["num_ids"] or overlap["num_ids"] < limit * overlap["num"]:
        return
    assert inspection.schema is not None
    not_itself = "AND key <> value" if inspection.schema.shared_ids else ""
    named = (
        "(SELECT key, value, min(moment) AS moment FROM "
        f"{values} WHERE value IN (SELECT id FROM {ids}) {not_itself} GROUP BY ALL)"
    )
    facts = _foretold(inspection, side, other, named)
    foretold, named_pairs, chance = (facts[k] for k in ("num_foretold", "num_named", "by_chance"))
    # A leak either names hardly any wrong pairs, or names most of the interactions.
    is_precise = foretold - chance >= limit * max(1.0, named_pairs - chance)
    is_broad = foretold >= max(limit * facts["num_pairs"], TIMES_CHANCE * chance)
    if foretold < MIN_FORETOLD or not (is_precise or is_broad):
        return
    examples = inspection.rows(
        f"SELECT query_id, item_id FROM interactions i JOIN {named} n ON i.{side}_id = n.key AND "
        f"i.{other}_id = n.value WHERE i.event_timestamp >= n.moment "
        f"ORDER BY query_id, item_id LIMIT {MAX_EXAMPLES}"
    )
    source, table = inspection.sources[TABLE_OF[side]], TABLE_OF[side]
    yield Finding(
        f"column `{feature.name}` of {source} names {TABLE_OF[other]}, and tells which ones "
        f"interact: {foretold} of the {named_pairs} pairs that it names do, against {chance:.3g} "
        f"by chance; they are {foretold / facts['num_pairs']:.0%} of all interactions",
        "leave it out of the FeatureService unless it is known before the interactions; if it is, "
        "stamp its rows with that moment, or set `checks.severity: {label_leakage: ignore}`",
        *(source, table, feature.name, foretold, tuple(examples)),
    )


def _foretold(inspection: Inspection, side: Side, other: Side, named: str) -> dict[str, Any]:
    """Count all interactions, the named pairs, the foretold ones, and those due to chance."""
    count = "(SELECT {0}_id AS id, count(*)::DOUBLE AS num FROM interactions GROUP BY 1)"
    return inspection.row(
        f"SELECT (SELECT count(*) FROM interactions) AS num_pairs, count(*) AS num_named, "
        "count(*) FILTER (i.event_timestamp >= n.moment) AS num_foretold, "
        "coalesce(sum(least(1.0, coalesce(a.num * b.num, 0.0) / (SELECT count(*) FROM "
        f"interactions))), 0.0) AS by_chance FROM {named} n "
        f"LEFT JOIN interactions i ON i.{side}_id = n.key AND i.{other}_id = n.value "
        f"LEFT JOIN {count.format(side)} a ON a.id = n.key "
        f"LEFT JOIN {count.format(other)} b ON b.id = n.value"
    )
