"""Mutual information of features that are integer codes in memory: the fast exact path.

`mutual_information.joint_weights` is the reference, for any engine. Single-valued features that fit
in memory as codes, four bytes an item, are counted here several times faster. Pairs of features
with few possible combinations of values are counted in a table. Others are counted by sorting
combined keys, which needs no random access to memory. Only sums of c ln c over the counts c are
kept.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import log

import numpy as np

from longtail.correlation.chance_level import CountHistogram, expected_mutual_information
from longtail.correlation.measures import DECIMALS, Missing, PairInformation

Pair = tuple[int, int]

# A table of counts up to this size stays in the processor's cache; beyond it sorting is faster.
TABLE_CELLS = 1 << 22
# Items processed at once where whole columns would need further copies.
BLOCK = 1 << 22


@dataclass(frozen=True)
class Codes:
    """The codes of one feature for all items.

    Attributes:
        values: int32 [num_items], each from 0 to `size` - 1.
        size: the number of possible codes; not all need occur.
        missing: the code of items without a value, None if all items have one.
    """

    values: np.ndarray
    size: int
    missing: int | None = None

    @cached_property
    def counts(self) -> np.ndarray:
        """The number of items with each code, int64 [size]."""
        counts = np.zeros(self.size, dtype=np.int64)
        # bincount copies what is not int64, so the copy is made block by block.
        for start in range(0, len(self.values), BLOCK):
            counts += np.bincount(self.values[start : start + BLOCK], minlength=self.size)
        return counts

    @cached_property
    def histogram(self) -> CountHistogram:
        """The histogram of how often codes occur."""
        return CountHistogram.of(self.counts)

    @cached_property
    def repeats(self) -> np.ndarray:
        """True for each code that more than one item has, bool [size]."""
        return np.asarray(self.counts > 1)

    @cached_property
    def num_once(self) -> int:
        """The number of items with a code that no other item has."""
        return int((self.counts == 1).sum())

    def present(self, keep: np.ndarray) -> "Codes":
        """Return the codes of the items in the mask `keep`, which must all have a value."""
        return Codes(self.values[keep], self.size)


def pairs_of_codes(
    features: Sequence[Codes],
    missing: Missing,
    *,
    chance: bool = False,
    num_threads: int = 2,
    pairs: Sequence[Pair] | None = None,
) -> dict[Pair, PairInformation]:
    """Measure pairs of features, several pairs at once.

    Args:
        features: all over the same items, in the same order.
        missing: see `mutual_information.joint_weights`.
        chance: whether to compute the chance level too.
        num_threads: the number of pairs measured at once. Each needs up to 8 bytes an item besides
            the codes.
        pairs: positions in `features`; default: every (i, j) with i < j.
    """
    asked = list(combinations(range(len(features)), 2)) if pairs is None else list(pairs)

    def inform(pair: Pair) -> PairInformation:
        return pair_of_codes(features[pair[0]], features[pair[1]], missing, chance=chance)

    with ThreadPoolExecutor(num_threads) as threads:
        # Every feature's own counts first, so that threads do not count the same feature twice.
        list(threads.map(lambda i: features[i].counts, sorted({i for p in asked for i in p})))
        return dict(zip(asked, threads.map(inform, asked), strict=True))


def pair_of_codes(
    left: Codes, right: Codes, missing: Missing, *, chance: bool = False
) -> PairInformation:
    """Measure one pair of features; `missing` and `chance` as in `pairs_of_codes`."""
    left, right = _counted(left, right, missing)
    total = len(left.values)
    if total == 0:
        return PairInformation(0.0, 0.0, 0.0, 0.0 if chance else None)
    left_entropy, right_entropy = left.histogram.entropy, right.histogram.entropy
    joint_entropy = log(total) - _joint_sum(left, right) / total
    information = max(round(left_entropy + right_entropy - joint_entropy, DECIMALS), 0.0)
    level = expected_mutual_information(left.histogram, right.histogram) if chance else None
    return PairInformation(
        information, round(left_entropy, DECIMALS), round(right_entropy, DECIMALS), level
    )


def entropy_of_codes(feature: Codes, missing: Missing) -> float:
    """Return the entropy of one feature, in nats."""
    counts = feature.counts
    if missing == "leave_out" and feature.missing is not None:
        counts = np.delete(counts, feature.missing)
    return round(CountHistogram.of(counts).entropy, DECIMALS)


def _counted(left: Codes, right: Codes, missing: Missing) -> tuple[Codes, Codes]:
    """Return both features, over the items that count for this pair."""
    gaps = [f for f in (left, right) if f.missing is not None and f.counts[f.missing] > 0]
    if missing == "value" or not gaps:
        return left, right
    keep = np.logical_and.reduce([feature.values != feature.missing for feature in gaps])
    return left.present(keep), right.present(keep)


def _joint_sum(left: Codes, right: Codes) -> float:
    """Return the sum of c ln c, where c is the number of items with the same two codes."""
    x, y = left.values, right.values
    # An item that is alone with its code is alone with its pair of codes, and 1 ln 1 is 0. So an
    # identifier leaves nothing to count, and a nearly unique feature leaves little.
    if 2 * max(left.num_once, right.num_once) > len(x):
        keep = left.repeats[x] & right.repeats[y]
        x, y = x[keep], y[keep]
    cells = left.size * right.size
    if cells <= min(TABLE_CELLS, 8 * len(x)):
        return _sum_by_table(x, y, right.size, cells)
    return _sum_by_sorting(x, y, right.size, cells)


def _sum_by_table(x: np.ndarray, y: np.ndarray, size: int, cells: int) -> float:
    """Return the sum of c ln c from a table with a count for each pair of codes."""
    counts = np.zeros(cells, dtype=np.int64)
    rows = max(BLOCK, 4 * cells)
    for start in range(0, len(x), rows):
        block = slice(start, start + rows)
        keys = np.multiply(x[block], size, dtype=np.int64) + y[block]
        counts += np.bincount(keys, minlength=cells)
    return _sum_of_logarithms(counts)


def _sum_by_sorting(x: np.ndarray, y: np.ndarray, size: int, cells: int) -> float:
    """Return the sum of c ln c from the lengths of runs of equal, sorted pairs of codes."""
    # Keys of half the bytes sort in about half the time.
    kind = np.uint32 if cells <= 2**32 else np.uint64
    keys: np.ndarray = np.empty(len(x), dtype=kind)
    np.multiply(x.view(np.uint32), kind(size), out=keys, dtype=kind)
    np.add(keys, y.view(np.uint32), out=keys)
    keys.sort()
    # Runs are found block by block to save memory; `begin` is the start of the open run.
    total, begin = 0.0, 0
    for start in range(0, len(keys), BLOCK):
        block = keys[start : start + BLOCK + 1]
        ends = np.flatnonzero(block[1:] != block[:-1]) + (start + 1)
        total += _sum_of_logarithms(np.diff(ends, prepend=begin))
        begin = int(ends[-1]) if len(ends) else begin
    return total + _sum_of_logarithms(np.array([len(keys) - begin]))


def _sum_of_logarithms(counts: np.ndarray) -> float:
    counts = counts[counts > 1].astype(np.float64)
    return float((counts * np.log(counts)).sum())
