"""Exact mutual information between the features of a catalogue, computed by the engine.

Each item counts once, however popular it is. An item with several values spreads a weight of one
evenly over its values, or over its value pairs, so that no item counts more than another
(model/METHOD.md, "Correlation of features").
"""

from collections.abc import Sequence
from math import log
from typing import Any

import ibis
import pyarrow as pa
from ibis import _
from ibis.expr.types import ArrayColumn, Column, FloatingColumn, Scalar, Table

from longtail.correlation.chance_level import CountHistogram, expected_mutual_information
from longtail.correlation.measures import DECIMALS, Measure, Missing, PairInformation

__all__ = ["DECIMALS", "Measure", "Missing", "PairInformation"]  # callers find them here too


def joint_weights(table: Table, columns: Sequence[str], missing: Missing) -> Table:
    """Count the items with each combination of values of some features.

    Args:
        table: one row for each item, with single-valued columns or lists. Nulls in a list are
            ignored. An empty list is a missing value. A value counts as often as a list repeats it.
        columns: one feature or more.
        missing: `value` makes a missing value a value of its own; `leave_out` leaves the item out.

    Returns:
        An unevaluated table with one row for each combination: `value_0`, `value_1`, ... in the
        order of `columns`; `weight`, float64, the items' weight; and `num_parts`, int64, the number
        of contributions to the weight. The weights sum to the number of items that count. Weights
        of disjoint sets of items can be added, and subtracted again (see `pair_counts`).
    """
    # `ibis.literal(1.0)` would become a decimal on Spark.
    one = ibis.literal(1).cast("float64")
    names = [f"value_{position}" for position in range(len(columns))]
    rows = table.select(
        **{name: _values(table[column]) for name, column in zip(names, columns, strict=True)}
    )
    if missing == "leave_out":
        rows = present_rows(rows, names)
    weight = one
    for name in names:
        if isinstance(rows[name], ArrayColumn):
            rows = rows.mutate(**{name: _missing_as_value(rows[name])})
            weight = weight / rows[name].length().cast("float64")
    rows = rows.mutate(weight=weight)
    for name in names:
        if isinstance(rows[name], ArrayColumn):
            rows = rows.mutate(**{name: rows[name].unnest()})
    return rows.group_by(names).aggregate(weight=_.weight.sum(), num_parts=_.count())


def present_rows(table: Table, columns: Sequence[str]) -> Table:
    """Return the items that have a value of each of these features."""
    return table.filter(*(_is_present(_values(table[column])) for column in columns))


def joint_information(joint: Table) -> PairInformation:
    """Return the entropies and the mutual information of two features from their joint weights.

    One query computes all three sums.

    Args:
        joint: the result of `joint_weights` for two columns. With `leave_out`, an item counts only
            if it has a value of both.
    """
    sums = (
        _entropy_sums(joint, "joint")
        .cross_join(_entropy_sums(_marginal(joint, "value_0"), "left"))
        .cross_join(_entropy_sums(_marginal(joint, "value_1"), "right"))
    )
    row = sums.to_pyarrow().to_pylist()[0]
    left_entropy, right_entropy = _entropy(row, "left"), _entropy(row, "right")
    information = max(_rounded(left_entropy + right_entropy - _entropy(row, "joint")), 0.0)
    return PairInformation(information, _rounded(left_entropy), _rounded(right_entropy))


def chance_information(joint: Table) -> float:
    """Return the exact chance level of two single-valued features from their joint weights."""
    left, right = (
        _marginal(joint, name).group_by("weight").aggregate(num_values=_.count()).to_pyarrow()
        for name in ("value_0", "value_1")
    )
    return expected_mutual_information(_histogram(left), _histogram(right))


def entropy_of_weights(weights: Table) -> float:
    """Return the entropy of one feature from its joint weights, in nats; 0 if it has no values."""
    return _rounded(_entropy(_entropy_sums(weights, "own").to_pyarrow().to_pylist()[0], "own"))


def _values(column: Column) -> Column:
    """Return the column without the nulls inside its lists."""
    if isinstance(column, ArrayColumn):
        return column.filter(lambda value: value.notnull())
    return column


def _is_present(column: Column) -> Any:
    present = column.notnull()
    return present & (column.length() > 0) if isinstance(column, ArrayColumn) else present


def _missing_as_value(column: ArrayColumn) -> ArrayColumn:
    """Return the lists with [null] in place of those that are null or empty."""
    missing = ibis.array([ibis.null(column.type().value_type)])
    return ibis.ifelse(column.length() > 0, column, missing)


def _marginal(joint: Table, name: str) -> Table:
    """Return the weight of each value of one of the two features."""
    return joint.group_by(name).aggregate(weight=_.weight.sum())


def _entropy_sums(weights: Table, prefix: str) -> Table:
    """Return the two sums that `_entropy` needs, as one row."""
    weight: FloatingColumn = weights.weight
    surprise: Scalar = (weight * weight.ln()).sum()
    return weights.aggregate(
        **{f"{prefix}_total": weight.sum(), f"{prefix}_weighted_logarithm": surprise}
    )


def _entropy(row: dict[str, float | None], prefix: str) -> float:
    """Return H = ln W - (sum of w ln w) / W, where W is the sum of the weights w; 0 without any."""
    total = row[f"{prefix}_total"]
    weighted_logarithm = row[f"{prefix}_weighted_logarithm"]
    if not total or weighted_logarithm is None:
        return 0.0
    return max(log(total) - weighted_logarithm / total, 0.0)


def _histogram(table: pa.Table) -> CountHistogram:
    """Return the histogram of a marginal; a weight is the number of items with the value."""
    order = table.sort_by("weight")
    counts = order["weight"].to_numpy().round().astype("int64")
    return CountHistogram(counts, order["num_values"].to_numpy().astype("int64"))


def _rounded(value: float) -> float:
    return round(value, DECIMALS)
