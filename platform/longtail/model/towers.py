"""The towers: from the embeddings of features to unit vectors, and to an item's bias."""

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from longtail.augmentation.masks import Mask
from longtail.model.repeated_features import Inputs, Repeated, parts_of_cells


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
        dropout: probability that training leaves out a neuron of a hidden layer.
        has_bias: whether the tower gives a row one number more, its bias, which is added to its
            cosines. A row's vector is then longer by one.
    """

    def __init__(
        self,
        dims: Sequence[int],
        hidden: Sequence[int],
        output_dim: int,
        *,
        dropout: float = 0.0,
        has_bias: bool = False,
    ) -> None:
        super().__init__()
        self.dims = tuple(dims)
        self.dropout = dropout
        self.output_dim = output_dim
        widths = [sum(dims), *hidden, output_dim]
        self.default = nn.Parameter(torch.empty(sum(dims)).uniform_(-0.01, 0.01))
        self.input_layer = nn.Linear(widths[0], widths[1])
        self.layers = nn.ModuleList(
            nn.Linear(before, after) for before, after in itertools.pairwise(widths[1:])
        )
        # Does nothing. A hook on it sees the vectors before they are scaled to length one.
        self.unscaled = nn.Identity()
        self.bias_head = BiasHead(widths[-2]) if has_bias else None

    def columns(self, feature: int) -> slice:
        """Return the columns of a feature, given by position, among all embeddings side by side."""
        first = sum(self.dims[:feature])
        return slice(first, first + self.dims[feature])

    def forward(self, pooled: Inputs, missing: torch.Tensor) -> torch.Tensor:
        """Return the vectors of feature rows: of length one, followed by the bias if there is one.

        Args:
            pooled: F features of B rows.
            missing: `[B, F]`, 1 where a feature has no value, else 0. The column of a feature with
                repeated cells is not read: the cells know it.

        Returns:
            `[B, output_dim]`, or `[B, output_dim + 1]` with a bias.
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
        return self.first_by_group(pooled, missing, [hidden], [len(missing)])

    def first_by_group(
        self,
        pooled: Inputs,
        missing: torch.Tensor,
        hidden: Sequence[Sequence[bool]],
        sizes: Sequence[int],
    ) -> torch.Tensor:
        """Return the first layer's output of rows that hide features by group, `[B, width]`.

        Args:
            pooled, missing: see `forward`. With more than one group no feature has repeated cells.
            hidden: F flags by group, the features that are their learned defaults in its rows.
            sizes: the number of rows of each group. Together the groups are all B rows, in order.
        """
        part_of = [[None if flag else 0 for flag in flags] for flags in hidden]
        (part,) = self._parts(pooled, missing, sizes, part_of, [self._constants(hidden)])
        return part

    def first_of_views(
        self,
        pooled: Inputs,
        missing: torch.Tensor,
        masks: Sequence[Mask],
        sizes: Sequence[int],
        *,
        masked: slice,
        unmasked: slice,
    ) -> list[torch.Tensor]:
        """Return the first layer of three views for the price of one (METHOD.md).

        The sum over features is computed in three parts: of those that the first view hides, that
        the second view hides, and that neither hides. A view that hides a part has the sum of the
        defaults in its place, which is the same for all rows of a mask.

        Args:
            pooled, missing: see `forward`.
            masks: the features that each view hides, by group of rows; no feature is hidden in
                both.
            sizes: the number of rows of each group. Together the groups are all B rows, in order.
            masked: the M rows to return the masked views of.
            unmasked: the U rows to return the unmasked view of, from the first row on.

        Returns:
            The first and the second masked view, each `[M, width]`, and the unmasked view
            `[U, width]`, each as `first` returns it.
        """
        # Parts: features that the first view alone shows, the second alone, and both.
        part_of = [
            [1 if a else 0 if b else 2 for a, b in zip(mask.first, mask.second, strict=True)]
            for mask in masks
        ]
        of_first = self._constants([mask.first for mask in masks])
        of_second = self._constants([mask.second for mask in masks])
        constants: list[Sequence[torch.Tensor | None]] = [of_first, of_second]
        if any(2 in own for own in part_of):
            constants.append([None] * len(masks))
        in_first, in_second, *in_both = self._parts(pooled, missing, sizes, part_of, constants)

        # The unmasked view is the sum of both, which has both constants where the bias should be.
        ends = [min(end, unmasked.stop) for end in itertools.accumulate(sizes, initial=0)]
        shown = [end - start for start, end in itertools.pairwise(ends)]
        sums = zip(in_first[unmasked].split(shown), in_second[unmasked].split(shown), strict=True)
        both = _joined(
            [
                a + b - (one + other - self.input_layer.bias)
                for (a, b), one, other in zip(sums, of_first, of_second, strict=True)
            ]
        )
        views = [in_first[masked], in_second[masked], both]
        if not in_both:
            return views
        rows = masked, masked, unmasked
        return [view + in_both[0][part] for view, part in zip(views, rows, strict=True)]

    def rest(self, first: torch.Tensor) -> torch.Tensor:
        """Return the vectors of `forward` of the first layer's output `[B, width]`."""
        hidden = neurons = first
        for layer in self.layers:
            neurons = self._thinned(functional.relu(hidden))
            hidden = layer(neurons)
        # In full precision, whatever the products are computed in.
        unit = functional.normalize(self.unscaled(hidden.to(self.default.dtype)), dim=-1)
        if self.bias_head is None:
            return unit
        return torch.cat([unit, self.bias_head(neurons).to(unit.dtype)], dim=1)

    def _thinned(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return a hidden layer, in training without the neurons that dropout has drawn."""
        # Without dropout no random number may be drawn: training would go on with others.
        if not self.dropout or not self.training:
            return hidden
        return functional.dropout(hidden, self.dropout)

    def _parts(
        self,
        pooled: Inputs,
        missing: torch.Tensor,
        sizes: Sequence[int],
        part_of: Sequence[Sequence[int | None]],
        constants: Sequence[Sequence[torch.Tensor | None]],
    ) -> list[torch.Tensor]:
        """Return the first layer in P parts: what some features and a constant add to it.

        Args:
            pooled, missing: see `forward`.
            sizes: the number of rows of each group; the groups are all B rows, in order.
            part_of: by group, the part that each of the F features belongs to, or None. A feature
                with repeated cells belongs to none in all groups, or in no group.
            constants: by part, the constant of each group.

        Returns:
            P tensors `[B, width]`.
        """
        rows = {p: f for p, f in enumerate(pooled) if not isinstance(f, Repeated)}
        cells = {
            position: feature
            for position, feature in enumerate(pooled)
            if isinstance(feature, Repeated) and part_of[0][position] is not None
        }
        if len(sizes) == 1:
            parts = [
                self._part_of_rows(
                    {p: f for p, f in rows.items() if part_of[0][p] == part}, missing, constant
                )
                for part, (constant,) in enumerate(constants)
            ]
        else:
            parts = self._parts_of_rows(rows, missing, sizes, part_of, constants)
        if not cells:
            return parts
        of_cells = parts_of_cells(
            self.input_layer.weight,
            {position: self.columns(position) for position in cells},
            self.default,
            cells,
            sizes,
            part_of,
            len(parts),
        )
        return [part + other for part, other in zip(parts, of_cells, strict=True)]

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

    def _parts_of_rows(
        self,
        rows: Mapping[int, torch.Tensor],
        missing: torch.Tensor,
        sizes: Sequence[int],
        part_of: Sequence[Sequence[int | None]],
        constants: Sequence[Sequence[torch.Tensor | None]],
    ) -> list[torch.Tensor]:
        """Do what `_part_of_rows` does for each part and group, and fill in and split only once."""
        defaults = self.default.split(self.dims)
        columns = self.input_layer.weight.split(self.dims, dim=1)
        by_group = {
            p: torch.addr(f, missing[:, p], defaults[p].to(f.dtype)).split([*sizes])
            for p, f in rows.items()
        }

        def part_of_group(part: int, group: int) -> torch.Tensor:
            chosen = [p for p in rows if part_of[group][p] == part]
            constant = constants[part][group]
            if not chosen:
                nothing = missing.new_zeros(sizes[group], self.input_layer.out_features)
                return nothing if constant is None else nothing + constant
            values = torch.cat([by_group[p][group] for p in chosen], dim=1)
            weight = torch.cat([columns[p] for p in chosen], dim=1)
            return functional.linear(values, weight, constant)

        groups = range(len(sizes))
        return [torch.cat([part_of_group(p, g) for g in groups]) for p in range(len(constants))]

    def _constants(self, hidden: Sequence[Sequence[bool]]) -> list[torch.Tensor]:
        """Return what the rows of each group have in common, each `[width]`.

        Args:
            hidden: the F flags of the hidden features, by group.
        """
        if len(hidden) == 1:
            # A product of one vector rounds differently, and one mask gives what it always gave.
            return [self._constant(hidden[0])]
        columns = torch.tensor(self.dims)
        flags = torch.tensor(hidden).repeat_interleave(columns, dim=1)
        # Without waiting for a GPU.
        flags = flags.to(self.default.device, non_blocking=True)
        return [*self.input_layer(flags * self.default).unbind()]

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


class BiasHead(nn.Module):
    """The last layer of an item's bias: one number from the neurons of the last hidden layer.

    It starts at zero, so that training starts from the scores of a model without a bias. It is a
    layer of its own, so that a warm start can add it to a model, or leave it out. Its number is
    added to a cosine, before the division by the temperature: counted in logits, a bias would need
    as many more steps as the temperature is below one, since Adagrad's steps are of one size.

    Args:
        width: neurons of the last hidden layer.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, width))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, neurons: torch.Tensor) -> torch.Tensor:
        """Return what the bias adds to a cosine, `[B, 1]`, for neurons `[B, width]`."""
        # In full precision, whatever the other products are computed in: it is a sum of many parts.
        with torch.autocast(neurons.device.type, enabled=False):
            return functional.linear(neurons.to(self.weight.dtype), self.weight, self.bias)


def _joined(groups: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the rows of all groups. One group is not copied."""
    return groups[0] if len(groups) == 1 else torch.cat([*groups])
