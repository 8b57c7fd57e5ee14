"""The gain of one ranking over another, with its interval: a paired bootstrap over queries."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from longtail.config.objective import DECILES, split_term
from longtail.evaluation.held_out import HeldOut
from longtail.evaluation.objective import popularity_deciles
from longtail.evaluation.slices import Mask, item_slices

Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]

NUM_SAMPLES = 1_000
_SAMPLES_AT_A_TIME = 50


@dataclass(frozen=True)
class _Part:
    """One metric over some of the pairs.

    Attributes:
        members: `[P]` whether the item of each pair belongs to the slice.
        cutoff: the number of first items that are looked at.
        is_map: whether it is MAP, else recall.
        weight: its weight in the objective.
        num_asked: `[Q]` the pairs of each query; for MAP, whether it has one.
    """

    members: Mask
    cutoff: int
    is_map: bool
    weight: float
    num_asked: Float64Array


class ResampledObjective:
    """`evaluation.objective.objective`, as if each query had been asked several times.

    Args:
        held_out: the pairs that are ranked.
        train_count: `[C]` training interactions of each candidate.
        terms: `evaluation.objective`.
        head_fraction: the head's share of the catalogue.
    """

    def __init__(
        self,
        held_out: HeldOut,
        train_count: Int64Array,
        terms: Mapping[str, float],
        *,
        head_fraction: float,
    ) -> None:
        self._pair_query, self._num_queries = held_out.pair_query, held_out.num_queries
        slices: dict[str, list[Mask]] = {}
        for name, mask in item_slices(train_count, head_fraction).items():
            assert isinstance(mask, np.ndarray)
            slices[name] = [mask[held_out.pair_item]]
        group = popularity_deciles(held_out.pair_item, train_count)
        slices[DECILES] = [group == number for number in np.unique(group)]
        self._parts = []
        for term, weight in terms.items():
            name, metric = split_term(term)
            # The mean over the deciles: each has the same part of the weight.
            share = weight / max(len(slices[name]), 1)
            self._parts += [
                self._part(members, metric, share) for members in slices[name] if members.any()
            ]

    def _part(self, members: Mask, metric: str, weight: float) -> _Part:
        kind, cutoff = metric.split("@")
        num_pairs = np.bincount(self._pair_query[members], minlength=self._num_queries)
        num_asked = np.minimum(num_pairs, 1) if kind == "map" else num_pairs
        return _Part(members, int(cutoff), kind == "map", weight, num_asked.astype(np.float64))

    def __call__(self, ranks: Int64Array, times: Float64Array) -> Float64Array:
        """Return the objective in each of B samples.

        Args:
            ranks: `[P]` ranks from 1.
            times: `[B, Q]` how often each query is asked.

        Returns:
            `[B]`. A slice that has no pair in a sample adds nothing there.
        """
        figures = np.zeros(len(times))
        for part in self._parts:
            found, asked = times @ self._found(part, ranks), times @ part.num_asked
            mean = np.divide(found, asked, out=np.zeros_like(found), where=asked > 0.0)
            figures += part.weight * mean
        return figures

    def gain_interval(self, ranks: Int64Array, base: Int64Array, seed: int) -> tuple[float, float]:
        """Return the 95% interval of the gain over other ranks.

        Args:
            ranks: `[P]` ranks of what may be better.
            base: `[P]` ranks of what it is compared with.
            seed: of the samples.
        """
        generator = np.random.default_rng(seed % 2**32)
        even = np.full(self._num_queries, 1.0 / self._num_queries)
        gains = []
        # In portions, so that the samples of a hundred thousand queries fit in memory.
        for _ in range(NUM_SAMPLES // _SAMPLES_AT_A_TIME):
            times = generator.multinomial(self._num_queries, even, _SAMPLES_AT_A_TIME)
            weights = times.astype(np.float64)
            gains.append(self(ranks, weights) - self(base, weights))
        low, high = np.quantile(np.concatenate(gains), [0.025, 0.975])
        return float(low), float(high)

    def _found(self, part: _Part, ranks: Int64Array) -> Float64Array:
        """Return each query's pairs within the cutoff, or its average precision, `[Q]`."""
        query, rank = self._pair_query[part.members], ranks[part.members]
        hits = (rank <= part.cutoff).astype(np.float64)
        if not part.is_map:
            return np.bincount(query, hits, self._num_queries).astype(np.float64)
        # Sorted by query, then rank: the n-th pair of a query is the n-th right item it finds.
        order = np.lexsort((rank, query))
        query, rank, hits = query[order], rank[order], hits[order]
        num_right = np.bincount(query, minlength=self._num_queries)
        first = np.cumsum(num_right) - num_right
        number = np.arange(len(rank)) - first[query] + 1
        total = np.bincount(query, hits * number / rank, self._num_queries)
        return np.asarray(total / np.clip(num_right, 1, part.cutoff), np.float64)
