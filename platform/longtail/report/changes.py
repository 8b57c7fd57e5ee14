"""What changed between the data of two versions: keys, interactions, and the features' values."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from longtail.checks.drift import TOP_VALUES, jensen_shannon
from longtail.features.schema import SIDES, Feature, Side
from longtail.report.sources import VersionSources


def changed_data(now: VersionSources, before: VersionSources | None) -> list[dict[str, Any]]:
    """Count the items, queries and interactions of a version, and what came and went.

    Returns:
        A row for each: `{"what", "now", "before", "added", "removed"}`. A count that the files do
        not tell is None.
    """
    rows = []
    sides: tuple[tuple[Side, str], ...] = (("item", "items"), ("query", "queries"))
    for side, what in sides:
        keys, old_keys = now.keys(side), before.keys(side) if before else None
        rows.append(_changes(what, _distinct(keys), _distinct(old_keys)))
        # The manifest still knows the number of queries after the day's run is gone.
        if what == "queries":
            for name, one in (("now", now), ("before", before)):
                manifest = one.manifest if one else None
                if rows[-1][name] is None and manifest:
                    rows[-1][name] = manifest["num_queries"]
    pairs, old_pairs = now.pairs, before.pairs if before else None
    rows.append(_changed_pairs(pairs, old_pairs))
    return rows


def _distinct(keys: pa.Array | None) -> pa.Array | None:
    return None if keys is None else pc.unique(keys)


def _changes(what: str, keys: pa.Array | None, old: pa.Array | None) -> dict[str, Any]:
    added = removed = None
    if keys is not None and old is not None:
        num_common = pc.sum(pc.is_in(keys, value_set=old)).as_py() or 0
        added, removed = len(keys) - num_common, len(old) - num_common
    return {
        "what": what,
        "now": None if keys is None else len(keys),
        "before": None if old is None else len(old),
        "added": added,
        "removed": removed,
    }


def _changed_pairs(pairs: pa.Table | None, old: pa.Table | None) -> dict[str, Any]:
    added = removed = None
    if pairs is not None and old is not None:
        names = list(pairs.column_names)
        added = pairs.join(old, keys=names, join_type="left anti").num_rows
        removed = old.join(pairs, keys=names, join_type="left anti").num_rows
    return {
        "what": "interactions",
        "now": None if pairs is None else pairs.num_rows,
        "before": None if old is None else old.num_rows,
        "added": added,
        "removed": removed,
    }


def feature_drift(now: VersionSources, before: VersionSources) -> list[dict[str, Any]]:
    """Compare the values of every feature that both versions have, in their catalogues.

    Returns:
        `[{"side", "feature", "coverage", "coverage_before", "distinct", "distinct_before",
        "divergence"}]`, the feature that moved most first, by its divergence or by its change of
        coverage. Coverage is the share of keys with a value. The divergence is Jensen and
        Shannon's, in bits (0 equal, 1 disjoint), over the 50 most frequent values and all others as
        one; None for a dense feature or one without values.
    """
    rows: list[dict[str, Any]] = []
    for side in SIDES:
        table, old_table = now.catalogue(side), before.catalogue(side)
        if table is None or old_table is None:
            continue
        known = {feature.name: feature for feature in before.schema.side(side)}
        for feature in now.schema.side(side):
            name = feature.name
            if feature.is_id or name not in known or known[name].kind != feature.kind:
                continue
            if name in table.column_names and name in old_table.column_names:
                rows.append(_compared(feature, table[name], old_table[name]))
    return sorted(rows, key=lambda row: -_movement(row))


def _movement(row: dict[str, Any]) -> float:
    change = abs(row["coverage"] - row["coverage_before"])
    return max(float(row["divergence"] or 0.0), float(change))


def _compared(feature: Feature, column: pa.ChunkedArray, old: pa.ChunkedArray) -> dict[str, Any]:
    row: dict[str, Any] = {"side": feature.side, "feature": feature.name}
    row["coverage"], row["coverage_before"] = coverage(column), coverage(old)
    row["distinct"] = row["distinct_before"] = row["divergence"] = None
    if not feature.is_dense:
        counts, old_counts = value_counts(column), value_counts(old)
        row["distinct"], row["distinct_before"] = len(counts), len(old_counts)
        row["divergence"] = divergence(counts, old_counts)
    return row


def coverage(column: pa.ChunkedArray) -> float:
    """Return the share of rows that have a value; an empty list is none."""
    valid = pc.is_valid(column)
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        valid = pc.and_(valid, pc.greater(pc.fill_null(pc.list_value_length(column), 0), 0))
    return float(pc.mean(valid).as_py() or 0.0)


def value_counts(column: pa.ChunkedArray) -> dict[Any, int]:
    """Return how often each value of a categorical feature stands in its column."""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        column = pc.list_flatten(column)
    counted = pc.value_counts(column.drop_null()).flatten()
    return dict(zip(counted[0].to_pylist(), counted[1].to_pylist(), strict=True))


def divergence(counts: dict[Any, int], old: dict[Any, int]) -> float | None:
    """Return the Jensen-Shannon divergence in bits of two counts, the rare values as one.

    It is the measure of the check `distribution_drift`, without that check's noise allowance.
    """
    totals = sum(counts.values()), sum(old.values())
    if not all(totals):
        return None
    together = {
        value: counts.get(value, 0) / totals[0] + old.get(value, 0) / totals[1]
        for value in counts.keys() | old.keys()
    }
    top = sorted(together, key=lambda value: (-together[value], str(value)))[:TOP_VALUES]
    shares = [
        np.array([*(one.get(value, 0) for value in top), 0.0]) / total
        for one, total in zip((counts, old), totals, strict=True)
    ]
    for share in shares:
        share[-1] = max(0.0, 1.0 - share.sum())
    return jensen_shannon(*shares)


def changed_settings(now: VersionSources, before: VersionSources) -> list[dict[str, Any]]:
    """Return the keys of the configuration that differ: `[{"key", "before", "now"}]`.

    A key that one version does not have, since its release did not know it, is None there.
    """
    settings, old = flat(now.settings), flat(before.settings)
    return [
        {"key": key, "before": old.get(key), "now": settings.get(key)}
        for key in sorted(settings.keys() | old.keys())
        if settings.get(key) != old.get(key)
    ]


def flat(settings: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Return nested settings by dotted key, such as `training.num_epochs`."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{above}{key}"
        if isinstance(value, dict) and value:
            found |= flat(value, f"{name}.")
        else:
            found[name] = value
    return found
