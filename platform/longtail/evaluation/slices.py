"""The slices of the catalogue by popularity: overall, head, tail and cold."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from longtail.evaluation.results import BySlice

T = TypeVar("T")

Mask = npt.NDArray[np.bool_]
# `[C]` for each slice: whether an item of the catalogue belongs to it.
Slices = BySlice[Mask]


def item_slices(train_count: npt.NDArray[np.int64], head_fraction: float) -> Slices:
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


def each_slice(slices: Slices, measure: Callable[[Mask], T]) -> BySlice[T]:
    """Apply a function to the mask of every slice."""
    return {
        "overall": measure(slices["overall"]),
        "head": measure(slices["head"]),
        "tail": measure(slices["tail"]),
        "cold": measure(slices["cold"]),
    }
