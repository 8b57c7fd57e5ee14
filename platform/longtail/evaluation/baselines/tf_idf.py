"""Sparse matrices of features and of links, weighted by tf-idf."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from longtail.features.encoding import EncodedRows
from longtail.memory.sparse_rows import idf


def indicator_matrix(
    sides: Sequence[tuple[EncodedRows, Sequence[str | None]]],
) -> list[sparse.csr_array]:
    """Return the values of some features as matrices of zeros and ones with the same columns.

    Args:
        sides: encoded rows, and for each of their features the name of the group of columns that
            its values fall into, or None for a feature that is left out. Features of one group
            share their columns.

    Returns:
        `[R, columns]` float32 for each side.
    """
    entries = []
    width: dict[str, int] = {}
    for rows, groups in sides:
        cell = np.repeat(np.arange(len(rows.offsets) - 1), np.diff(rows.offsets))
        row, feature = np.divmod(cell, rows.num_features)
        entries.append((row, feature))
        for position, group in enumerate(groups):
            if group is not None:
                values = rows.values[feature == position]
                width[group] = max(width.get(group, 0), int(values.max(initial=-1)) + 1)
    # The groups stand side by side, each as wide as its largest value.
    ends = np.cumsum([0, *width.values()])
    first_column = dict(zip(width, ends[:-1].tolist(), strict=True))
    matrices = []
    for (rows, groups), (row, feature) in zip(sides, entries, strict=True):
        base = np.array([-1 if group is None else first_column[group] for group in groups])
        kept = base[feature] >= 0
        column = rows.values[kept] + base[feature[kept]]
        ones = np.ones(len(column), np.float32)
        matrix = sparse.csr_array((ones, (row[kept], column)), shape=(rows.num_rows, int(ends[-1])))
        matrix.sum_duplicates()
        matrix.data[:] = 1.0
        matrices.append(matrix)
    return matrices


def rare_idf(matrix: sparse.csr_array, max_share: float) -> npt.NDArray[np.float32]:
    """Return `idf`, but 0 for columns that more than a share of the rows have."""
    count = np.bincount(matrix.indices, minlength=matrix.shape[1])
    rare: npt.NDArray[np.bool_] = count <= max_share * matrix.shape[0]
    return np.where(rare, idf(matrix), np.float32(0))


def weighted_unit_rows(
    matrix: sparse.csr_array, weight: npt.NDArray[np.float32]
) -> sparse.csr_array:
    """Return the matrix with its columns weighted and its rows scaled to length one.

    Rows without a weighted entry are zero.

    Args:
        matrix: `[R, columns]` of zeros and ones.
        weight: `[columns]`, at least 0.
    """
    weighted = matrix.copy()
    weighted.data = matrix.data * weight[matrix.indices]
    weighted.eliminate_zeros()
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(weighted.indptr))
    squares = weighted.data.astype(np.float64) ** 2
    length = np.sqrt(np.bincount(row, squares, minlength=matrix.shape[0]))
    weighted.data = (weighted.data / length[row]).astype(np.float32)
    return weighted
