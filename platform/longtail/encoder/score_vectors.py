"""Vectors with inner products that are scores: of items with a bias, and of what is asked for.

A score is a cosine, and the item's bias if the version has biases. As one inner product: an item's
vector is its unit vector followed by its bias, a query's is its unit vector followed by 1. An item
that is asked for is followed by 0, so that its neighbours are found by cosine in the same index.
"""

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]


def as_queries(vectors: Float32Array, width: int) -> Float32Array:
    """Return vectors that count biases: `[n, dim]` unit vectors, with a 1 each if `width` is more.

    Args:
        vectors: `[n, dim]`.
        width: the length of the items' vectors, dim or dim + 1.
    """
    return _followed_by(vectors, 1.0, width)


def as_items(vectors: Float32Array, width: int) -> Float32Array:
    """Return vectors that do not count biases: with a 0 each if `width` is more than dim."""
    return _followed_by(vectors, 0.0, width)


def with_bias(vectors: Float32Array, bias: Float32Array | None) -> Float32Array:
    """Return `[n, dim + 1]` items' vectors of `[n, dim]` unit vectors and `[n]` biases, if any."""
    return vectors if bias is None else np.column_stack([vectors, bias]).astype(np.float32)


def popularity_bias(
    count: npt.NDArray[np.integer], beta: float, temperature: float
) -> Float32Array:
    """Return what a calibration adds to the cosines of items: temperature * beta * log popularity.

    Popularity is an item's links plus one half, so that an item without links has one, too. The
    logarithm's mean over the items is taken out: a constant moves no item before another, and
    biases around zero lose fewest digits.

    Args:
        count: `[n]` links of each item of the catalogue.
        beta: the weight of log popularity in the softmax's logits.
        temperature: tau; logits are cosines divided by it.

    Returns:
        `[n]` float32.
    """
    logs = np.log(count + 0.5)
    bias: Float32Array = (temperature * beta * (logs - logs.mean())).astype(np.float32)
    return bias


def calibrated(vectors: Float32Array, dim: int, bias: Float32Array) -> Float32Array:
    """Add biases to items' vectors that may have biases already.

    Args:
        vectors: `[n, dim]` or `[n, dim + 1]`.
        dim: the length of the unit vectors.
        bias: `[n]`.

    Returns:
        `[n, dim + 1]`.
    """
    learned = vectors[:, dim] if vectors.shape[1] > dim else np.float32(0.0)
    return with_bias(vectors[:, :dim], learned + bias)


def _followed_by(vectors: Float32Array, value: float, width: int) -> Float32Array:
    if vectors.shape[1] == width:
        return vectors
    assert vectors.shape[1] == width - 1
    return with_bias(vectors, np.full(len(vectors), value, np.float32))
