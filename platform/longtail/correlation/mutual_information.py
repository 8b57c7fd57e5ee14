"""Mutual information between the features of a catalogue, exact, computed where the data is.

Each item counts once, however popular it is. An item with several values spreads a weight of one
evenly over its values, or over its value pairs, so that no item counts more than another
(DESIGN.md, section 3).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any, Literal

import ibis
import numpy as np
from ibis import _
from ibis.expr.types import ArrayColumn, Column, FloatingColumn, Scalar, Table

Measure = Literal["mutual_information", "normalized"]
Missing = Literal["value", "leave_out"]

# Sums of doubles depend, in their last digits, on the order in which threads deliver them. Rounded,
# equal figures stay equal, and the ties of a masking plan fall the same way every time.
DECIMALS = 10


def joint_weights(table: Table, columns: Sequence[str], missing: Missing) -> Table:
    """How much of the catalogue carries each combination of values of some features.

    Args:
        table: one row an item, single-valued columns or lists. Nulls in a list are left out; an
            empty list is a missing value; a value that a list repeats counts as often.
        columns: one feature or more.
        missing: `value` makes a missing value one of its own, `leave_out` leaves the item out.

    Returns:
        An unevaluated table with one row a combination: `value_0`, `value_1`, ... in the order of
        `columns`, and `weight`, float64. The weights sum to the number of items that count.
        Weights of disjoint sets of items can be added.
    """
    # A decimal on Spark if written as `ibis.literal(1.0)`.
    one = ibis.literal(1).cast("float64")
    names = [f"value_{position}" for position in range(len(columns))]
    rows = table.select(
        **{name: _values(table[column]) for name, column in zip(names, columns, strict=True)}
    )
    if missing == "leave_out":
        rows = rows.filter(*(_is_present(rows[name]) for name in names))
    weight = one
    for name in names:
        if isinstance(rows[name], ArrayColumn):
            rows = rows.mutate(**{name: _missing_as_value(rows[name])})
            weight = weight / rows[name].length().cast("float64")
    rows = rows.mutate(weight=weight)
    for name in names:
        if isinstance(rows[name], ArrayColumn):
            rows = rows.mutate(**{name: rows[name].unnest()})
    return rows.group_by(names).aggregate(weight=_.weight.sum())


@dataclass(frozen=True)
class PairInformation:
    """What two features tell about each other, in nats.

    Attributes:
        mutual_information: I(X; Y), Yao et al. 2021, equation 4; never below zero.
        left_entropy: H(X) over the items that the pair's figures are made from.
        right_entropy: H(Y), likewise.
    """

    mutual_information: float
    left_entropy: float
    right_entropy: float

    @property
    def normalized(self) -> float:
        """I(X; Y) / min(H(X), H(Y)): the share of the poorer feature that the other one tells.

        The raw measure grows with the number of values; divided by the smaller entropy it is 1
        where one feature determines the other, whatever their sizes. 0 where either is constant.
        """
        smaller = min(self.left_entropy, self.right_entropy)
        return min(self.mutual_information / smaller, 1.0) if smaller > 0.0 else 0.0


def pair_information(table: Table, left: str, right: str, missing: Missing) -> PairInformation:
    """Entropies and mutual information of two features, by one query.

    Args:
        table: see `joint_weights`.
        left: a column.
        right: another column.
        missing: see `joint_weights`. With `leave_out` both must be present for an item to count.
    """
    joint = joint_weights(table, (left, right), missing)
    sums = (
        _entropy_sums(joint, "joint")
        .cross_join(_entropy_sums(_marginal(joint, "value_0"), "left"))
        .cross_join(_entropy_sums(_marginal(joint, "value_1"), "right"))
    )
    row = sums.to_pyarrow().to_pylist()[0]
    left_entropy, right_entropy = _entropy(row, "left"), _entropy(row, "right")
    information = max(_rounded(left_entropy + right_entropy - _entropy(row, "joint")), 0.0)
    return PairInformation(information, _rounded(left_entropy), _rounded(right_entropy))


def entropy(table: Table, column: str, missing: Missing) -> float:
    """The entropy of one feature over the catalogue, in nats; 0 where no item has a value."""
    weights = joint_weights(table, (column,), missing)
    return _rounded(_entropy(_entropy_sums(weights, "own").to_pyarrow().to_pylist()[0], "own"))


def correlation_matrix(
    table: Table, features: Sequence[str], measure: Measure, missing: Missing
) -> np.ndarray:
    """The chosen measure for every pair of features.

    Returns:
        A symmetric float64 matrix [num_features, num_features], finite and not negative. On the
        diagonal stands a feature's entropy (`mutual_information`), or 1 (`normalized`).
    """
    matrix = np.eye(len(features))
    for row, left in enumerate(features):
        if measure == "mutual_information":
            matrix[row, row] = entropy(table, left, missing)
        for column in range(row + 1, len(features)):
            pair = pair_information(table, left, features[column], missing)
            matrix[row, column] = matrix[column, row] = _rounded(getattr(pair, measure))
    return matrix


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


def _rounded(value: float) -> float:
    return round(value, DECIMALS)
