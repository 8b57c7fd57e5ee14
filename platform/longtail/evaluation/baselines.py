"""Two rankings that know nothing of features: by popularity, and at random."""

import numpy as np
import numpy.typing as npt

from longtail.evaluation.held_out import HeldOut
from longtail.evaluation.metrics import CUTOFFS, Metrics, metrics_by_slice

BASELINES = ("popularity_ranking", "random_ranking")


def popularity_ranks(
    held_out: HeldOut, train_count: npt.NDArray[np.int64], *, seed: int
) -> npt.NDArray[np.int64]:
    """Rank every held-out item by its training interactions, less what its query is not shown.

    Args:
        held_out: the pairs and exclusions.
        train_count: `[C]` training interactions of each candidate.
        seed: of the order among equally popular items, which is random, so that no order of names
            stands in for popularity.

    Returns:
        `[P]` ranks, 1 the most popular.
    """
    num_candidates = held_out.num_candidates
    tie_break = np.random.default_rng(seed).permutation(num_candidates)
    place = np.empty(num_candidates, np.int64)
    place[np.lexsort((tie_break, -train_count))] = np.arange(num_candidates)
    # One sorted list of (query, place of an excluded item): how many stand before a pair's item is
    # the difference of two positions in it.
    excluded_query = np.repeat(np.arange(held_out.num_queries), np.diff(held_out.excluded_offsets))
    excluded = np.sort(excluded_query * num_candidates + place[held_out.excluded_item])
    pair_place = place[held_out.pair_item]
    before = np.searchsorted(excluded, held_out.pair_query * num_candidates + pair_place)
    return 1 + pair_place - (before - held_out.excluded_offsets[held_out.pair_query])


def random_metrics(held_out: HeldOut, chosen: npt.NDArray[np.bool_]) -> Metrics:
    """The expected metrics of a uniformly random ranking of what each query is shown, exactly.

    With n shown candidates, R of them right, an item stands at place i with probability 1/n, and
    a second one before it with probability (i - 1) / (n - 1). So recall@k is min(k, n) / n, and the
    expected sum of precisions is R/n * sum_{i <= min(k, n)} (1 + (i - 1)(R - 1)/(n - 1)) / i.

    Args:
        held_out: the pairs and exclusions.
        chosen: `[P]` the pairs that count as right.
    """
    pair_query = held_out.pair_query[chosen]
    metrics: Metrics = {"num_pairs": len(pair_query)}
    query, relevant = np.unique(pair_query, return_counts=True)
    shown = held_out.num_candidates - np.diff(held_out.excluded_offsets)[query]
    for k in CUTOFFS:
        places = np.minimum(k, shown)
        metrics[f"recall@{k}"] = (
            float(np.average(places / shown, weights=relevant)) if len(query) else 0.0
        )
        harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, k + 1))])[places]
        share = (relevant - 1) / np.maximum(shown - 1, 1)
        precisions = relevant / shown * (harmonic * (1.0 - share) + places * share)
        average = precisions / np.minimum(relevant, k)
        metrics[f"map@{k}"] = float(average.mean()) if len(query) else 0.0
    return metrics


def baseline_metrics(
    held_out: HeldOut,
    train_count: npt.NDArray[np.int64],
    slices: dict[str, npt.NDArray[np.bool_]],
    *,
    seed: int,
) -> dict[str, dict[str, Metrics]]:
    """Both baselines over all slices.

    Returns:
        `{"popularity_ranking": {slice: metrics}, "random_ranking": {slice: metrics}}`
    """
    ranks = popularity_ranks(held_out, train_count, seed=seed)
    random = {
        name: random_metrics(held_out, mask[held_out.pair_item]) for name, mask in slices.items()
    }
    popular = metrics_by_slice(ranks, held_out, slices)
    return {"popularity_ranking": popular, "random_ranking": random}
