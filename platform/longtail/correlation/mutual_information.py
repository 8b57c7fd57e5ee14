"""Mutual information between the features of a catalogue, exact, computed where the data is.

Each item counts once, however popular it is. An item with several values spreads a weight of one
evenly over its values, or over its value pairs, so that no item counts more than another
(DESIGN.md, section 3).
"""

from collections.abc import Sequence
from math import log
from typing import Any

import ibis
import pyarrow as pa
from ibis import _
from ibis.expr.types import ArrayColumn, Column, FloatingColumn, Scalar, Table

from longtail.correlation.chance import CountHistogram, expected_mutual_information
from longtail.correlation.measures import DECIMALS, Measure, Missing, PairInformation

__all__ = ["DECIMALS", "Measure", "Missing", "PairInformation"]  # callers find them here too


def joint_weights(table: Table, columns: Sequence[str], missing: Missing) -> Table:
    """How much of the catalogue carries each combination of values of some features.

    Args:
        table: one row an item, single-valued columns or lists. Nulls in a list are left out; an
            empty list is a missing value; a value that a list repeats counts as often.
        columns: one feature or more.
        missing: `value` makes a missing value one of its own, `leave_out` leaves the item out.

    Returns:
        An unevaluated table with one row a combination: `value_0`, `value_1`, ... in the order of
        `columns`, `weight`, float64, and `num_parts`, int64: how many contributions the weight is
        the sum of. The weights sum to the number of items that count. Weights of disjoint sets of
        items can be added, and subtracted again (`pair_counts`).
    """
    # A decimal on Spark if written as `ibis.literal(1.0)`.
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
    """The items that have a value of each of these features."""
    return table.filter(*(_is_present(_values(table[column])) for column in columns))


def pair_information(table: Table, left: str, right: str, missing: Missing) -> PairInformation:
    """Entropies and mutual information of two features, by one query.

    Args:
        table: see `joint_weights`.
        left: a column.
        right: another column.
        missing: see `joint_weights`. With `leave_out` both must be present for an item to count.
    """
    return joint_information(joint_weights(table, (left, right), missing))


def joint_information(joint: Table) -> PairInformation:
    """Entropies and mutual information of two features, from what `joint_weights` gives."""
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
    """The chance level of two single-valued features, exactly, from what `joint_weights` gives."""
    left, right = (
        _marginal(joint, name).group_by("weight").aggregate(num_values=_.count()).to_pyarrow()
        for name in ("value_0", "value_1")
    )
    return expected_mutual_information(_histogram(left), _histogram(right))


def entropy(table: Table, column: str, missing: Missing) -> float:
    """The entropy of one feature over the catalogue, in nats; 0 where no item has a value."""
    return entropy_of_weights(joint_weights(table, (column,), missing))


def entropy_of_weights(weights: Table) -> float:
    """The entropy of one feature, from what `joint_weights` gives."""
    return _rounded(_entropy(_entropy_sums(weights, "own").to_pyarrow().to_pylist()[0], "own"))


def _values(column: Column) -> Column:
    if isinstance(column, ArrayColumn):
        return column.filter(lambda value: value.notnull())
    return column


def _is_present(column: Column) -> Any:
    present = column.notnull()
    return present & (column.length() > 0) if isinstance(column, ArrayColumn) else present


def _missing_as_value(column: ArrayColumn) -> ArrayColumn:
    missing = ibis.array([ibis.null(column.type().value_type)])
    return ibis.ifelse(column.length() > 0, column, missing)


def _marginal(joint: Table, name: str) -> Table:
    return joint.group_by(name).aggregate(weight=_.weight.sum())


def _entropy_sums(weights: Table, prefix: str) -> Table:
    weight: FloatingColumn = weights.weight
    surprise: Scalar = (weight * weight.ln()).sum()
    return weights.aggregate(
        **{f"{prefix}_total": weight.sum(), f"{prefix}_weighted_logarithm": surprise}
    )


def _entropy(row: dict[str, float | None], prefix: str) -> float:
    """H = ln W - (sum of w ln w) / W, with W the sum of the weights w; 0 where there are none."""
    total = row[f"{prefix}_total"]
    weighted_logarithm = row[f"{prefix}_weighted_logarithm"]
    if not total or weighted_logarithm is None:
        return 0.0
    return max(log(total) - weighted_logarithm / total, 0.0)


def _histogram(table: pa.Table) -> CountHistogram:
    order = table.sort_by("weight")
    counts = order["weight"].to_numpy().round().astype("int64")
    return CountHistogram(counts, order["num_values"].to_numpy().astype("int64"))


def _rounded(value: float) -> float:
    return round(value, DECIMALS)
