"""Two rankings that know nothing of features: by popularity, and at random."""

import numpy as np
import numpy.typing as npt

from longtail.evaluation.held_out import HeldOut
from longtail.evaluation.metrics import metrics_at_cutoffs, metrics_by_slice
from longtail.evaluation.results import Baselines, Metrics
from longtail.evaluation.slices import Mask, Slices, each_slice


def popularity_ranks(
    held_out: HeldOut, train_count: npt.NDArray[np.int64], *, seed: int
) -> npt.NDArray[np.int64]:
    """Rank every held-out item by its training interactions, among the items its query is shown.

    Args:
        held_out: the pairs and exclusions.
        train_count: `[C]` training interactions of each candidate.
        seed: seed of the order among equally popular items. The order is random, so that no order
            of names stands in for popularity.

    Returns:
        `[P]` ranks, 1 the most popular.
    """
    num_candidates = held_out.num_candidates
    tie_break = np.random.default_rng(seed).permutation(num_candidates)
    place = np.empty(num_candidates, np.int64)
    place[np.lexsort((tie_break, -train_count))] = np.arange(num_candidates)
    # One sorted list of (query, place of an excluded item): the number of excluded items before a
    # pair's item is the difference of two positions in it.
    excluded_query = np.repeat(np.arange(held_out.num_queries), np.diff(held_out.excluded_offsets))
    excluded = np.sort(excluded_query * num_candidates + place[held_out.excluded_item])
    pair_place = place[held_out.pair_item]
    before = np.searchsorted(excluded, held_out.pair_query * num_candidates + pair_place)
    return 1 + pair_place - (before - held_out.excluded_offsets[held_out.pair_query])


def random_metrics(held_out: HeldOut, chosen: Mask) -> Metrics:
    """Return the exact expected metrics of a uniformly random ranking of each query's shown items.

    With n shown candidates, R of them right, an item stands at place i with probability 1/n, and
    a second one before it with probability (i - 1) / (n - 1). So recall@k is min(k, n) / n, and the
    expected sum of precisions is R/n * sum_{i <= min(k, n)} (1 + (i - 1)(R - 1)/(n - 1)) / i.

    Args:
        held_out: the pairs and exclusions.
        chosen: `[P]` whether a pair counts as right.
    """
    pair_query = held_out.pair_query[chosen]
    query, relevant = np.unique(pair_query, return_counts=True)
    shown = held_out.num_candidates - np.diff(held_out.excluded_offsets)[query]

    def recall_and_map(k: int) -> tuple[float, float]:
        if not len(query):
            return 0.0, 0.0
        # Recall is micro-averaged: a query counts once for each of its pairs.
        places = np.minimum(k, shown)
        recall = np.average(places / shown, weights=relevant)
        harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, k + 1))])[places]
        share = (relevant - 1) / np.maximum(shown - 1, 1)
        precisions = relevant / shown * (harmonic * (1.0 - share) + places * share)
        average = precisions / np.minimum(relevant, k)
        return float(recall), float(average.mean())

    return metrics_at_cutoffs(len(pair_query), recall_and_map)


def baseline_metrics(
    held_out: HeldOut, train_count: npt.NDArray[np.int64], slices: Slices, *, seed: int
) -> Baselines:
    """Return the metrics of both baselines in every slice.

    Args:
        held_out: the pairs and exclusions.
        train_count: `[C]` training interactions of each candidate.
        slices: `[C]` for each slice, whether a candidate belongs to it.
        seed: seed of the order among equally popular items.
    """
    ranks = popularity_ranks(held_out, train_count, seed=seed)
    random = each_slice(
        slices, lambda members: random_metrics(held_out, members[held_out.pair_item])
    )
    popular = metrics_by_slice(ranks, held_out, slices)
    return {"popularity_ranking": popular, "random_ranking": random}
