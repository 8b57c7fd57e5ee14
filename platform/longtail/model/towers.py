"""The towers: from pooled feature embeddings to unit vectors."""

import itertools
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from longtail.model.augmentation import Mask

Features = Sequence[torch.Tensor]


class Tower(nn.Module):
    """A multilayer perceptron over the feature embeddings of one side.

    A feature without a value (missing, never seen, or masked) is replaced by its learned default.
    The first layer is linear in the features, so that it is the sum of what each adds to it: the
    default's part is computed once, not row by row, and masked views are sums of the same parts.

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

    def forward(self, pooled: Features, missing: torch.Tensor) -> torch.Tensor:
        """Unit vectors of feature rows.

        Args:
            pooled: F tensors `[B, dim]`, zero where a feature has no value.
            missing: `[B, F]`, 1 where a feature has no value, else 0.

        Returns:
            `[B, output_dim]`.
        """
        return self.rest(self.first(pooled, missing))

    def first(
        self, pooled: Features, missing: torch.Tensor, *, hidden: Sequence[bool] | None = None
    ) -> torch.Tensor:
        """The first layer's output before its nonlinearity, `[B, width]`.

        Args:
            pooled, missing: see `forward`.
            hidden: F flags, the features that are their learned defaults in all rows.
        """
        defaults = self._default_parts()
        shown = [not flag for flag in hidden or [False] * len(self.dims)]
        return self._part(pooled, missing, shown, defaults, self._constant(defaults, hidden or ()))

    def first_of_views(
        self,
        pooled: Features,
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
        defaults = self._default_parts()
        # Each view's constant is added with its part; the unmasked one then has both too many.
        constants = self._constant(defaults, mask.first), self._constant(defaults, mask.second)
        in_first = self._part(pooled, missing, mask.second, defaults, constants[0])
        in_second = self._part(pooled, missing, mask.first, defaults, constants[1])
        surplus = constants[0] + constants[1] - self.input_layer.bias
        both = in_first[unmasked] + in_second[unmasked] - surplus
        first, second = in_first[masked], in_second[masked]
        in_neither = [not (a or b) for a, b in zip(mask.first, mask.second, strict=True)]
        if any(in_neither):
            rest = self._part(pooled, missing, in_neither, defaults)
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

    def _default_parts(self) -> Features:
        """What the default of each of the F features adds to the first layer, `[width]` each."""
        defaults = torch.block_diag(*self.default.split(self.dims))
        parts: Features = (defaults @ self.input_layer.weight.T).unbind()
        return parts

    def _part(
        self,
        pooled: Features,
        missing: torch.Tensor,
        flags: Sequence[bool],
        defaults: Features,
        constant: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """What the flagged features and a constant add to the first layer, `[B, width]`.

        One product: a missing feature is one more input, whose weight is the default's part.
        """
        chosen = [position for position, flag in enumerate(flags) if flag]
        if not chosen:
            nothing = missing.new_zeros(len(missing), self.input_layer.out_features)
            return nothing if constant is None else nothing + constant
        by_feature: Features = [self.input_layer.weight]
        absent = missing
        if len(chosen) < len(self.dims):
            # By lists of columns, not by an index, for which a GPU would have to wait.
            columns = self.input_layer.weight.split(self.dims, dim=1)
            by_feature = [columns[position] for position in chosen]
            absent = torch.stack([missing[:, position] for position in chosen], dim=1)
        values = torch.cat([*(pooled[position] for position in chosen), absent], dim=1)
        of_defaults = (defaults[position][:, None] for position in chosen)
        weight = torch.cat([*by_feature, *of_defaults], dim=1)
        return functional.linear(values, weight, constant)

    def _constant(self, defaults: Features, hidden: Sequence[bool] = ()) -> torch.Tensor:
        """What all rows have in common, `[width]`: the bias, and the hidden features' defaults."""
        constant: torch.Tensor = self.input_layer.bias
        for position, flag in enumerate(hidden):
            if flag:
                constant = constant + defaults[position]
        return constant
