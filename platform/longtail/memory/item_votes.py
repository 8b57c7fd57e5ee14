"""The votes of the items that a query is linked with, for other items."""

import numpy as np
from scipy import sparse

from longtail.memory.votes import Entries, Int64Array, QueryLinks


def count_item_votes(linked: QueryLinks, weights: sparse.csr_array, *, power: float) -> Entries:
    """Count the votes of the items of each row: `max(0, sum over its items h of W[h, x]) ^ power`.

    Args:
        linked: the items that each of B rows is linked with; none is fine.
        weights: `[C, C]` W, with a diagonal of zeros: no item votes for itself.
        power: more than 1 gives the best items a larger share of the votes.

    Returns:
        The votes for each row and item that has any.
    """
    ones = np.ones(len(linked.items), np.float32)
    chosen = sparse.csr_array(
        (ones, linked.items, linked.offsets), shape=(linked.num_queries, weights.shape[0])
    )
    votes = sparse.csr_array(chosen @ weights)
    votes.sort_indices()
    row = np.repeat(np.arange(linked.num_queries), np.diff(votes.indptr))
    # A vote against an item counts like none.
    value = np.maximum(votes.data, 0.0).astype(np.float64) ** power
    kept = value > 0.0
    return Entries(row[kept], votes.indices[kept].astype(np.int64), value[kept])


def links_of(links: QueryLinks, rows: Int64Array) -> QueryLinks:
    """Return the items of some queries, `[B]` positions among them; -1 is a query without any."""
    known = rows >= 0
    first = links.offsets[np.where(known, rows, 0)]
    counts = np.where(known, links.offsets[np.where(known, rows + 1, 0)] - first, 0)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    place = np.repeat(first - offsets[:-1], counts) + np.arange(offsets[-1])
    return QueryLinks(offsets, links.items[place])
