"""Which part of the catalogue a figure is about."""

import numpy as np
import numpy.typing as npt


def item_slices(
    train_count: npt.NDArray[np.int64], head_fraction: float
) -> dict[str, npt.NDArray[np.bool_]]:
    """Cut the catalogue by popularity.

    Args:
        train_count: `[C]` training interactions of each catalogue item.
        head_fraction: the head's share of the catalogue.

    Returns:
        `overall`: every item; `head`: the `head_fraction` of the catalogue (rounded down) with most
        training interactions, ties by item order, never an item without any; `tail`: the others;
        `cold`: items without a training interaction, a part of the tail. `[C]` bool each.
    """
    num_items = len(train_count)
    order = np.argsort(-train_count, kind="stable")
    head = np.zeros(num_items, np.bool_)
    head[order[: int(head_fraction * num_items)]] = True
    cold = train_count == 0
    head &= ~cold
    return {"overall": np.ones(num_items, np.bool_), "head": head, "tail": ~head, "cold": cold}
