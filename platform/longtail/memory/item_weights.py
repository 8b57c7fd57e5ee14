"""Weights from item to item, which say how much a link with the one speaks for the other."""

from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse
from threadpoolctl import threadpool_limits

from longtail.config.memory import MemoryConfig
from longtail.memory.sparse_rows import blocks, idf, largest_of_rows
from longtail.memory.votes import QueryLinks

Kind = Literal["knn", "ease"]
KINDS: tuple[Kind, ...] = ("knn", "ease")

# Item kNN: the baseline's settings that were the best or near it on each data set of MEMORY.md.
_POPULARITY = 0.3
# EASE^R: of 10 to 1000, the baseline's first choice.
_REGULARIZATION = 100.0


def item_weights(
    links: sparse.csr_array, kind: Kind, *, num_weights: int, max_ease_items: int
) -> sparse.csr_array:
    """Return the weights `[C, C]` of a kind, for each row its largest by absolute value.

    Args:
        links: `[N, C]` float32 zeros and ones, of queries and items.
        kind: `knn`: weighted similarity of the items' queries; `ease`: ridge regression.
        num_weights: each row keeps so many.
        max_ease_items: ridge regression knows so many items, those with the most links.
    """
    if kind == "knn":
        return item_similarity(links, popularity=_POPULARITY, k=num_weights, by_tf_idf=True)
    num_items = links.shape[1]
    num_links = np.bincount(links.indices, minlength=num_items)
    most = np.argsort(-num_links, kind="stable")[:max_ease_items]
    items = np.sort(most[num_links[most] > 0])
    if not len(items):
        return sparse.csr_array((num_items, num_items), dtype=np.float32)
    chosen = sparse.csr_array(links[:, items])
    dense = ridge_weights((chosen.T @ chosen).toarray(), _REGULARIZATION)
    kept = [_largest_by_size(dense[block], num_weights) for block in blocks(*dense.shape)]
    # From positions among the chosen items to positions among all.
    small = sparse.csr_array(sparse.vstack(kept, format="csr"))
    counts = np.zeros(num_items, np.int64)
    counts[items] = np.diff(small.indptr)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return sparse.csr_array(
        (small.data, items[small.indices], offsets), shape=(num_items, num_items)
    )


def _largest_by_size(weights: npt.NDArray[np.float32], num_weights: int) -> sparse.csr_array:
    """Keep the largest weights of each row, positive or negative, as they are."""
    kept = largest_of_rows(sparse.csr_array(np.abs(weights)), num_weights)
    row = np.repeat(np.arange(len(weights)), np.diff(kept.indptr))
    kept.data = weights[row, kept.indices]
    return kept


def all_item_weights(
    links: QueryLinks, kinds: Iterable[Kind], num_items: int, config: MemoryConfig
) -> dict[Kind, sparse.csr_array]:
    """Return the `item_weights` of some kinds; none for a catalogue without links.

    Args:
        links: the items of the known queries.
        kinds: the kinds that are wanted.
        num_items: the number of items.
        config: `item_weights` and `max_ease_items` are read. 0 is none of a kind.
    """
    if not len(links.items):
        return {}
    matrix = sparse.csr_array(
        (np.ones(len(links.items), np.float32), links.items, links.offsets),
        shape=(links.num_queries, num_items),
    )
    return {
        kind: item_weights(
            matrix,
            kind,
            num_weights=config.item_weights,
            max_ease_items=config.max_ease_items,
        )
        for kind in kinds
        if config.item_weights and (kind == "knn" or config.max_ease_items)
    }


def item_similarity(
    links: sparse.csr_array, *, popularity: float, k: int, by_tf_idf: bool
) -> sparse.csr_array:
    """Return the similarity of items, `[C, C]` float32, for each row its k largest.

    Args:
        links: `[N, C]` of zeros and ones.
        popularity: the exponent p.
        k: the number of similar items of each item; the item itself is not one of them.
        by_tf_idf: weight each query by its idf, squared.
    """
    weighted = links.T.tocsr()
    if by_tf_idf:
        weighted.data = weighted.data * idf(weighted)[weighted.indices]
        weighted.eliminate_zeros()
    transposed = weighted.T.tocsr()
    own = np.bincount(transposed.indices, transposed.data.astype(np.float64) ** 2, links.shape[1])
    parts = []
    for block in blocks(links.shape[1], links.shape[1]):
        together = weighted[block] @ transposed
        first = np.repeat(np.arange(block.start, block.stop), np.diff(together.indptr))
        second = together.indices
        scale = own[first] ** (1.0 - popularity) * own[second] ** popularity
        together.data = np.where(first == second, 0.0, together.data / scale).astype(np.float32)
        parts.append(largest_of_rows(together, k))
    return sparse.csr_array(sparse.vstack(parts, format="csr"))


def ridge_weights(gram: npt.NDArray[np.float32], regularization: float) -> npt.NDArray[np.float32]:
    """Return the matrix B, `[n, n]`, of EASE^R.

    Args:
        gram: `[n, n]` the queries that two items share; it is overwritten.
        regularization: lambda, positive.
    """
    diagonal = np.diag_indices(len(gram))
    gram[diagonal] += np.float32(regularization)
    # Cholesky, because the matrix is positive definite: half the work of a general inverse. LAPACK
    # takes columns first, and the matrix is symmetric: its transpose is no copy.
    # On one thread: on the demo, OpenBLAS took four times as long with two.
    with threadpool_limits(1, "blas"):
        factor, failed = linalg.lapack.spotrf(gram.T, lower=1, overwrite_a=1)
        assert not failed
        inverse, failed = linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
        assert not failed
    inverse = np.tril(inverse)
    inverse += np.tril(inverse, -1).T
    weights: npt.NDArray[np.float32] = inverse / -np.diag(inverse)
    weights[diagonal] = 0.0
    return weights
