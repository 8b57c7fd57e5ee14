"""What changed since the served version's catalogue: coverage, cardinality, distribution."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from longtail.checks.check import check
from longtail.checks.inspection import TABLE_OF, Inspection, has_value, values_of
from longtail.features.finding import MAX_EXAMPLES, Finding
from longtail.features.schema import Feature, Side

MIN_VALUES = 100
MIN_ROWS = 200
TOP_VALUES = 50


@check("warning", "items", "queries")
def coverage_drift(inspection: Inspection) -> Iterator[Finding]:
    """The share of keys that have a value differs from the served version's by more than
    `checks.max_coverage_change`.

    Each key's latest row counts, of 20 keys or more on either side. Dense features are looked at,
    too: whatever computes them may have stopped.
    """
    limit = inspection.config.checks.max_coverage_change
    for side, feature in _comparable(inspection, dense=True):
        now, then = _coverage(inspection, side, feature)
        if min(now["num_rows"], then["num_rows"]) < 20:
            continue
        before, after = then["covered"] / then["num_rows"], now["covered"] / now["num_rows"]
        if abs(after - before) > limit:
            yield _finding(
                *(inspection, side, feature),
                f"has a value for {after:.1%} of the {TABLE_OF[side]}, and had for {before:.1%}",
                "look for what emptied or filled it; publish the new version if that is meant",
                now["num_rows"],
                ({"coverage_then": before, "coverage_now": after},),
            )


@check("warning", "items", "queries")
def cardinality_drift(inspection: Inspection) -> Iterator[Finding]:
    """A vocabulary that grew or shrank by more than the factor `checks.max_vocabulary_growth`
    since the served version.

    Distinct values in each key's latest row, where the larger count is at least 100.
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
                f"has {now['num_distinct']} different values, and had {then['num_distinct']}",
                "look for a changed way to write them, such as an id or a time in the value; tag "
                "the feature `vocabulary: hash` if it has no bound",
                now["num_rows"],
                tuple(row["value"] for row in new),
            )


@check("warning", "items", "queries")
def distribution_drift(inspection: Inspection) -> Iterator[Finding]:
    """The values are distributed otherwise than in the served version: a Jensen-Shannon divergence
    above `checks.max_divergence`.

    In bits, from 0 to 1, over the 50 values that are most frequent on either side and one of all
    others; each key spreads a weight of one over its values. What samples of these sizes would show
    of one and the same distribution, (values - 1) / (8 ln 2) (1/n + 1/m), is subtracted. Of 200
    keys with a value or more.
    """
    limit = inspection.config.checks.max_divergence
    for side, feature in _comparable(inspection):
        now, then = _facts(inspection, side, feature)
        if min(now["covered"], then["covered"]) < MIN_ROWS:
            continue
        rows = _shares(inspection, side, feature)
        before = np.array([row["share_then"] for row in rows])
        after = np.array([row["share_now"] for row in rows])
        # What is beyond the most frequent values counts as one more.
        before = np.append(before, max(0.0, 1.0 - before.sum()))
        after = np.append(after, max(0.0, 1.0 - after.sum()))
        noise = (len(before) - 1) * (1 / now["covered"] + 1 / then["covered"]) / (8 * np.log(2))
        divergence = jensen_shannon(before, after) - noise
        if divergence > limit:
            moved = sorted(rows, key=lambda row: -abs(row["share_now"] - row["share_then"]))
            first = moved[0]
            yield _finding(
                *(inspection, side, feature),
                f"is distributed otherwise by {divergence:.2f} bits: {first['value']!r} has "
                f"{first['share_now']:.1%}, and had {first['share_then']:.1%}",
                "look for a changed source or a changed way to write values; publish the new "
                "version if that is meant",
                now["num_rows"],
                tuple(moved[:MAX_EXAMPLES]),
            )


def jensen_shannon(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> float:
    """The Jensen-Shannon divergence of two distributions `[k]` in bits, 0 to 1."""

    def entropy(x: npt.NDArray[np.float64]) -> float:
        positive = x[x > 0]
        return float(-(positive * np.log2(positive)).sum())

    return entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2


def _comparable(inspection: Inspection, *, dense: bool = False) -> Iterator[tuple[Side, Feature]]:
    """The features that the served version has, too, of the same kind; categorical ones, or all."""
    served = inspection.served
    if served is None:
        return
    for side in inspection.sides:
        kinds = {feature.name: feature.kind for feature in served.schema.side(side)}
        for feature in inspection.features(side, dense=dense):
            if kinds.get(feature.name) == feature.kind:
                yield side, feature


def _values(inspection: Inspection, side: Side, feature: Feature, *, served: bool = False) -> str:
    relation = f"served_{TABLE_OF[side]}" if served else TABLE_OF[side]
    key = inspection.key(side)
    if served:
        assert inspection.served is not None
        key = inspection.served.schema.side(side)[0].name
    return values_of(feature, relation, key)


def _coverage(
    inspection: Inspection, side: Side, feature: Feature
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keys, and keys with a value: now, and of the served version."""
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
    """Keys, keys with a value, and distinct values: now, and of the served version."""
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
    """The most frequent values of either side: `value`, `share_then`, `share_now`."""

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
