"""Which values make two features correlate, so that a person can see that it makes sense."""

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
# Items from which associations are found.
MAX_ITEMS = 500_000
# Of a longer value the beginning is kept: a text of a megabyte tells a person no more.
MAX_CHARACTERS = 200


def associations(
    table: Table,
    features: Sequence[str],
    missing: Missing,
    *,
    halvings: int = 0,
    max_items: int = MAX_ITEMS,
) -> list[dict[str, Any]]:
    """For every pair of features, the value pairs that carry most of its mutual information.

    Args:
        table: one row an item; see `joint_weights`.
        features: columns, the item key first; pairs come in their order.
        missing: see `joint_weights`.
        halvings: how often the catalogue was halved for `table`; see `sample.sampled`.
        max_items: of more, a sample by the key: what stands out of a catalogue stands out of it.

    Returns:
        One entry a pair: `features`, their two names; `near_unique`, those of the two whose values
        nearly single out an item; `value_pairs`, at most 5, see `strongest_value_pairs`. It is
        empty beside a near-unique feature: which id goes with which value is a list of the
        catalogue, and no association that a person could judge. Of a sample, `items` is an
        estimate for the whole catalogue.
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
    """Whether a typical value of a feature belongs to fewer than two items.

    That is: exp(entropy), the number of equally frequent values that would be as hard to guess, is
    more than half the number of items. It is all of them for an id.
    """
    weights = joint_weights(table, (feature,), missing)
    sums = weights.aggregate(total=_.weight.sum(), surprise=(_.weight * _.weight.ln()).sum())
    row = sums.mutate(
        # exp(H) = W / exp(sum w ln w / W), with W the sum of the weights: the items.
        items_a_value=(_.surprise / _.total).exp()
    ).to_pyarrow()
    items_a_value = row["items_a_value"][0].as_py()
    # Nothing at all, where no item has a value and those without are left out.
    return items_a_value is not None and round(items_a_value, DECIMALS) < 2.0


def strongest_value_pairs(
    joint: Table, *, limit: int = NUM_VALUE_PAIRS, scale: int = 1
) -> list[dict[str, Any]]:
    """The value pairs that contribute most to the mutual information of two features.

    I(X; Y) = sum of p(x, y) ln(p(x, y) / (p(x) p(y))) over the value pairs; the terms that are
    above zero, largest first, are where two features know of each other.

    Args:
        joint: `value_0`, `value_1` and `weight`, as `joint_weights` gives them.
        limit: how many at most.
        scale: how many items each item of `joint` stands for.

    Returns:
        `values`, [x, y], None for a missing one; `items`, how many items carry both (an item with
        several values counts for the share of its value pairs); `lift`, how many times as many
        that is as if the features were independent; `information`, the term, in nats. Among equal
        terms the smaller values come first, missing ones last.
    """
    # Windows rather than joins with the marginals: a null is a value like any other to them.
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
    """Not too many of the items, and how many items of the catalogue each stands for."""
    more = num_halvings(int(table.count().to_pyarrow().as_py()), max_items)
    if not more:
        yield table, 2**halvings
        return
    # In memory: read from the engine, every pair would draw the sample again.
    rows = sampled(table, key, halvings + more).to_pyarrow()
    connection = ibis.duckdb.connect()
    try:
        connection.con.register("items", rows)
        yield connection.table("items"), 2 ** (halvings + more)
    finally:
        connection.disconnect()


def _storable(value: Any) -> str | int | None:
    """A value as JSON has it."""
    if value is None or isinstance(value, int):
        return value
    text = str(value)
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"
