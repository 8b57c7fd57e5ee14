"""The chance level of multi-valued features: what is left when the values are dealt out at random.

For single-valued features the expectation is known in closed form (`chance.py`). An item with
several values spreads its weight, and there is none: the mean over seeded permutations stands for
it.
"""

from statistics import fmean

import ibis
from ibis.expr.types import StringColumn, Table

from longtail.correlation.measures import Missing
from longtail.correlation.mutual_information import joint_information, joint_weights, present_rows


def shuffled(table: Table, column: str, key: str, seed: int) -> Table:
    """The same items with the values of one column dealt out among them at random.

    The order is that of a hash of key and seed, so that every engine deals alike.

    Args:
        table: one row an item.
        column: whose values move, each item's list as a whole; another column than the key.
        key: the column that identifies an item, without nulls or repetitions.
        seed: another one deals otherwise.
    """
    # A copy of the key: with the key itself as a feature, its values may be what moves.
    rows = table.mutate(_key=table[key].cast("string"))
    places = rows.drop(column).mutate(_place=ibis.row_number().over(order_by=rows["_key"]))
    name: StringColumn = rows["_key"]
    draw = (name + f" {seed}").hexdigest("md5")
    dealt = rows.select(rows[column], _place=ibis.row_number().over(order_by=[draw, rows["_key"]]))
    return places.join(dealt, "_place").drop("_place", "_key")


def chance_by_shuffling(
    table: Table, left: str, right: str, missing: Missing, *, key: str, num_shuffles: int
) -> float:
    """The mean mutual information over `num_shuffles` permutations, in nats.

    Args:
        table: see `joint_weights`.
        left: a column; its values move.
        right: another column.
        missing: see `joint_weights`. With `leave_out` the values of items that count move among
            these items.
        key: see `shuffled`.
        num_shuffles: permutations, with the seeds 0, 1, ...
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
