"""The towers: from pooled feature embeddings to unit vectors."""

import itertools
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional


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

    def first_by_mask(
        self, filled: torch.Tensor, masked: Sequence[bool]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The first layer of three views for the price of one (DESIGN.md, section 3).

        The layer is a sum over features, so it splits into the part of the masked features and
        the part of the others; each masked view is one part plus a constant, the defaults'.

        Args:
            filled: `[B, sum(dims)]`, of `fill`.
            masked: F flags: True where the first view masks the feature (the second view masks
                exactly the others).

        Returns:
            The unmasked view, the first and the second masked view, each as `first` returns it.
        """
        columns = torch.tensor(masked).repeat_interleave(torch.tensor(self.dims))
        inside = columns.nonzero().ravel().to(filled.device)
        outside = (~columns).nonzero().ravel().to(filled.device)
        weight, bias = self.input_layer.weight, self.input_layer.bias
        part_inside = filled[:, inside] @ weight[:, inside].T
        part_outside = filled[:, outside] @ weight[:, outside].T
        default_inside = weight[:, inside] @ self.default[inside]
        default_outside = weight[:, outside] @ self.default[outside]
        return (
            part_inside + part_outside + bias,
            part_outside + (default_inside + bias),
            part_inside + (default_outside + bias),
        )
