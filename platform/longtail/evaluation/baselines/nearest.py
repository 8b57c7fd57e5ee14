"""The largest entries of the rows of a sparse matrix."""

import numpy as np
from scipy import sparse

from longtail.features.encoding import offsets_of


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
