"""Dense features as categories: quantile bins, so that they have a mutual information too."""

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ibis.expr.types import ArrayColumn, Column, FloatingColumn, Table

from longtail.correlation.sample import num_halvings, sampled

# Items from which the direction of a vector feature is found.
DIRECTION_ROWS = 20_000


def is_dense(column: Column) -> bool:
    """Whether a column holds floats, or vectors of them."""
    dtype = column.type()
    return bool(dtype.is_floating() or (dtype.is_array() and dtype.value_type.is_floating()))


def with_bins(table: Table, num_bins: int, key: str) -> Table:
    """The same table with integers 0 to `num_bins` - 1 in place of its dense columns.

    A number's bin is the share of numbers below it: bins hold about equally many items, and equal
    numbers always share one. NaN is a missing value. A vector is first reduced to one number, its
    coordinate in the direction in which the vectors vary most (their first principal component,
    from at most `DIRECTION_ROWS` items): what the bins tell is a lower bound of what the vector
    tells. A vector with another length than most, or a null or NaN in it, is a missing value.

    Args:
        table: one row an item.
        num_bins: bins a feature.
        key: the column that identifies an item.
    """
    dense = [name for name in table.columns if is_dense(table[name])]
    for name in dense:
        column = table[name]
        if isinstance(column, ArrayColumn):
            column = _coordinate(table, name, key)
        table = table.mutate(**{name: _finite_or_null(column)})
    for name in dense:
        # Nulls sort last on every engine when asked to, and so never stand below a number.
        below = ibis.rank().over(order_by=table[name].asc(nulls_first=False)).cast("int64")
        counted = table[name].count().over().cast("int64")
        binned = (below * num_bins // counted).cast("int64")
        table = table.mutate(**{name: ibis.ifelse(table[name].notnull(), binned, ibis.null())})
    return table


def _finite_or_null(column: FloatingColumn) -> Column:
    number = column.cast("float64")
    return ibis.ifelse(number.isnan(), ibis.null(), number)


def _coordinate(table: Table, name: str, key: str) -> FloatingColumn:
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
    """The unit vector along which a vector feature varies most; empty where no item has one."""
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
    # An eigenvector's sign is arbitrary.
    return np.asarray(direction * np.sign(direction[np.abs(direction).argmax()]))
