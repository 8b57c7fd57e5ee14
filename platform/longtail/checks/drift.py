"""Checks for changes since the served version: coverage, cardinality and distribution."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from longtail.checks.check import check
from longtail.checks.inspected_project import TABLE_OF, Inspection, has_value, values_of
from longtail.features.finding import MAX_EXAMPLES, Finding
from longtail.features.schema import Feature, Side

MIN_KEYS = 20
"""Fewest keys of either version from which coverage is compared."""
MIN_VALUES = 100
"""Fewest distinct values, in the version that has more, from which cardinality is compared."""
MIN_ROWS = 200
"""Fewest keys with a value, in either version, from which distributions are compared."""
TOP_VALUES = 50
"""Most frequent values that are compared one by one; all others count as one more value."""


@check("warning", "items", "queries")
def coverage_drift(inspection: Inspection) -> Iterator[Finding]:
    """Features that emptied or filled: the share of keys with a value differs from the served
    version's by more than `checks.max_coverage_change`.

    The latest row of each key counts, and both versions have 20 keys or more. Dense features are
    compared too, since the job that computes them may have stopped.
    """
    limit = inspection.config.checks.max_coverage_change
    for side, feature in _comparable(inspection, dense=True):
        now, then = _coverage(inspection, side, feature)
        if min(now["num_rows"], then["num_rows"]) < MIN_KEYS:
            continue
        before, after = then["covered"] / then["num_rows"], now["covered"] / now["num_rows"]
        if abs(after - before) > limit:
            yield _finding(
                *(inspection, side, feature),
                f"has a value for {after:.1%} of the {TABLE_OF[side]}, against {before:.1%}",
                "look for what emptied or filled it; if that is intended, publish the new version",
                now["num_rows"],
                ({"coverage_then": before, "coverage_now": after},),
            )


@check("warning", "items", "queries")
def cardinality_drift(inspection: Inspection) -> Iterator[Finding]:
    """Vocabularies that grew or shrank by more than the factor `checks.max_vocabulary_growth`
    since the served version.

    Distinct values are counted in the latest row of each key; the larger count is 100 or more.
    """
    limit = inspection.config.checks.max_vocabulary_growth
    for side, feature in _comparable(inspection):
        now, then = _facts(inspection, side, feature)
        few, many = sorted((now["num_distinct"], then["num_distinct"]))
        if many >= MIN_VALUES and many > limit * few:
            new = inspection.rows(
                f"SELECT DISTINCT value FROM {_values(inspection, side, feature)} EXCEPT "
                f"SELECT DISTINCT value FROM {_values(inspection, side, feature, served=True)} "
                f"ORDER BY value LIMIT {MAX_EXAMPLES}"
            )
            yield _finding(
                *(inspection, side, feature),
                f"has {now['num_distinct']} different values, against {then['num_distinct']}",
                "look for a change in how they are written, such as an id or a time inside the "
                "value; if their number has no bound, tag the feature `vocabulary: hash`",
                now["num_rows"],
                tuple(row["value"] for row in new),
            )


@check("warning", "items", "queries")
def distribution_drift(inspection: Inspection) -> Iterator[Finding]:
    """Features with another distribution of values than in the served version: the Jensen-Shannon
    divergence is above `checks.max_divergence`.

    The divergence is in bits, from 0 to 1. It compares the 50 values that are most frequent in
    either version, and all others as one more value. Each key spreads a weight of one over its
    values. Two samples of one distribution would show (values - 1) / (8 ln 2) (1/n + 1/m) at these
    sizes; this is subtracted. Both versions have 200 keys with a value or more.
    """
    limit = inspection.config.checks.max_divergence
    for side, feature in _comparable(inspection):
        now, then = _facts(inspection, side, feature)
        if min(now["covered"], then["covered"]) < MIN_ROWS:
            continue
        rows = _shares(inspection, side, feature)
        before = np.array([row["share_then"] for row in rows])
        after = np.array([row["share_now"] for row in rows])
        # Both must sum to one, so all the rarer values count as one more.
        before = np.append(before, max(0.0, 1.0 - before.sum()))
        after = np.append(after, max(0.0, 1.0 - after.sum()))
        noise = (len(before) - 1) * (1 / now["covered"] + 1 / then["covered"]) / (8 * np.log(2))
        divergence = jensen_shannon(before, after) - noise
        if divergence > limit:
            moved = sorted(rows, key=lambda row: -abs(row["share_now"] - row["share_then"]))
            first = moved[0]
            yield _finding(
                *(inspection, side, feature),
                f"has drifted by {divergence:.2f} bits: {first['value']!r} has a share of "
                f"{first['share_now']:.1%}, against {first['share_then']:.1%}",
                "look for a changed source, or a change in how values are written; if that is "
                "intended, publish the new version",
                now["num_rows"],
                tuple(moved[:MAX_EXAMPLES]),
            )


def jensen_shannon(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> float:
    """Return the Jensen-Shannon divergence of two distributions `[k]`, in bits from 0 to 1."""

    def entropy(x: npt.NDArray[np.float64]) -> float:
        positive = x[x > 0]
        return float(-(positive * np.log2(positive)).sum())

    return entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2


def _comparable(inspection: Inspection, *, dense: bool = False) -> Iterator[tuple[Side, Feature]]:
    """Yield the categorical features that the served version has with the same kind.

    With `dense`, dense features too.
    """
    served = inspection.served
    if served is None:
        return
    for side in inspection.sides:
        kinds = {feature.name: feature.kind for feature in served.schema.side(side)}
        for feature in inspection.features(side, dense=dense):
            if kinds.get(feature.name) == feature.kind:
                yield side, feature


def _values(inspection: Inspection, side: Side, feature: Feature, *, served: bool = False) -> str:
    """Return SQL for the values of a feature today, or in the served version."""
    relation = f"served_{TABLE_OF[side]}" if served else TABLE_OF[side]
    key = inspection.key(side)
    if served:
        # The key column may have had another name in the served version.
        assert inspection.served is not None
        key = inspection.served.schema.side(side)[0].name
    return values_of(feature, relation, key)


def _coverage(
    inspection: Inspection, side: Side, feature: Feature
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the numbers of keys and of keys with a value: now, and in the served version."""
    now, then = (
        inspection.row(
            f"SELECT count(*) AS num_rows, count(*) FILTER ({has_value(feature)}) AS covered "
            f"FROM {prefix}{TABLE_OF[side]}"
        )
        for prefix in ("", "served_")
    )
    return now, then


def _facts(
    inspection: Inspection, side: Side, feature: Feature
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the numbers of keys, of keys with a value, and of distinct values.

    First now, then in the served version.
    """
    now, then = (
        inspection.row(
            f"SELECT (SELECT count(*) FROM {prefix}{TABLE_OF[side]}) AS num_rows, "
            "count(DISTINCT key) AS covered, count(DISTINCT value) AS num_distinct "
            f"FROM {_values(inspection, side, feature, served=bool(prefix))}"
        )
        for prefix in ("", "served_")
    )
    return now, then


def _shares(inspection: Inspection, side: Side, feature: Feature) -> list[dict[str, Any]]:
    """Return the most frequent values of either version: `value`, `share_then`, `share_now`."""

    def shares(served: bool) -> str:
        values = _values(inspection, side, feature, served=served)
        return (
            "(SELECT value, sum(weight) / sum(sum(weight)) OVER () AS share FROM "
            f"{values} WHERE value IS NOT NULL GROUP BY 1)"
        )

    return inspection.rows(
        "SELECT coalesce(a.value, b.value) AS value, coalesce(b.share, 0.0) AS share_then, "
        f"coalesce(a.share, 0.0) AS share_now FROM {shares(False)} a FULL JOIN {shares(True)} b "
        "ON a.value = b.value ORDER BY greatest(share_then, share_now) DESC, value "
        f"LIMIT {TOP_VALUES}"
    )


def _finding(
    inspection: Inspection,
    side: Side,
    feature: Feature,
    what: str,
    cure: str,
    num_rows: int,
    examples: tuple[Any, ...],
) -> Finding:
    assert inspection.served is not None
    source = inspection.sources[TABLE_OF[side]]
    return Finding(
        f"column `{feature.name}` of {source} {what} in the served version "
        f"{inspection.served.version}",
        cure,
        *(source, TABLE_OF[side], feature.name, num_rows, examples),
    )
