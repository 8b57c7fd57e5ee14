"""Associations: the value pairs that make two features correlate, for a person to judge."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from typing import Any

import ibis
from ibis import _
from ibis.expr.types import Table

from longtail.correlation.measures import DECIMALS, Missing
from longtail.correlation.mutual_information import joint_weights
from longtail.correlation.sample import num_halvings, sampled

NUM_VALUE_PAIRS = 5
# Items that are read to find associations.
MAX_ITEMS = 500_000
# Longer values are cut: a person learns no more from a text of a megabyte.
MAX_CHARACTERS = 200


def associations(
    table: Table,
    features: Sequence[str],
    missing: Missing,
    *,
    halvings: int = 0,
    max_items: int = MAX_ITEMS,
) -> list[dict[str, Any]]:
    """Find the value pairs that carry most of the mutual information of each pair of features.

    Args:
        table: one row for each item; see `joint_weights`.
        features: columns, the item key first. Their order is the order of the pairs.
        missing: see `joint_weights`.
        halvings: the number of times the catalogue was halved for `table`; see `sample.sampled`.
        max_items: a larger table is sampled by the key. Strong associations show in a sample too.

    Returns:
        One entry for each pair of features:

        - `features`: their two names.
        - `near_unique`: the names of those with values that nearly single out an item.
        - `value_pairs`: at most 5, see `strongest_value_pairs`. Empty if a feature is near-unique,
          because a list of ids and their values is no association that a person can judge. In a
          sample, `items` is an estimate for the whole catalogue.
    """
    near_unique = {name for name in features if is_near_unique(table, name, missing)}
    found = []
    with _at_most(max_items, table, features[0], halvings) as (items, scale):
        for pair in combinations(features, 2):
            unique = [name for name in pair if name in near_unique]
            value_pairs = []
            if not unique:
                joint = joint_weights(items, pair, missing)
                value_pairs = strongest_value_pairs(joint, scale=scale)
            found.append(
                {"features": list(pair), "near_unique": unique, "value_pairs": value_pairs}
            )
    return found


def is_near_unique(table: Table, feature: str, missing: Missing) -> bool:
    """Return whether a typical value of a feature belongs to fewer than two items.

    This holds if exp(entropy) is more than half the number of items. exp(entropy) is the number of
    equally frequent values that would be as hard to guess; for an id it is the number of items.
    """
    weights = joint_weights(table, (feature,), missing)
    sums = weights.aggregate(total=_.weight.sum(), surprise=(_.weight * _.weight.ln()).sum())
    row = sums.mutate(
        # exp(H) = W / exp(sum w ln w / W), with W the sum of the weights: the items.
        items_a_value=(_.surprise / _.total).exp()
    ).to_pyarrow()
    items_a_value = row["items_a_value"][0].as_py()
    # None if no item has a value and items without one are left out.
    return items_a_value is not None and round(items_a_value, DECIMALS) < 2.0


def strongest_value_pairs(
    joint: Table, *, limit: int = NUM_VALUE_PAIRS, scale: int = 1
) -> list[dict[str, Any]]:
    """Return the value pairs that contribute most to the mutual information of two features.

    I(X; Y) is the sum of p(x, y) ln(p(x, y) / (p(x) p(y))) over the value pairs. A term above zero
    is a value pair that occurs more often than it would by chance.

    Args:
        joint: `value_0`, `value_1` and `weight`, as `joint_weights` returns them.
        limit: the largest number of value pairs.
        scale: the number of catalogue items that each item of `joint` stands for.

    Returns:
        The terms above zero, largest first. Equal terms are in the order of their values, missing
        values last. Each has:

        - `values`: [x, y], None for a missing value.
        - `items`: the number of items that carry both; an item with several values counts with the
          share of its value pairs.
        - `lift`: `items`, divided by the number expected if the features were independent.
        - `information`: the term, in nats.
    """
    # Windows and no joins with the marginals, because a join drops nulls.
    terms = (
        joint.mutate(
            left=_.weight.sum().over(ibis.window(group_by="value_0")),
            right=_.weight.sum().over(ibis.window(group_by="value_1")),
            total=_.weight.sum().over(ibis.window()),
        )
        .mutate(lift=_.weight * _.total / (_.left * _.right))
        .mutate(information=(_.weight / _.total * _.lift.ln()).round(DECIMALS))
        .filter(_.information > 0.0)
        .order_by(
            _.information.desc(),
            _.value_0.isnull(),
            _.value_0.asc(),
            _.value_1.isnull(),
            _.value_1.asc(),
        )
        .limit(limit)
        .select("value_0", "value_1", "weight", "lift", "information")
    )
    return [
        {
            "values": [_storable(row["value_0"]), _storable(row["value_1"])],
            "items": round(row["weight"] * scale, 6),
            "lift": round(row["lift"], 6),
            "information": row["information"],
        }
        for row in terms.to_pyarrow().to_pylist()
    ]


@contextmanager
def _at_most(max_items: int, table: Table, key: str, halvings: int) -> Iterator[tuple[Table, int]]:
    """Yield at most `max_items` items, and the number of catalogue items that each stands for."""
    more = num_halvings(int(table.count().to_pyarrow().as_py()), max_items)
    if not more:
        yield table, 2**halvings
        return
    # The sample is kept in memory; otherwise the engine would draw it again for every pair.
    rows = sampled(table, key, halvings + more).to_pyarrow()
    connection = ibis.duckdb.connect()
    try:
        connection.con.register("items", rows)
        yield connection.table("items"), 2 ** (halvings + more)
    finally:
        connection.disconnect()


def _storable(value: Any) -> str | int | None:
    """Return a value as JSON can hold it, cut to `MAX_CHARACTERS`."""
    if value is None or isinstance(value, int):
        return value
    text = str(value)
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"
