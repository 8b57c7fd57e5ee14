"""The one figure that settings are chosen by: a weighted sum over slices and metrics.

`evaluation.objective` names its terms. It is a pure function of ranks, so that everything that
chooses on the validation part can use it.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from longtail.config.objective import DECILES, split_term
from longtail.evaluation.held_out import HeldOut
from longtail.evaluation.metrics import retrieval_metrics
from longtail.evaluation.slices import item_slices

NUM_GROUPS = 10

Int64Array = npt.NDArray[np.int64]


def objective(
    ranks: Int64Array,
    held_out: HeldOut,
    train_count: npt.NDArray[np.integer],
    terms: Mapping[str, float],
    *,
    head_fraction: float,
) -> float:
    """Return the weighted sum of the terms of an objective.

    Args:
        ranks: `[P]` rank of each pair's item, from 1.
        held_out: the pairs, of the validation part.
        train_count: `[C]` training interactions of each candidate.
        terms: `evaluation.objective`: the weight of each `"<slice> <metric>"`. The slice is one of
            `slices.item_slices`, or `deciles`: the mean over `popularity_deciles`.
        head_fraction: the head's share of the catalogue.

    Returns:
        The sum, not divided by the weights. A slice without pairs adds nothing.
    """
    slices = item_slices(np.asarray(train_count, np.int64), head_fraction)
    total = 0.0
    for term, weight in terms.items():
        name, metric = split_term(term)
        if name == DECILES:
            group = popularity_deciles(held_out.pair_item, train_count)
            chosen = [group == number for number in np.unique(group)]
        else:
            masks: Mapping[str, npt.NDArray[np.bool_]] = slices  # type: ignore[assignment]
            chosen = [masks[name][held_out.pair_item]]
        found = [
            _figure(ranks[members], held_out.pair_query[members], metric) for members in chosen
        ]
        total += weight * float(np.mean(found)) if found else 0.0
    return total


def popularity_deciles(pair_item: Int64Array, train_count: npt.NDArray[np.integer]) -> Int64Array:
    """Return the popularity group of each held-out pair, 0 the rarest items.

    The bounds of the groups are the deciles of the training interactions of the items that are
    asked for, each item once. Deciles of the pairs would hold equally many pairs, and the mean over
    them would be that over all pairs, in which the head decides. Items with equal interactions stay
    together, so there can be fewer than ten groups.

    Args:
        pair_item: `[P]` the candidate of each pair.
        train_count: `[C]` training interactions of each candidate.

    Returns:
        `[P]` int64.
    """
    if not len(pair_item):
        return np.empty(0, np.int64)
    counts = train_count[np.unique(pair_item)]
    shares = np.arange(1, NUM_GROUPS + 1) / NUM_GROUPS
    bounds = np.unique(np.quantile(counts, shares, method="inverted_cdf"))
    return np.searchsorted(bounds, train_count[pair_item])


def _figure(ranks: Int64Array, pair_query: Int64Array, metric: str) -> float:
    metrics: Mapping[str, float] = retrieval_metrics(ranks, pair_query)  # type: ignore[assignment]
    return metrics[metric]
