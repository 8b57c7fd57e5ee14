"""Split pooled embeddings by feature, and turn the sums of some features into means."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable


def split_by_feature(
    values: torch.Tensor,
    dims: Sequence[int],
    num_rows: Sequence[int],
    scales: Sequence[torch.Tensor | None],
    dtype: torch.dtype,
) -> tuple[torch.Tensor, ...]:
    """Return the embeddings of each of K features.

    Args:
        values: `[rows, sum(dims)]`, the features side by side.
        dims: K embedding sizes.
        num_rows: K numbers of rows; the rows after them are padding, with a gradient of zero.
        scales: K factors `[rows]` for the rows of a feature, or None for no factor. One over the
            number of summed values makes a mean of a sum. They get no gradient.
        dtype: the type of the result.

    Returns:
        K tensors, each `[num_rows[k], dims[k]]`.
    """
    parts: tuple[torch.Tensor, ...] = SplitByFeature.apply(  # type: ignore[no-untyped-call]
        values, dims, num_rows, scales, dtype
    )
    return parts


def split_by_feature_reference(
    values: torch.Tensor,
    dims: Sequence[int],
    num_rows: Sequence[int],
    scales: Sequence[torch.Tensor | None],
    dtype: torch.dtype,
) -> tuple[torch.Tensor, ...]:
    """Compute `split_by_feature` in plain torch operators."""
    parts = []
    for part, rows, scale in zip(values.split(list(dims), dim=1), num_rows, scales, strict=True):
        scaled = part[:rows] if scale is None else part[:rows] * scale[:rows, None]
        parts.append(scaled.to(dtype))
    return tuple(parts)


class SplitByFeature(torch.autograd.Function):
    """The kernel of `split_by_feature`.

    Autograd would give every slice a gradient as large as all features together, fill it with
    zeros, and add them all up. Here each feature writes its gradient into one tensor.
    """

    @staticmethod
    def forward(
        ctx: Any,
        values: torch.Tensor,
        dims: Sequence[int],
        num_rows: Sequence[int],
        scales: Sequence[torch.Tensor | None],
        dtype: torch.dtype,
    ) -> tuple[torch.Tensor, ...]:
        """See `split_by_feature`."""
        scales = [
            None if scale is None else scale[:rows, None]
            for scale, rows in zip(scales, num_rows, strict=True)
        ]
        ctx.dims, ctx.num_rows, ctx.scales = list(dims), num_rows, scales
        ctx.shape, ctx.dtype = values.shape, values.dtype
        columns = values.split(ctx.dims, dim=1)
        parts = [part[:rows] for part, rows in zip(columns, num_rows, strict=True)]
        return tuple(
            (part if scale is None else part * scale).to(dtype)
            for part, scale in zip(parts, scales, strict=True)
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradient of `values`, and None for the other inputs."""
        whole = gradients[0].new_empty(ctx.shape, dtype=ctx.dtype)
        parts = whole.split(ctx.dims, dim=1)
        for part, gradient, rows, scale in zip(
            parts, gradients, ctx.num_rows, ctx.scales, strict=True
        ):
            if scale is None:
                part[:rows] = gradient
            else:
                torch.mul(gradient, scale, out=part[:rows])
            part[rows:] = 0.0
        return whole, *[None] * 4
