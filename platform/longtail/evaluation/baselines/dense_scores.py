"""Dense scores of some items, in the sparse form that every method gives."""

import numpy as np
import numpy.typing as npt
from scipy import sparse


def dense_scores(
    scores: npt.NDArray[np.float32], items: npt.NDArray[np.int64], num_items: int
) -> sparse.csr_array:
    """Return scores of some items as a row of all items, without a copy of the scores.

    Args:
        scores: `[B, n]`.
        items: `[n]` the item of each column, ascending.
        num_items: the number of all items.

    Returns:
        `[B, num_items]`; the other items have no entry.
    """
    num_rows = len(scores)
    # 32 bits, which scipy would otherwise copy to where they fit.
    offsets = np.arange(num_rows + 1, dtype=np.int32) * np.int32(len(items))
    columns = np.tile(items.astype(np.int32), num_rows)
    return sparse.csr_array((scores.ravel(), columns, offsets), shape=(num_rows, num_items))
