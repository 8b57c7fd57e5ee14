"""The towers: from pooled feature embeddings to unit vectors."""

import itertools
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from longtail.model.augmentation import Mask


class Tower(nn.Module):
    """A multilayer perceptron over the concatenated feature embeddings of one side.

    A feature without a value (missing, never seen, or masked) is replaced by its learned default.

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

    def columns(self, feature: int) -> slice:
        """Where the embedding of a feature, by its position, stands in the concatenation."""
        first = sum(self.dims[:feature])
        return slice(first, first + self.dims[feature])

    def fill(self, pooled: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Put the learned default where a feature has no value.

        Args:
            pooled: `[B, sum(dims)]`, zero where a feature has no value.
            present: `[B, F]` bool.
        """
        missing = (~present).to(pooled.dtype)
        return torch.addmm(pooled, missing, torch.block_diag(*self.default.split(self.dims)))

    def first(self, filled: torch.Tensor) -> torch.Tensor:
        """`[B, sum(dims)]` to the first layer's output before its nonlinearity."""
        first: torch.Tensor = self.input_layer(filled)
        return first

    def rest(self, first: torch.Tensor) -> torch.Tensor:
        """From the first layer's output to unit vectors `[B, output_dim]`."""
        hidden = first
        for layer in self.layers:
            hidden = layer(functional.relu(hidden))
        return functional.normalize(hidden, dim=-1)

    def forward(self, pooled: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """`[B, sum(dims)]` pooled embeddings to `[B, output_dim]` unit vectors."""
        return self.rest(self.first(self.fill(pooled, present)))

    def first_masked(self, filled: torch.Tensor, hidden: Sequence[bool]) -> torch.Tensor:
        """`first` of a view in which the hidden features are their learned defaults.

        Args:
            filled: `[B, sum(dims)]`, of `fill`.
            hidden: F flags.
        """
        shown = ~torch.tensor(hidden)
        return self._part(filled, shown) + self._part(self.default[None], ~shown) + self._bias

    def first_by_mask(
        self, filled: torch.Tensor, mask: Mask
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The first layer of three views for the price of one (DESIGN.md, section 3).

        The layer is a sum over features, so it splits into the parts of the features that the one,
        the other, and neither view hides; a view that hides a part has the defaults' in its place,
        which is the same for all rows.

        Args:
            filled: `[B, sum(dims)]`, of `fill`.
            mask: what the two views hide; no feature is hidden in both.

        Returns:
            The unmasked view, the first and the second masked view, each as `first` returns it.
        """
        first, second = torch.tensor(mask.first), torch.tensor(mask.second)
        in_first, in_second = self._part(filled, second), self._part(filled, first)
        in_both = self._part(filled, ~(first | second)) + self._bias
        default = self.default[None]
        return (
            in_first + in_second + in_both,
            in_first + in_both + self._part(default, first),
            in_second + in_both + self._part(default, second),
        )

    def _part(self, inputs: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """What the given features (F flags) of `[B, sum(dims)]` inputs add to the first layer."""
        columns = features.repeat_interleave(torch.tensor(self.dims)).nonzero().ravel()
        columns = columns.to(inputs.device)
        return inputs[:, columns] @ self.input_layer.weight[:, columns].T

    @property
    def _bias(self) -> torch.Tensor:
        return self.input_layer.bias
