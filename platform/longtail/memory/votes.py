"""The votes of known queries for the items that they are linked with."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class QueryLinks:
    """The items that K known queries are linked with.

    Attributes:
        offsets: `[K + 1]` int64 into `items`.
        items: item positions, those of one query beside each other, each once.
    """

    offsets: Int64Array
    items: npt.NDArray[np.int32]

    @property
    def num_queries(self) -> int:
        """The number of known queries, K."""
        return len(self.offsets) - 1


class Entries(NamedTuple):
    """Some entries of a matrix of rows and items, sorted by row and then by item.

    Attributes:
        row: `[n]` int64.
        item: `[n]` int64.
        value: `[n]` float64.
    """

    row: Int64Array
    item: Int64Array
    value: Float64Array


def group_links(
    query: Int64Array, item: Int64Array, *, num_items: int, max_queries: int
) -> tuple[Int64Array, QueryLinks]:
    """Group pairs of query and item by query.

    Args:
        query: `[n]` the query of each pair; a negative one is left out.
        item: `[n]` its item; a negative one is left out.
        num_items: the number of items.
        max_queries: of more queries, a random choice is kept, which is always the same.

    Returns:
        `[K]` the queries with at least one item, ascending, and the items of each.
    """
    kept = (query >= 0) & (item >= 0)
    query, item = query[kept], item[kept]
    known = np.unique(query)
    if len(known) > max_queries:
        known = np.random.default_rng(0).choice(known, max_queries, replace=False)
        chosen = np.isin(query, known)
        query, item = query[chosen], item[chosen]
    pairs = np.unique(query * max(num_items, 1) + item)
    owner, items = np.divmod(pairs, max(num_items, 1))
    known, counts = np.unique(owner, return_counts=True)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return known, QueryLinks(offsets, items.astype(np.int32))


def count_votes(
    similarity: Float32Array,
    neighbour: Int64Array,
    links: QueryLinks,
    *,
    num_items: int,
    temperature: float,
) -> Entries:
    """Count the votes of each row's neighbours: exp(similarity / temperature) for each link.

    Args:
        similarity: `[B, k]`, best first.
        neighbour: `[B, k]` positions among the known queries; -1 where there is none.
        links: the items of the known queries.
        num_items: the number of items.
        temperature: similarities are divided by it.

    Returns:
        The sum of the votes for each row and item that has any. The nearest neighbour's weight is
        1: a factor of a whole row means nothing.
    """
    row, column = np.nonzero(neighbour >= 0)
    voter = neighbour[row, column]
    nearest = similarity[:, :1] if similarity.size else similarity
    weight = np.exp((similarity - nearest)[row, column].astype(np.float64) / temperature)
    # One entry for each link of each voter, and then one for each row and item.
    counts = links.offsets[voter + 1] - links.offsets[voter]
    first = np.cumsum(counts) - counts
    link = np.repeat(links.offsets[voter] - first, counts) + np.arange(counts.sum())
    keys = np.repeat(row, counts) * num_items + links.items[link]
    distinct, place = np.unique(keys, return_inverse=True)
    value = np.bincount(place, weights=np.repeat(weight, counts), minlength=len(distinct))
    row, item = np.divmod(distinct, max(num_items, 1))
    return Entries(row, item, value.astype(np.float64))
