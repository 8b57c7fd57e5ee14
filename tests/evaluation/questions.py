"""Held-out pairs at random, and the rankings of a plain loop."""

import numpy as np

from longtail.evaluation.held_out import HeldOut


def made_up(seed: int, num_queries: int, num_items: int, sparsity: float = 0.1) -> HeldOut:
    """Return held-out pairs at random, at least one for each query; no pair is excluded."""
    generator = np.random.default_rng(seed)
    place = generator.random((num_queries, num_items))
    relevant = place < sparsity
    relevant[np.arange(num_queries), generator.integers(num_items, size=num_queries)] = True
    excluded = (place > 0.7) & ~relevant
    pair_query, pair_item = np.nonzero(relevant)
    return HeldOut(
        query_row=np.arange(num_queries),
        query=np.arange(num_queries),
        candidate=np.arange(num_items),
        pair_query=pair_query,
        pair_item=pair_item,
        excluded_offsets=np.concatenate([[0], excluded.sum(axis=1).cumsum()]),
        excluded_item=np.nonzero(excluded)[1],
        num_pairs_without_item=0,
    )


def shown_ranking(held_out: HeldOut, query: int, scores: list[float]) -> list[int]:
    """Return the ranking that a query is shown, best first, ties by position."""
    first, last = held_out.excluded_offsets[query : query + 2]
    hidden = set(held_out.excluded_item[first:last].tolist())
    shown = [item for item in range(len(scores)) if item not in hidden]
    return sorted(shown, key=lambda item: (-scores[item], item))
