"""The towers: from the embeddings of features to unit vectors."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from longtail.augmentation.masks import Mask
from longtail.model.kernels.repeated_cells import cell_of_row, sum_of_cells

Features = Sequence[torch.Tensor]


class Repeated(NamedTuple):
    """A feature of B rows that share U cells: each cell goes through the first layer once.

    Attributes:
        values: `[U, dim]`, zero for a cell without a value.
        missing: `[U]`, 1 where the cell has no value, else 0.
        of_row: `[B]` int64, the cell of each row.
        rows: int64, the rows that count, ordered by cell; the gradients of the others are zero.
        starts: `[U]` int64, where the rows of each cell start in `rows`.
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
    The first layer is linear, so its output is a sum over features. That saves work twice: the part
    of a repeated cell is computed once, not for each row that has it, and masked views are sums of
    the same parts.

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
        # Does nothing. A hook on it sees the vectors before they are scaled to length one.
        self.unscaled = nn.Identity()

    def columns(self, feature: int) -> slice:
        """Return the columns of a feature, given by position, among all embeddings side by side."""
        first = sum(self.dims[:feature])
        return slice(first, first + self.dims[feature])

    def forward(self, pooled: Inputs, missing: torch.Tensor) -> torch.Tensor:
        """Return the unit vectors of feature rows.

        Args:
            pooled: F features of B rows.
            missing: `[B, F]`, 1 where a feature has no value, else 0. The column of a feature with
                repeated cells is not read: the cells know it.

        Returns:
            `[B, output_dim]`.
        """
        return self.rest(self.first(pooled, missing))

    def first(
        self, pooled: Inputs, missing: torch.Tensor, *, hidden: Sequence[bool] | None = None
    ) -> torch.Tensor:
        """Return the first layer's output before its nonlinearity, `[B, width]`.

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
        """Return the first layer of three views for the price of one (METHOD.md).

        The sum over features is computed in three parts: of those that the first view hides, that
        the second view hides, and that neither hides. A view that hides a part has the sum of the
        defaults in its place, which is the same for all rows.

        Args:
            pooled, missing: see `forward`.
            mask: the features that each view hides; no feature is hidden in both.
            masked: the M rows to return the masked views of.
            unmasked: the U rows to return the unmasked view of.

        Returns:
            The first and the second masked view, each `[M, width]`, and the unmasked view
            `[U, width]`, each as `first` returns it.
        """
        # The first view shows what the second one hides, and the other way round.
        constants = self._constant(mask.first), self._constant(mask.second)
        in_first = self._part(pooled, missing, mask.second, constants[0])
        in_second = self._part(pooled, missing, mask.first, constants[1])
        # The unmasked view is the sum of both, which has both constants where the bias should be.
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
        """Return the unit vectors `[B, output_dim]` of the first layer's output `[B, width]`."""
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
        """Return what the flagged features and a constant add to the first layer, `[B, width]`."""
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
        """Return what features without repeated cells, and a constant, add to the first layer."""
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
        # A missing value is zero, so adding the default is filling it in.
        filled = torch.addmm(values, absent, torch.block_diag(*defaults).to(values.dtype))
        return functional.linear(filled, weight, constant)

    def _part_of_cells(self, chosen: Mapping[int, Repeated]) -> torch.Tensor:
        """Return what features with repeated cells add to the first layer, `[B, width]`."""
        defaults = self.default.split(self.dims)
        filled = [
            torch.addr(cells.values, cells.missing, defaults[position].to(cells.values.dtype))
            for position, cells in chosen.items()
        ]
        # The kernel numbers the cells of all features one after another, and so their rows.
        features = [*chosen.values()]
        first_cells = itertools.accumulate((len(f.starts) for f in features), initial=0)
        first_rows = itertools.accumulate((len(f.rows) for f in features), initial=0)
        of_row = [f.of_row + first for f, first in zip(features, first_cells, strict=False)]
        starts = [f.starts + first for f, first in zip(features, first_rows, strict=False)]
        return sum_of_cells(
            self.input_layer.weight,
            [self.columns(position) for position in chosen],
            torch.stack(of_row, dim=1),
            torch.cat([f.rows for f in features]),
            torch.cat(starts),
            filled,
        )

    def _constant(self, hidden: Sequence[bool]) -> torch.Tensor:
        """Return what all rows have in common, `[width]`: the bias and the hidden defaults."""
        if not any(hidden):
            return self.input_layer.bias
        defaults = [
            default if flag else torch.zeros_like(default)
            for default, flag in zip(self.default.split(self.dims), hidden, strict=True)
        ]
        constant: torch.Tensor = self.input_layer(torch.cat(defaults))
        return constant


def by_row(pooled: Inputs, missing: torch.Tensor) -> tuple[Features, torch.Tensor]:
    """Return the same inputs of a tower without repeated cells.

    Args:
        pooled, missing: see `Tower.forward`.

    Returns:
        F features `[B, dim]`, and `[B, F]`, 1 where a feature has no value.
    """
    features, absent = [], list(missing.unbind(dim=1))
    for position, feature in enumerate(pooled):
        if isinstance(feature, Repeated):
            features.append(
                cell_of_row(feature.values, feature.of_row, feature.rows, feature.starts)
            )
            absent[position] = feature.missing[feature.of_row]
        else:
            features.append(feature)
    return features, torch.stack(absent, dim=1)
