"""Which interactions see the same features: those between two changes of their key.

A key's features change at known moments only, those of its rows in the history. All interactions
from one such moment up to the next see one state, so that Feast has to join as many rows as there
are states, never as many as there are interactions.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]

# Interactions that are looked at together: what their search holds in memory does not grow.
BLOCK = 1 << 20


@dataclass(frozen=True)
class States:
    """The states that interactions see, by key, then by time.

    Attributes:
        entity: `[num_states]` int64, whose state it is.
        moment: `[num_states]` int64 microseconds, its earliest interaction: asked for then, a state
            holds nothing that one of its interactions could not know.
        of_example: `[num_interactions]` int32, the state that each interaction sees.
    """

    entity: Int64Array
    moment: Int64Array
    of_example: Int32Array


def interaction_states(
    entity: Int32Array,
    when: Int64Array,
    changed: npt.NDArray[np.integer],
    changed_at: Int64Array,
    *,
    num_entities: int,
) -> States:
    """Group interactions by the state of their key that they see.

    Args:
        entity: `[num_interactions]` whose features are seen, below `num_entities`.
        when: `[num_interactions]` microseconds.
        changed: `[num_changes]` whose features may change, in any order.
        changed_at: `[num_changes]` microseconds from which on they do; more changes than there are
            cost time, and one that is left out mixes states.
        num_entities: keys of this side.
    """
    order = np.lexsort([changed_at, changed])
    changed_at = changed_at[order]
    first = np.zeros(num_entities + 1, np.int64)
    np.cumsum(np.bincount(changed, minlength=num_entities), out=first[1:])
    # Each key has a slot for the time before its first change, then one for each change.
    slot = np.empty(len(entity), np.int32)
    earliest = np.full(len(changed_at) + num_entities, np.iinfo(np.int64).max)
    for start in range(0, len(entity), BLOCK):
        block = slice(start, start + BLOCK)
        passed = _changes_passed(first, changed_at, entity[block], when[block])
        slot[block] = passed + first[entity[block]] + entity[block]
        np.minimum.at(earliest, slot[block], when[block])
    seen = np.flatnonzero(earliest < np.iinfo(np.int64).max)
    rank = np.empty(len(earliest), np.int32)
    rank[seen] = np.arange(len(seen), dtype=np.int32)
    for start in range(0, len(slot), BLOCK):
        slot[start : start + BLOCK] = rank[slot[start : start + BLOCK]]
    slots_before = first[:-1] + np.arange(num_entities)
    of_slot = np.searchsorted(slots_before, seen, side="right") - 1
    return States(of_slot, earliest[seen], slot)


def _changes_passed(
    first: Int64Array, changed_at: Int64Array, entity: Int32Array, when: Int64Array
) -> Int64Array:
    """How many changes of its key each interaction comes after, or falls together with: `[n]`.

    Bisection within each key's own changes, of all interactions at once.
    """
    low, high = first[entity], first[entity.astype(np.int64) + 1]
    start = low.copy()
    open_ = np.flatnonzero(low < high)
    while len(open_):
        middle = (low[open_] + high[open_]) // 2
        passed = changed_at[middle] <= when[open_]
        low[open_[passed]] = middle[passed] + 1
        high[open_[~passed]] = middle[~passed]
        open_ = open_[low[open_] < high[open_]]
    return low - start
