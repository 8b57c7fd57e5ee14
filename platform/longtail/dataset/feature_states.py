"""Groups interactions that see the same features: those between two changes of their key.

The features of a key (a query or an item) change only at the moments of its rows in the history.
All interactions from one such moment up to the next see one state. So Feast joins one row for each
state, not one for each interaction.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]

# Interactions that are searched together, so that the search's memory does not grow with the data.
BLOCK = 1 << 20


@dataclass(frozen=True)
class States:
    """The states that interactions see, by key, then by time.

    Attributes:
        entity: `[num_states]` int64, the key that is in the state.
        moment: `[num_states]` int64 microseconds, the earliest interaction that sees the state.
            Features as of this moment hold nothing that one of the interactions could not know.
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
        entity: `[num_interactions]` the key of each interaction, below `num_entities`.
        when: `[num_interactions]` microseconds.
        changed: `[num_changes]` the key of each possible change of features, in any order.
        changed_at: `[num_changes]` microseconds, the moment from which on a change is seen. A
            change that never happened costs time; one that is left out mixes two states.
        num_entities: number of keys of this side.
    """
    order = np.lexsort([changed_at, changed])
    changed_at = changed_at[order]
    first = np.zeros(num_entities + 1, np.int64)
    np.cumsum(np.bincount(changed, minlength=num_entities), out=first[1:])
    # Each key has a slot for the time before its first change, then one for each change. An
    # interaction's slot is found by counting the changes of its key that it comes after.
    slot = np.empty(len(entity), np.int32)
    earliest = np.full(len(changed_at) + num_entities, np.iinfo(np.int64).max)
    for start in range(0, len(entity), BLOCK):
        block = slice(start, start + BLOCK)
        passed = _changes_passed(first, changed_at, entity[block], when[block])
        slot[block] = passed + first[entity[block]] + entity[block]
        np.minimum.at(earliest, slot[block], when[block])
    # Most slots may be empty: the states are the slots that some interaction is in.
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
    """Count the changes of its key that each interaction comes after, or coincides with: `[n]`.

    It bisects the changes of each key, for all interactions at once.
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
