"""Exact retrieval metrics: the rank of every held-out item in the full catalogue, recall, MAP.

Nothing is sampled and nothing is approximated: every candidate is scored for every query.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from longtail.evaluation.held_out import HeldOut
from longtail.evaluation.results import Metrics, MetricsBySlice
from longtail.evaluation.slices import Mask, Slices, each_slice

CUTOFFS = (10, 50)

Vectors = npt.NDArray[np.float32]


def similarity_ranks(
    query_vectors: Vectors,
    item_vectors: Vectors,
    held_out: HeldOut,
    *,
    query_batch_size: int = 512,
) -> npt.NDArray[np.int64]:
    """Rank every held-out item among all candidates by inner product with its query.

    Args:
        query_vectors: `[Q, dim]` float32, finite.
        item_vectors: `[C, dim]` float32, finite.
        held_out: the pairs, and the items that a query is not shown.
        query_batch_size: queries scored at a time; a batch takes `4 * batch * C` bytes.

    Returns:
        `[P]` ranks, 1 the best: one more than the number of shown candidates with a higher score,
        or with an equal one and a lower position.
    """
    ranks = np.empty(len(held_out.pair_query), np.int64)
    for first, scores in score_batches(query_vectors, item_vectors, held_out, query_batch_size):
        rank_pairs(scores, first, held_out, ranks)
    return ranks


def score_batches(
    query_vectors: Vectors, item_vectors: Vectors, held_out: HeldOut, query_batch_size: int
) -> Iterator[tuple[int, Vectors]]:
    """Score every candidate for every query, one batch of queries at a time.

    Args:
        query_vectors: `[Q, dim]` float32, finite.
        item_vectors: `[C, dim]` float32, finite.
        held_out: the pairs, and the items that a query is not shown.
        query_batch_size: queries scored at a time.

    Yields:
        The position of the batch's first query, and the `[batch, C]` float32 scores of the batch:
        inner products, and minus infinity for the items that a query is not shown.
    """
    assert len(query_vectors) == held_out.num_queries
    assert len(item_vectors) == held_out.num_candidates
    assert np.isfinite(query_vectors).all()
    assert np.isfinite(item_vectors).all()
    transposed = item_vectors.T
    for first in range(0, held_out.num_queries, query_batch_size):
        last = min(first + query_batch_size, held_out.num_queries)
        scores = query_vectors[first:last] @ transposed
        # The exclusions of the batch are one run of the flat list, so one assignment hides all.
        hidden = slice(held_out.excluded_offsets[first], held_out.excluded_offsets[last])
        counts = np.diff(held_out.excluded_offsets[first : last + 1])
        hidden_query = np.repeat(np.arange(last - first), counts)
        scores[hidden_query, held_out.excluded_item[hidden]] = -np.inf
        yield first, scores


def rank_pairs(
    scores: Vectors, first: int, held_out: HeldOut, ranks: npt.NDArray[np.int64]
) -> None:
    """Rank the pairs of a batch of queries.

    Args:
        scores: `[batch, C]`, of `score_batches`.
        first: the batch's first query.
        held_out: the pairs.
        ranks: `[P]`; the entries of the batch's pairs are filled in.
    """
    pairs = np.searchsorted(held_out.pair_query, (first, first + len(scores)))
    for pair in range(*pairs):
        row = scores[held_out.pair_query[pair] - first]
        item = held_out.pair_item[pair]
        higher = np.count_nonzero(row > row[item])
        ranks[pair] = 1 + higher + np.count_nonzero(row[:item] == row[item])


def retrieval_metrics(ranks: npt.NDArray[np.int64], pair_query: npt.NDArray[np.int64]) -> Metrics:
    """Return recall and mean average precision of ranked pairs: of all pairs, or of a slice's.

    Recall@k is micro-averaged: the share of pairs with an item among the first k.
    Average precision@k of a query is the sum, over its items among the first k, of the share of its
    items up to there, divided by min(number of its items, k). MAP@k is its mean over the queries
    that have a pair. Only the given pairs count as right: a query's items outside the slice take
    their places in the ranking like any other candidate.

    Args:
        ranks: `[P]` ranks from 1, distinct for a query.
        pair_query: `[P]` the query of each pair, any non-negative numbers.

    Returns:
        `recall@k`, `map@k` for k in `CUTOFFS`, and `num_pairs`. All zero without pairs.
    """
    num_pairs = len(ranks)
    # Sorted by query, then rank: the n-th pair of a query is the n-th right item of its ranking.
    order = np.lexsort((ranks, pair_query))
    rank = ranks[order]
    _, start, num_relevant = np.unique(pair_query[order], return_index=True, return_counts=True)
    query = np.repeat(np.arange(len(start)), num_relevant)
    number_right = np.arange(num_pairs) - np.repeat(start, num_relevant) + 1

    def recall_and_map(k: int) -> tuple[float, float]:
        if not num_pairs:
            return 0.0, 0.0
        found = rank <= k
        precision = np.where(found, number_right / rank, 0.0)
        average = np.bincount(query, precision, minlength=len(start)) / np.minimum(num_relevant, k)
        return float(found.mean()), float(average.mean())

    return metrics_at_cutoffs(num_pairs, recall_and_map)


def metrics_at_cutoffs(
    num_pairs: int, recall_and_map: Callable[[int], tuple[float, float]]
) -> Metrics:
    """Return the metrics of some pairs from a function of the cutoff.

    Args:
        num_pairs: the number of pairs.
        recall_and_map: returns recall@k and MAP@k for each k of `CUTOFFS`.
    """
    (recall_10, map_10), (recall_50, map_50) = map(recall_and_map, CUTOFFS)
    return {
        "num_pairs": num_pairs,
        "recall@10": recall_10,
        "map@10": map_10,
        "recall@50": recall_50,
        "map@50": map_50,
    }


def metrics_by_slice(
    ranks: npt.NDArray[np.int64], held_out: HeldOut, slices: Slices
) -> MetricsBySlice:
    """Return the `retrieval_metrics` of each slice.

    Args:
        ranks: `[P]` rank of each pair.
        held_out: the pairs.
        slices: `[C]` for each slice, whether a candidate belongs to it.
    """

    def measure(members: Mask) -> Metrics:
        chosen = members[held_out.pair_item]
        return retrieval_metrics(ranks[chosen], held_out.pair_query[chosen])

    return each_slice(slices, measure)
