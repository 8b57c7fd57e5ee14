"""The figure that a choice on the validation part maximises: a weighted mean of slices.

`tuning.objective` names its terms. The default is recall@50 by popularity: the mean over ten groups
of items, so that rare items count as much as popular ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from longtail.config import TuningConfig
from longtail.config.tuning import DECILES, TERMS
from longtail.evaluation.held_out import HeldOut
from longtail.evaluation.slices import Mask, item_slices

Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]
NUM_GROUPS = 10
NUM_RESAMPLES = 1_000


@dataclass(frozen=True)
class _Term:
    """One metric over some of the pairs.

    Attributes:
        members: `[P]` whether the item of each pair belongs to the slice.
        cutoff: the number of first items that are looked at.
        is_map: whether it is MAP, else recall.
        share: its share of the objective.
        weight_of_query: `[Q]` the number of pairs of each query, or 1 for MAP and 0 without pairs.
    """

    members: Mask
    cutoff: int
    is_map: bool
    share: float
    weight_of_query: Float64Array


class Objective:
    """A weighted mean of retrieval metrics by slice, as a function of the ranks.

    A term without pairs, such as `cold recall@50` where no held-out item is cold, has no figure:
    the others share its weight. With `deciles`, each group of items has the same share.

    Args:
        held_out: the pairs that are ranked.
        train_count: `[C]` training interactions of each candidate.
        weights: the weight of each term, `tuning.objective`.
        head_fraction: the head's share of the catalogue, `evaluation.head_fraction`.
    """

    def __init__(
        self,
        held_out: HeldOut,
        train_count: Int64Array,
        weights: Mapping[str, float] = TuningConfig().objective,
        *,
        head_fraction: float,
    ) -> None:
        self._pair_query = held_out.pair_query
        self._num_queries = held_out.num_queries
        item = held_out.pair_item
        slices: dict[str, list[Mask]] = {
            name: [mask[item]]
            for name, mask in dict(item_slices(train_count, head_fraction)).items()
            if isinstance(mask, np.ndarray)
        }
        slices[DECILES] = popularity_groups(item, train_count)

        # The groups with pairs, each with its share of the whole.
        found = []
        for name, weight in weights.items():
            slice_name, metric = TERMS[name]
            filled = [group for group in slices[slice_name] if group.any()]
            found += [(group, metric, weight / len(filled)) for group in filled]
        total = sum(weight for _, _, weight in found)
        self._terms = [self._term(*each, total) for each in found]

    def _term(self, members: Mask, metric: str, weight: float, total: float) -> _Term:
        kind, cutoff = metric.split("@")
        pairs = np.bincount(self._pair_query[members], minlength=self._num_queries)
        counts = (pairs > 0) if kind == "map" else pairs
        return _Term(members, int(cutoff), kind == "map", weight / total, counts.astype(np.float64))

    def __call__(self, ranks: Int64Array) -> float:
        """Return the objective of `[P]` ranks from 1; 0 if no term has a pair."""
        return float(self.resampled(ranks, np.ones((1, self._num_queries)))[0])

    def resampled(self, ranks: Int64Array, times: Float64Array) -> Float64Array:
        """Return the objective as if each query had been asked several times.

        Args:
            ranks: `[P]` ranks from 1.
            times: `[B, Q]` how often each query is asked in each of B samples.

        Returns:
            `[B]`. A term that has no pair in a sample counts as 0 there.
        """
        figures = np.zeros(len(times))
        for term in self._terms:
            total = times @ term.weight_of_query
            found = times @ self._found(term, ranks)
            figures += term.share * np.divide(
                found, total, out=np.zeros_like(found), where=total > 0
            )
        return figures

    def gain_interval(
        self, ranks: Int64Array, base: Int64Array, seed: int = 0
    ) -> tuple[float, float]:
        """Return the 95% interval of the gain over other ranks, by a paired bootstrap of queries.

        Args:
            ranks: `[P]` ranks of what may be better.
            base: `[P]` ranks of what it is compared with.
            seed: of the samples.
        """
        generator = np.random.default_rng(seed)
        even = np.full(self._num_queries, 1.0 / max(self._num_queries, 1))
        gains = []
        # In portions, so that the samples of a hundred thousand queries fit in memory.
        for _ in range(NUM_RESAMPLES // 50):
            times = generator.multinomial(self._num_queries, even, 50).astype(np.float64)
            gains.append(self.resampled(ranks, times) - self.resampled(base, times))
        low, high = np.quantile(np.concatenate(gains), [0.025, 0.975])
        return float(low), float(high)

    def _found(self, term: _Term, ranks: Int64Array) -> Float64Array:
        """Return each query's pairs within the cutoff, or its average precision, `[Q]`."""
        query, rank = self._pair_query[term.members], ranks[term.members]
        if not term.is_map:
            return np.bincount(query, rank <= term.cutoff, minlength=self._num_queries)
        # Sorted by query, then rank: the n-th pair of a query is the n-th right item it finds.
        order = np.lexsort((rank, query))
        query, rank = query[order], rank[order]
        num_right = np.bincount(query, minlength=self._num_queries)
        first = np.cumsum(num_right) - num_right
        number = np.arange(len(rank)) - first[query] + 1
        precision = np.where(rank <= term.cutoff, number / rank, 0.0)
        total = np.bincount(query, precision, minlength=self._num_queries)
        return total / np.minimum(np.maximum(num_right, 1), term.cutoff)


def popularity_groups(pair_item: Int64Array, train_count: Int64Array) -> list[Mask]:
    """Return for each decile of popularity whether a pair's item belongs to it, rarest first.

    The deciles are those of the items with a pair, each counted once: deciles of the pairs would
    have as many pairs each, and their mean would be the metric of all pairs. Items with equal
    counts stay together, so that there can be fewer than ten groups.

    Args:
        pair_item: `[P]` position of each pair's item among the candidates.
        train_count: `[C]` training interactions of each candidate.
    """
    if not len(pair_item):
        return []
    shares = np.arange(1, NUM_GROUPS + 1) / NUM_GROUPS
    counts = train_count[np.unique(pair_item)]
    bounds = np.unique(np.quantile(counts, shares, method="inverted_cdf"))
    group = np.searchsorted(bounds, train_count[pair_item])
    return [group == number for number in range(len(bounds))]
