"""The chance level of multi-valued features, estimated by dealing out values at random.

For single-valued features the chance level has a closed form (`chance_level.py`). For multi-valued
features, where an item spreads its weight over its values, it has none. The mean over seeded
permutations estimates it.
"""

from statistics import fmean

import ibis
from ibis.expr.types import StringColumn, Table

from longtail.correlation.measures import Missing
from longtail.correlation.mutual_information import joint_information, joint_weights, present_rows


def shuffled(table: Table, column: str, key: str, seed: int) -> Table:
    """Return the items with the values of one column dealt out among them at random.

    The order is that of a hash of key and seed, so that every engine deals in the same way.

    Args:
        table: one row for each item.
        column: the column to deal out. A list moves as a whole.
        key: the column that identifies an item, without nulls or repetitions.
        seed: the seed of the permutation.
    """
    # Rows are placed by a copy of the key, because the key may be the column that is dealt out.
    rows = table.mutate(_key=table[key].cast("string"))
    places = rows.drop(column).mutate(_place=ibis.row_number().over(order_by=rows["_key"]))
    name: StringColumn = rows["_key"]
    draw = (name + f" {seed}").hexdigest("md5")
    dealt = rows.select(rows[column], _place=ibis.row_number().over(order_by=[draw, rows["_key"]]))
    return places.join(dealt, "_place").drop("_place", "_key")


def chance_by_shuffling(
    table: Table, left: str, right: str, missing: Missing, *, key: str, num_shuffles: int
) -> float:
    """Return the mean mutual information over `num_shuffles` permutations, in nats.

    Args:
        table: see `joint_weights`.
        left: the column to deal out.
        right: another column.
        missing: see `joint_weights`. With `leave_out`, values are dealt out among the items that
            have both.
        key: see `shuffled`.
        num_shuffles: the number of permutations; their seeds are 0, 1, ...
    """
    pair = table.select(_item=table[key], value_left=table[left], value_right=table[right])
    if missing == "leave_out":
        pair = present_rows(pair, ("value_left", "value_right"))
    figures = []
    for seed in range(num_shuffles):
        dealt = shuffled(pair, "value_left", "_item", seed)
        joint = joint_weights(dealt, ("value_left", "value_right"), missing)
        figures.append(joint_information(joint).mutual_information)
    return fmean(figures)
