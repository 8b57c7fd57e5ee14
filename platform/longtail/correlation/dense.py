"""Dense features as quantile bins, so that they have a mutual information too."""

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ibis.expr.types import ArrayColumn, Column, FloatingColumn, Table

from longtail.correlation.sample import num_halvings, sampled

# Items that are read to find the direction of a vector feature.
DIRECTION_ROWS = 20_000


def is_dense(column: Column) -> bool:
    """Return whether a column holds floats or lists of floats."""
    dtype = column.type()
    return bool(dtype.is_floating() or (dtype.is_array() and dtype.value_type.is_floating()))


def with_bins(table: Table, num_bins: int, key: str) -> Table:
    """Return the table with integers from 0 to `num_bins` - 1 in place of its dense columns.

    The bin of a number is `num_bins` times the share of numbers below it, rounded down. So bins
    hold about the same number of items, and equal numbers share a bin. NaN is a missing value.

    A vector is first reduced to one number: its coordinate along the first principal component, the
    direction in which the vectors vary most, found from at most `DIRECTION_ROWS` items. The
    information in the bins is a lower bound of the information in the vector. A vector is a missing
    value if it has another length than most, or a null or NaN in it.

    Args:
        table: one row for each item.
        num_bins: the number of bins of each feature.
        key: the column that identifies an item.
    """
    dense = [name for name in table.columns if is_dense(table[name])]
    for name in dense:
        column = table[name]
        if isinstance(column, ArrayColumn):
            column = _coordinate(table, name, key)
        table = table.mutate(**{name: _finite_or_null(column)})
    for name in dense:
        # Engines differ in where they sort nulls. Sorted last, they never count as below a number.
        below = ibis.rank().over(order_by=table[name].asc(nulls_first=False)).cast("int64")
        counted = table[name].count().over().cast("int64")
        binned = (below * num_bins // counted).cast("int64")
        table = table.mutate(**{name: ibis.ifelse(table[name].notnull(), binned, ibis.null())})
    return table


def _finite_or_null(column: FloatingColumn) -> Column:
    """Return the numbers as float64, with null for NaN."""
    number = column.cast("float64")
    return ibis.ifelse(number.isnan(), ibis.null(), number)


def _coordinate(table: Table, name: str, key: str) -> FloatingColumn:
    """Return the coordinate of each vector along `_direction`, null for another length."""
    direction = _direction(table, name, key)
    vector: ArrayColumn = table[name]
    if not len(direction):
        return ibis.null().cast("float64")
    products = [
        vector[position].cast("float64") * ibis.literal(float(weight)).cast("float64")
        for position, weight in enumerate(direction)
    ]
    total = products[0]
    for product in products[1:]:
        total = total + product
    return ibis.ifelse(vector.length() == len(direction), total, ibis.null())


def _direction(table: Table, name: str, key: str) -> np.ndarray:
    """Return the unit vector along which a vector feature varies most, float64 [length].

    Empty if no item has a vector.
    """
    present = table.filter(table[name].notnull())
    halvings = num_halvings(int(present.count().to_pyarrow().as_py()), DIRECTION_ROWS)
    rows = sampled(present, key, halvings).order_by(key).select(vector=name)
    vectors = rows.to_pyarrow()["vector"].combine_chunks()
    lengths = pc.list_value_length(vectors).to_numpy(zero_copy_only=False)
    if not len(lengths):
        return np.empty(0)
    length = int(np.bincount(lengths).argmax())
    flat = vectors.filter(pa.array(lengths == length)).flatten()
    points = flat.to_numpy(zero_copy_only=False).astype(np.float64).reshape(-1, length)
    points = points[np.isfinite(points).all(axis=1)]
    if not points.size:
        return np.empty(0)
    centred = points - points.mean(axis=0)
    direction = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    # The sign of an eigenvector is arbitrary; fixed, the bins are the same at every run.
    return np.asarray(direction * np.sign(direction[np.abs(direction).argmax()]))
