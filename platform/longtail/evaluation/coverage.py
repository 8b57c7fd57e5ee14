"""Counts how often each item of the catalogue is retrieved, from exact top-k lists."""

import numpy as np
import numpy.typing as npt

from longtail.evaluation.held_out import HeldOut
from longtail.evaluation.metrics import CUTOFFS, Vectors, rank_pairs, score_batches

# An item is retrieved for a query if it is among the first RETRIEVED of its ranking.
RETRIEVED = max(CUTOFFS)

# Groups of candidates for each place among the first k: more groups tighten the bound on the k-th
# score, and cost more to look through.
_GROUPS_PER_PLACE = 5


def ranks_and_retrievals(
    query_vectors: Vectors,
    item_vectors: Vectors,
    held_out: HeldOut,
    *,
    query_batch_size: int = 512,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return `similarity_ranks` and how often each item is retrieved, in one pass over the scores.

    Args:
        query_vectors: `[Q, dim]` float32, finite.
        item_vectors: `[C, dim]` float32, finite.
        held_out: the pairs, and the items that a query is not shown.
        query_batch_size: queries scored at a time.

    Returns:
        `[P]` ranks, and `[C]` for each item the number of queries that have it among their first
        `RETRIEVED`.
    """
    ranks = np.empty(len(held_out.pair_query), np.int64)
    times_retrieved = np.zeros(held_out.num_candidates, np.int64)
    for first, scores in score_batches(query_vectors, item_vectors, held_out, query_batch_size):
        rank_pairs(scores, first, held_out, ranks)
        times_retrieved += times_in_top(scores, RETRIEVED)
    return ranks, times_retrieved


def times_in_top(scores: Vectors, k: int) -> npt.NDArray[np.int64]:
    """Count for each candidate the rows in which it has one of the k highest scores.

    Args:
        scores: `[B, C]`; a score of minus infinity never counts, even with fewer than k others.
        k: number of places. Among equal scores the lower position takes a place first.

    Returns:
        `[C]` counts.
    """
    times = np.zeros(scores.shape[1], np.int64)
    for row, bound in zip(scores, _reached_by_k(scores, k), strict=True):
        # At least k candidates reach the bound, usually few more: only those are sorted.
        candidates = np.flatnonzero(row >= bound)
        candidates = candidates[row[candidates] > -np.inf]
        if len(candidates) > k:
            candidates = candidates[np.argsort(-row[candidates], kind="stable")[:k]]
        times[candidates] += 1
    return times


def _reached_by_k(scores: Vectors, k: int) -> Vectors:
    """Return for each row, `[B]`, a score that at least k candidates reach.

    It is the k-th best of the maxima of groups of candidates. A pass for the maxima and a pass for
    the candidates that reach the bound are several times faster than selecting the k best of all.
    """
    num_rows, num_candidates = scores.shape
    num_groups = _GROUPS_PER_PLACE * k
    width = num_candidates // num_groups
    if width < 2:
        return np.full(num_rows, -np.inf, np.float32)
    maxima = scores[:, : num_groups * width].reshape(num_rows, num_groups, width).max(axis=2)
    bound: Vectors = np.partition(maxima, num_groups - k, axis=1)[:, num_groups - k]
    return bound
