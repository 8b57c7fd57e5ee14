"""Finds equal rows of one query or item, which the training set stores once."""

import numpy as np
import numpy.typing as npt

from longtail.features.encoding import EncodedRows

Int64Array = npt.NDArray[np.int64]
UInt64Array = npt.NDArray[np.uint64]

# Rows that are hashed together: few enough for their 64-bit numbers to stay in the cache.
BLOCK = 1 << 16


def distinct_rows(
    rows: EncodedRows, entities: npt.NDArray[np.integer]
) -> tuple[Int64Array, Int64Array]:
    """Find equal rows of equal entities.

    Args:
        rows: `[n]` encoded rows; the order of values inside a feature does not count.
        entities: `[n]` the query or item that each row belongs to.

    Returns:
        `[m]` positions of the rows to keep, in order, and `[n]` the position among the kept rows
        of the one that equals each row.
    """
    content = _content_hash(rows)
    order = np.lexsort([content, entities])  # stable: among equal rows the first one comes first
    new = np.ones(len(order), np.bool_)
    new[1:] = np.diff(entities[order]) != 0
    new[1:] |= np.diff(content[order]) != 0
    # The kept rows come out in the order of the input, not of the hash.
    first = order[new]
    by_row = np.argsort(first)
    rank = np.empty(len(first), np.int64)
    rank[by_row] = np.arange(len(first))
    place = np.empty(len(order), np.int64)
    place[order] = rank[np.cumsum(new) - 1]
    return first[by_row], place


def _content_hash(rows: EncodedRows) -> UInt64Array:
    """Return 64 bits for each row, equal where each feature has the same values: `[n]`."""
    content = np.empty(rows.num_rows, np.uint64)
    for start in range(0, rows.num_rows, BLOCK):
        stop = min(start + BLOCK, rows.num_rows)
        offsets = rows.offsets[start * rows.num_features : stop * rows.num_features + 1]
        values = rows.values[offsets[0] : offsets[-1]]
        feature = np.tile(np.arange(rows.num_features, dtype=np.uint64), stop - start)
        cells: UInt64Array = np.repeat(feature << np.uint64(32), np.diff(offsets))
        cells |= values.astype(np.uint64)
        # A sum does not depend on the order of values. It wraps around, and so do its differences.
        running = np.zeros(len(values) + 1, np.uint64)
        np.cumsum(_mix64(cells), out=running[1:])
        of_row = running[offsets[:: rows.num_features] - offsets[0]]
        content[start:stop] = np.diff(of_row)
    return content


def _mix64(values: UInt64Array) -> UInt64Array:
    """Apply SplitMix64's finalizer, a bijection of 64-bit numbers that spreads every bit."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
