"""Drops values, or whole features, of rows that are already encoded, and counts their copies."""

import numpy as np
import numpy.typing as npt

from longtail.config import Config
from longtail.features.schema import Schema

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]


def num_copies(config: Config, schema: Schema) -> int:
    """Return the lookups of the sampled items: 2 where each view loses values of its own, else 1.

    Args:
        config: the sections `correlation` and `self_supervision` are read.
        schema: the features.
    """
    return config.self_supervision.augmenter.num_copies(
        multi_valued=[feature.name for feature in schema.item if feature.kind == "multi"],
        never_mask=config.correlation.never_mask,
    )


def drop_values(
    values: Int32Array,
    lengths: Int64Array,
    *,
    cells: npt.NDArray[np.bool_],
    rate: float,
    generator: np.random.Generator,
) -> tuple[Int32Array, Int64Array]:
    """Drop each value of the chosen cells with a probability; an emptied cell is a missing feature.

    Args:
        values: `[nnz]` feature by feature, as `EncodedRows.columns` returns them.
        lengths: `[F, n]` the number of values of each cell.
        cells: `[F, n]`, true where values may be dropped.
        rate: the probability.
        generator: draws the values to drop.

    Returns:
        The values and lengths that are left, in the same form.
    """
    cell = np.repeat(np.arange(lengths.size), lengths.ravel())
    dropped = cells.ravel()[cell]
    dropped[dropped] = generator.random(int(dropped.sum())) < rate
    kept = np.bincount(cell[~dropped], minlength=lengths.size).reshape(lengths.shape)
    return values[~dropped], kept


def drop_features(
    values: Int32Array, lengths: Int64Array, *, cells: npt.NDArray[np.bool_]
) -> tuple[Int32Array, Int64Array]:
    """Empty whole cells: their features are then missing.

    Args:
        values: `[nnz]` feature by feature.
        lengths: `[F, n]` the number of values of each cell.
        cells: `[F, n]`, true for the cells to empty.

    Returns:
        The values and lengths that are left, in the same form.
    """
    return values[~np.repeat(cells.ravel(), lengths.ravel())], np.where(cells, 0, lengths)
