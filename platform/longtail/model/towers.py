"""The towers: from pooled feature embeddings to unit vectors."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from longtail.augmentation.masks import Mask

Features = Sequence[torch.Tensor]


class Repeated(NamedTuple):
    """A feature of B rows that share U cells: each goes through the first layer once.

    Attributes:
        values: `[U, dim]`, zero for a cell without a value.
        missing: `[U]`, 1 where the cell has none, else 0.
        of_row: `[B]` int64, the cell of each row.
        rows: int64, the rows that count, ordered by cell; the gradients of the others are zero.
        starts: `[U]` int64, where those of each cell start among them.
    """

    values: torch.Tensor
    missing: torch.Tensor
    of_row: torch.Tensor
    rows: torch.Tensor
    starts: torch.Tensor


# Each feature as `[B, dim]`, zero where it has no value, or as the cells that its rows share.
Inputs = Sequence[torch.Tensor | Repeated]


class Tower(nn.Module):
    """A multilayer perceptron over the feature embeddings of one side.

    A feature without a value (missing, never seen, or masked) is replaced by its learned default.
    The first layer is linear in the features, so that it is the sum of what each adds to it: the
    part of a repeated cell is computed once, not for each row that has it, and masked views are
    sums of the same parts.

    Args:
        dims: embedding size of each of the F features.
        hidden: widths of the hidden layers.
        output_dim: length of the vectors.
    """

    def __init__(self, dims: Sequence[int], hidden: Sequence[int], output_dim: int) -> None:
        super().__init__()
        self.dims = tuple(dims)
        widths = [sum(dims), *hidden, output_dim]
        self.default = nn.Parameter(torch.empty(sum(dims)).uniform_(-0.01, 0.01))
        self.input_layer = nn.Linear(widths[0], widths[1])
        self.layers = nn.ModuleList(
            nn.Linear(before, after) for before, after in itertools.pairwise(widths[1:])
        )
        # Does nothing: whoever wants the vectors before they are scaled to one hooks in here.
        self.unscaled = nn.Identity()

    def columns(self, feature: int) -> slice:
        """Where the embedding of a feature, by its position, stands in the concatenation."""
        first = sum(self.dims[:feature])
        return slice(first, first + self.dims[feature])

    def forward(self, pooled: Inputs, missing: torch.Tensor) -> torch.Tensor:
        """Unit vectors of feature rows.

        Args:
            pooled: F features of B rows.
            missing: `[B, F]`, 1 where a feature has no value, else 0; not read where its cells are
                repeated.

        Returns:
            `[B, output_dim]`.
        """
        return self.rest(self.first(pooled, missing))

    def first(
        self, pooled: Inputs, missing: torch.Tensor, *, hidden: Sequence[bool] | None = None
    ) -> torch.Tensor:
        """The first layer's output before its nonlinearity, `[B, width]`.

        Args:
            pooled, missing: see `forward`.
            hidden: F flags, the features that are their learned defaults in all rows.
        """
        hidden = hidden or (False,) * len(self.dims)
        shown = [not flag for flag in hidden]
        return self._part(pooled, missing, shown, self._constant(hidden))

    def first_of_views(
        self,
        pooled: Inputs,
        missing: torch.Tensor,
        mask: Mask,
        *,
        masked: slice,
        unmasked: slice,
    ) -> list[torch.Tensor]:
        """The first layer of three views for the price of one (DESIGN.md, section 3).

        What the features add to it is summed in three parts: of those that the first, the second,
        and neither view hides. A view that hides a part has the defaults' in its place.

        Args:
            pooled, missing: see `forward`.
            mask: what the two views hide; no feature is hidden in both.
            masked: the M rows whose masked views are wanted.
            unmasked: the U rows whose unmasked view is wanted.

        Returns:
            The first and the second masked view `[M, width]`, and the unmasked one `[U, width]`,
            each as `first` returns it.
        """
        # Each view's constant is added with its part; the unmasked one then has both too many.
        constants = self._constant(mask.first), self._constant(mask.second)
        in_first = self._part(pooled, missing, mask.second, constants[0])
        in_second = self._part(pooled, missing, mask.first, constants[1])
        surplus = constants[0] + constants[1] - self.input_layer.bias
        both = in_first[unmasked] + in_second[unmasked] - surplus
        first, second = in_first[masked], in_second[masked]
        in_neither = [not (a or b) for a, b in zip(mask.first, mask.second, strict=True)]
        if any(in_neither):
            rest = self._part(pooled, missing, in_neither)
            first, second = first + rest[masked], second + rest[masked]
            both = both + rest[unmasked]
        return [first, second, both]

    def rest(self, first: torch.Tensor) -> torch.Tensor:
        """From the first layer's output to unit vectors `[B, output_dim]`."""
        hidden = first
        for layer in self.layers:
            hidden = layer(functional.relu(hidden))
        # In full precision, whatever the products are computed in.
        return functional.normalize(self.unscaled(hidden.to(self.default.dtype)), dim=-1)

    def _part(
        self,
        pooled: Inputs,
        missing: torch.Tensor,
        flags: Sequence[bool],
        constant: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """What the flagged features and a constant add to the first layer, `[B, width]`."""
        flagged = [position for position, flag in enumerate(flags) if flag]
        rows = {p: f for p in flagged if not isinstance(f := pooled[p], Repeated)}
        cells = {p: f for p in flagged if isinstance(f := pooled[p], Repeated)}
        part = self._part_of_rows(rows, missing, constant)
        return part + self._part_of_cells(cells) if cells else part

    def _part_of_rows(
        self,
        chosen: Mapping[int, torch.Tensor],
        missing: torch.Tensor,
        constant: torch.Tensor | None,
    ) -> torch.Tensor:
        """What features of which each row has its own cell, and a constant, add to it."""
        if not chosen:
            nothing = missing.new_zeros(len(missing), self.input_layer.out_features)
            return nothing if constant is None else nothing + constant
        weight, absent, defaults = self.input_layer.weight, missing, self.default.split(self.dims)
        if len(chosen) < len(self.dims):
            # By lists of columns, not by an index, for which a GPU would have to wait.
            columns = weight.split(self.dims, dim=1)
            weight = torch.cat([columns[position] for position in chosen], dim=1)
            absent = torch.stack([missing[:, position] for position in chosen], dim=1)
            defaults = tuple(defaults[position] for position in chosen)
        values = torch.cat([*chosen.values()], dim=1)
        filled = torch.addmm(values, absent, torch.block_diag(*defaults).to(values.dtype))
        return functional.linear(filled, weight, constant)

    def _part_of_cells(self, chosen: Mapping[int, Repeated]) -> torch.Tensor:
        """What features with repeated cells add to it: a product a cell, and a sum a row."""
        defaults = self.default.split(self.dims)
        filled = [
            torch.addr(cells.values, cells.missing, defaults[position].to(cells.values.dtype))
            for position, cells in chosen.items()
        ]
        features = [*chosen.values()]
        first_cells = itertools.accumulate((len(f.starts) for f in features), initial=0)
        first_rows = itertools.accumulate((len(f.rows) for f in features), initial=0)
        of_row = [f.of_row + first for f, first in zip(features, first_cells, strict=False)]
        starts = [f.starts + first for f, first in zip(features, first_rows, strict=False)]
        part: torch.Tensor = _SumOfCells.apply(  # type: ignore[no-untyped-call]
            self.input_layer.weight,
            [self.columns(position) for position in chosen],
            torch.stack(of_row, dim=1),
            torch.cat([f.rows for f in features]),
            torch.cat(starts),
            *filled,
        )
        return part

    def _constant(self, hidden: Sequence[bool]) -> torch.Tensor:
        """What all rows have in common, `[width]`: the bias, and the hidden features' defaults."""
        if not any(hidden):
            return self.input_layer.bias
        defaults = [
            default if flag else torch.zeros_like(default)
            for default, flag in zip(self.default.split(self.dims), hidden, strict=True)
        ]
        constant: torch.Tensor = self.input_layer(torch.cat(defaults))
        return constant


def by_row(pooled: Inputs, missing: torch.Tensor) -> tuple[Features, torch.Tensor]:
    """The same with every feature as `[B, dim]`, and `[B, F]`; see `Tower.forward`."""
    features, absent = [], list(missing.unbind(dim=1))
    for position, feature in enumerate(pooled):
        if isinstance(feature, Repeated):
            values = _CellOfRow.apply(  # type: ignore[no-untyped-call]
                feature.values, feature.of_row, feature.rows, feature.starts
            )
            features.append(values)
            absent[position] = feature.missing[feature.of_row]
        else:
            features.append(feature)
    return features, torch.stack(absent, dim=1)


class _CellOfRow(torch.autograd.Function):
    """Of each row its cell. An index's own gradient adds up in bfloat16, and loses most of it."""

    @staticmethod
    def forward(
        ctx: Any,
        cells: torch.Tensor,
        of_row: torch.Tensor,
        rows: torch.Tensor,
        starts: torch.Tensor,
    ) -> torch.Tensor:
        ctx.save_for_backward(rows, starts)
        return cells[of_row]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return _sum_by_cell(gradient, *ctx.saved_tensors), None, None, None


class _SumOfCells(torch.autograd.Function):
    """Of each row the sum of what its cells add to the first layer.

    Written out because with the rows ordered by cell the gradient is such a sum as well, eight
    times as fast as the one of `embedding_bag`, which sorts first; and for the many small tensors.
    """

    @staticmethod
    def forward(
        ctx: Any,
        weight: torch.Tensor,
        columns: Sequence[slice],
        of_row: torch.Tensor,
        rows: torch.Tensor,
        starts: torch.Tensor,
        *cells: torch.Tensor,
    ) -> torch.Tensor:
        """`[B, width]`, of each feature's cells `[U, dim]` and columns of the weight."""
        ctx.columns, ctx.dtype, weight = columns, weight.dtype, weight.to(cells[0].dtype)
        ctx.save_for_backward(weight, rows, starts, *cells)
        sizes = [len(values) for values in cells]
        parts = weight.new_empty(sum(sizes), len(weight))
        for part, values, its in zip(parts.split(sizes), cells, columns, strict=True):
            torch.mm(values, weight[:, its].T, out=part)
        return functional.embedding_bag(of_row, parts, mode="sum")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        weight, rows, starts, *cells = ctx.saved_tensors
        of_parts = _sum_by_cell(gradient, rows, starts)
        of_weight, of_cells = torch.zeros_like(weight), []
        parts = of_parts.split([len(values) for values in cells])
        for part, values, its in zip(parts, cells, ctx.columns, strict=True):
            of_weight[:, its] = part.T @ values
            of_cells.append(part @ weight[:, its])
        return of_weight.to(ctx.dtype), *[None] * 4, *of_cells


def _sum_by_cell(gradient: torch.Tensor, rows: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
    """The gradient of each cell, from those of its rows."""
    return functional.embedding_bag(rows, gradient.contiguous(), starts, mode="sum")
