"""Exact ranks of held-out items by sparse scores: the one ranking that every baseline gives."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from scipy import sparse
from threadpoolctl import threadpool_limits

from longtail.evaluation.held_out import HeldOut
from longtail.memory.sparse_rows import blocks

Int64Array = npt.NDArray[np.int64]

# Scores the queries of a slice of the Q: `[B, C]`, an item without an entry has the score 0. The
# matrix may be changed by who asks.
Scorer = Callable[[slice], sparse.csr_array]

_MAX_THREADS = 8


def popularity_order(train_count: Int64Array) -> Int64Array:
    """Return the place of each item, `[C]` from 0: more training interactions first, then position.

    Args:
        train_count: `[C]` training interactions of each candidate.
    """
    place = np.empty(len(train_count), np.int64)
    place[np.argsort(-train_count, kind="stable")] = np.arange(len(train_count))
    return place


def ranks_by_score(scorer: Scorer, held_out: HeldOut, place: Int64Array) -> Int64Array:
    """Rank every held-out item among the items that its query is shown.

    Args:
        scorer: scores a block of queries; blocks are scored side by side, one in each thread.
        held_out: the pairs and exclusions.
        place: `[C]` of `popularity_order`: among equal scores, the lower place comes first. So
            items that a method has no score for are ranked by popularity, below those with a
            positive score and above those with a negative one.

    Returns:
        `[P]` ranks, 1 the best.
    """
    ranks = np.empty(len(held_out.pair_query), np.int64)
    excluded_before = _excluded_before(held_out, place)

    def rank(block: slice) -> None:
        scores = scorer(block)
        _hide(scores, block, held_out)
        pairs = slice(*np.searchsorted(held_out.pair_query, (block.start, block.stop)))
        ranks[pairs] = _rank_block(scores, block, pairs, held_out, place, excluded_before[pairs])

    # numpy and scipy let go of the interpreter in their loops. Each block fills its own pairs, so
    # the result does not depend on the order of the threads. BLAS would add threads to each.
    num_threads = min(len(os.sched_getaffinity(0)), _MAX_THREADS)
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(num_threads) as pool:
        for _ in pool.map(rank, blocks(held_out.num_queries, held_out.num_candidates)):
            pass
    return ranks


def _excluded_before(held_out: HeldOut, place: Int64Array) -> Int64Array:
    """Count for each pair, `[P]`, the excluded items of its query that have a lower place."""
    num_candidates = held_out.num_candidates
    # One sorted list of (query, place of an excluded item): the count is the difference of two
    # positions in it.
    query = np.repeat(np.arange(held_out.num_queries), np.diff(held_out.excluded_offsets))
    excluded = np.sort(query * num_candidates + place[held_out.excluded_item])
    wanted = held_out.pair_query * num_candidates + place[held_out.pair_item]
    position: Int64Array = np.searchsorted(excluded, wanted)
    return position - held_out.excluded_offsets[held_out.pair_query]


def _hide(scores: sparse.csr_array, block: slice, held_out: HeldOut) -> None:
    """Set the scores of items that a query is not shown to 0, which means none."""
    assert scores.shape == (block.stop - block.start, held_out.num_candidates)
    hidden = np.zeros(held_out.num_candidates, np.bool_)
    for row in range(block.stop - block.start):
        query = block.start + row
        run = slice(*held_out.excluded_offsets[query : query + 2])
        excluded = held_out.excluded_item[run]
        entries = slice(*scores.indptr[row : row + 2])
        # Marks for one query stay in the cache; marks for the block would not.
        hidden[excluded] = True
        scores.data[entries][hidden[scores.indices[entries]]] = 0
        hidden[excluded] = False


def _rank_block(
    scores: sparse.csr_array,
    block: slice,
    pairs: slice,
    held_out: HeldOut,
    place: Int64Array,
    excluded_before: Int64Array,
) -> Int64Array:
    """Rank the pairs of a block from the scores that are not 0."""
    num_excluded = np.diff(held_out.excluded_offsets)
    found = np.empty(pairs.stop - pairs.start, np.int64)
    for number, pair in enumerate(range(pairs.start, pairs.stop)):
        # The entries of a query are one run, so that most pairs cost two passes over a view.
        query, item = held_out.pair_query[pair], held_out.pair_item[pair]
        run = slice(*scores.indptr[query - block.start : query - block.start + 2])
        values, items = scores.data[run], scores.indices[run]
        own = values[items == item].sum()
        ahead = np.count_nonzero(values > own)
        if own != 0:
            ahead += np.count_nonzero(place[items[values == own]] < place[item])
        else:
            # Without a score come all items of lower place, but for excluded and scored ones.
            scored_before = np.count_nonzero(place[items[values != 0]] < place[item])
            ahead += place[item] - excluded_before[number] - scored_before
        if own < 0:
            # All shown items without an entry; entries that are 0 have been counted above.
            ahead += held_out.num_candidates - num_excluded[query] - len(values)
        found[number] = 1 + ahead
    return found
