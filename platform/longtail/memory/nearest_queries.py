"""The index of the known queries, and the search for those nearest to a query."""

from typing import Any, Literal

import numpy as np

from longtail.memory.votes import Float32Array, Int64Array

Storage = Literal["fp32", "fp16", "int8"]


def make_query_index(vectors: Float32Array, storage: Storage) -> Any:
    """Build an exact inner product index over the `[K, dim]` vectors of the known queries.

    Args:
        vectors: finite, at least one.
        storage: how the numbers are kept: 4, 2 or 1 byte each.
    """
    import faiss

    dim = vectors.shape[1]
    if storage == "fp32":
        index: Any = faiss.IndexFlatIP(dim)
    else:
        kinds = faiss.ScalarQuantizer
        kind = kinds.QT_fp16 if storage == "fp16" else kinds.QT_8bit
        index = faiss.IndexScalarQuantizer(dim, kind, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors)
    index.add(vectors)
    return index


def nearest_queries(
    index: Any, vectors: Float32Array, k: int, itself: Int64Array
) -> tuple[Float32Array, Int64Array]:
    """Find the known queries nearest to each of B queries.

    Args:
        index: of `make_query_index`.
        vectors: `[B, dim]`.
        k: how many.
        itself: `[B]` position of each query among the known ones, which is left out; -1 if it is
            not known.

    Returns:
        `[B, k]` inner products, best first, and `[B, k]` positions; -1 where there are no more.
    """
    similarity, found = index.search(vectors, k + 1)
    own = found == itself[:, None]
    own &= found >= 0
    # The query itself goes to the end, which is cut off.
    order = np.argsort(own, axis=1, kind="stable")[:, :k]
    neighbour = np.where(own, -1, found)
    return (
        np.take_along_axis(similarity, order, axis=1),
        np.take_along_axis(neighbour, order, axis=1).astype(np.int64),
    )
