"""Rows of sparse matrices: in blocks, weighted by idf, and cut to their largest entries."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import sparse

from longtail.features.encoding import offsets_of

# Scores held at a time in each thread, 12 bytes each; few queries at a time cost more than a score.
_MAX_SCORES = 1 << 23
_MAX_QUERIES = 256


def blocks(num_rows: int, num_columns: int) -> Iterator[slice]:
    """Yield rows in blocks, so that the memory of their scores does not grow with their number."""
    size = max(1, min(_MAX_QUERIES, _MAX_SCORES // max(num_columns, 1)))
    for first in range(0, num_rows, size):
        yield slice(first, min(first + size, num_rows))


def idf(matrix: sparse.csr_array) -> npt.NDArray[np.float32]:
    """Return the weight of each column of `[R, columns]`: `log((1 + R) / (1 + its rows))`."""
    count = np.bincount(matrix.indices, minlength=matrix.shape[1])
    return np.asarray(np.log((1.0 + matrix.shape[0]) / (1.0 + count)), np.float32)


def largest_of_rows(matrix: sparse.csr_array, k: int) -> sparse.csr_array:
    """Keep the k largest positive entries of each row; among equal ones, the lower columns.

    Args:
        matrix: `[R, columns]`, its entries in any order within a row, none twice.
        k: the number of entries to keep.
    """
    kept = matrix.data > 0
    # Only the rows with more than k entries are looked at; each is one run.
    for row in np.flatnonzero(np.diff(matrix.indptr) > k):
        run = slice(*matrix.indptr[row : row + 2])
        values = matrix.data[run]
        bound = np.partition(values, len(values) - k)[len(values) - k]
        chosen = values > bound
        ties = np.flatnonzero(values == bound)
        num_left = k - np.count_nonzero(chosen)
        if len(ties) > num_left:
            ties = ties[np.argsort(matrix.indices[run][ties])[:num_left]]
        chosen[ties] = True
        kept[run] &= chosen
    ends = offsets_of(kept.view(np.int8))[matrix.indptr]
    return sparse.csr_array((matrix.data[kept], matrix.indices[kept], ends), shape=matrix.shape)
