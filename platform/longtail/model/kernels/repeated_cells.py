"""Give rows that share cells what their cells hold, with gradients summed by cell.

A cell is a distinct value of a feature. In both kernels `of_row` is the cell of each row. `rows`
lists the rows ordered by cell, and `starts` is where the rows of each cell start in that list, so
that the gradient of a cell is a sum over a run of rows. A row that `rows` leaves out is padding:
the caller makes sure that its gradient is zero.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional


def cell_of_row(
    cells: torch.Tensor, of_row: torch.Tensor, rows: torch.Tensor, starts: torch.Tensor
) -> torch.Tensor:
    """Return the cell of each row.

    Args:
        cells: `[U, dim]`.
        of_row: `[B]` int64, the cell of each row.
        rows: int64, the rows that count, ordered by cell.
        starts: `[U]` int64, where the rows of each cell start in `rows`.

    Returns:
        `[B, dim]`.
    """
    values: torch.Tensor = CellOfRow.apply(  # type: ignore[no-untyped-call]
        cells, of_row, rows, starts
    )
    return values


def cell_of_row_reference(
    cells: torch.Tensor, of_row: torch.Tensor, rows: torch.Tensor, starts: torch.Tensor
) -> torch.Tensor:
    """Compute `cell_of_row` in plain torch operators."""
    del rows, starts
    return cells[of_row]


class CellOfRow(torch.autograd.Function):
    """The kernel of `cell_of_row`.

    The gradient that torch has for an index adds up in bfloat16, where a sum of many rows loses
    most of them. `embedding_bag` adds up in float32.
    """

    @staticmethod
    def forward(
        ctx: Any,
        cells: torch.Tensor,
        of_row: torch.Tensor,
        rows: torch.Tensor,
        starts: torch.Tensor,
    ) -> torch.Tensor:
        """See `cell_of_row`."""
        ctx.save_for_backward(rows, starts)
        return cells[of_row]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradient of `cells`, and None for the other inputs."""
        return _sum_by_cell(gradient, *ctx.saved_tensors), None, None, None


def sum_of_cells(
    weight: torch.Tensor,
    columns: Sequence[slice],
    of_row: torch.Tensor,
    rows: torch.Tensor,
    starts: torch.Tensor,
    cells: Sequence[torch.Tensor],
    offsets: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return what K features with repeated cells add to a linear layer, summed for each row.

    The cells of all features are numbered one after another, and so are the entries of `rows`.

    Args:
        weight: `[width, in]`, the weight of the layer.
        columns: K slices of `in`, the columns that belong to each feature.
        of_row: `[B, K]` int64, the cells of each row. With `offsets` flat, the cells of row after
            row, which may have fewer than K.
        rows: int64, for each feature the rows that count, ordered by cell.
        starts: `[cells of all features]` int64, where the rows of each cell start in `rows`.
        cells: K tensors `[cells of the feature, dim of the feature]`, of one dtype, which the
            products are computed in.
        offsets: `[B]` int64, where the cells of each row start in a flat `of_row`.

    Returns:
        `[B, width]`, in the dtype of the cells.
    """
    total: torch.Tensor = SumOfCells.apply(  # type: ignore[no-untyped-call]
        weight, columns, of_row, offsets, rows, starts, *cells
    )
    return total


def sum_of_cells_reference(
    weight: torch.Tensor,
    columns: Sequence[slice],
    of_row: torch.Tensor,
    rows: torch.Tensor,
    starts: torch.Tensor,
    cells: Sequence[torch.Tensor],
    offsets: torch.Tensor | None = None,
) -> torch.Tensor:
    """Compute `sum_of_cells` in plain torch operators."""
    del rows, starts
    products = [
        values @ weight[:, feature_columns].to(values.dtype).T
        for values, feature_columns in zip(cells, columns, strict=True)
    ]
    if offsets is None:
        return torch.cat(products)[of_row].sum(dim=1)
    bags = torch.tensor_split(torch.cat(products)[of_row], offsets[1:].cpu())
    return torch.stack([bag.sum(dim=0) for bag in bags])


class SumOfCells(torch.autograd.Function):
    """The kernel of `sum_of_cells`.

    With the rows ordered by cell its gradient is a sum over runs of rows as well, eight times as
    fast as the gradient of `embedding_bag`, which sorts first. It also saves many small tensors.
    """

    @staticmethod
    def forward(
        ctx: Any,
        weight: torch.Tensor,
        columns: Sequence[slice],
        of_row: torch.Tensor,
        offsets: torch.Tensor | None,
        rows: torch.Tensor,
        starts: torch.Tensor,
        *cells: torch.Tensor,
    ) -> torch.Tensor:
        """See `sum_of_cells`."""
        ctx.columns, ctx.dtype, weight = columns, weight.dtype, weight.to(cells[0].dtype)
        ctx.save_for_backward(weight, rows, starts, *cells)
        sizes = [len(values) for values in cells]
        products = weight.new_empty(sum(sizes), len(weight))
        for product, values, feature_columns in zip(
            products.split(sizes), cells, columns, strict=True
        ):
            torch.mm(values, weight[:, feature_columns].T, out=product)
        return functional.embedding_bag(of_row, products, offsets, mode="sum")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of `weight` and of each of `cells`, and None for the others."""
        weight, rows, starts, *cells = ctx.saved_tensors
        of_products = _sum_by_cell(gradient, rows, starts)
        of_weight, of_cells = torch.zeros_like(weight), []
        of_product_parts = of_products.split([len(values) for values in cells])
        for of_product, values, feature_columns in zip(
            of_product_parts, cells, ctx.columns, strict=True
        ):
            of_weight[:, feature_columns] = of_product.T @ values
            of_cells.append(of_product @ weight[:, feature_columns])
        return of_weight.to(ctx.dtype), *[None] * 5, *of_cells


def _sum_by_cell(gradient: torch.Tensor, rows: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
    """Return the sum of the gradients of each cell's rows, `[U, width]`."""
    return functional.embedding_bag(rows, gradient.contiguous(), starts, mode="sum")
