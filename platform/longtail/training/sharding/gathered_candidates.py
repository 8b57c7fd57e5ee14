"""Gathers the candidates of all ranks, so that each rank has them as in-batch negatives."""

from typing import Any

import torch
import torch.distributed as dist
from torch.autograd.function import once_differentiable
from torch.nn import functional


def candidates_of_all_ranks(own: torch.Tensor, num_candidates: int) -> torch.Tensor:
    """Return the candidate vectors of all ranks, in the order of the ranks. Every rank calls it.

    Args:
        own: `[rows, dim]`, this rank's candidates.
        num_candidates: C, a multiple of the number of ranks. Each rank has an equal share of
            places, and fills what it does not use with zeros.

    Returns:
        `[C, dim]`. The gradient of `own` is the sum over all ranks' losses. So the mean of the
        parameters' gradients over ranks is the gradient of the mean loss.
    """
    surplus = num_candidates // dist.get_world_size() - len(own)
    every: torch.Tensor = _AllRanks.apply(  # type: ignore[no-untyped-call]
        functional.pad(own, (0, 0, 0, surplus))
    )
    return every


class _AllRanks(torch.autograd.Function):
    """An all-gather with a reduce-scatter as its gradient.

    `torch.distributed.nn.functional.all_gather` gives each rank a list of tensors, which would have
    to be joined. On gloo it also has no reduce-scatter.
    """

    @staticmethod
    def forward(ctx: Any, own: torch.Tensor) -> torch.Tensor:
        del ctx
        every = own.new_empty(dist.get_world_size() * len(own), own.shape[1])
        dist.all_gather_into_tensor(every, own.contiguous())
        return every

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        del ctx
        own = gradient.new_empty(len(gradient) // dist.get_world_size(), gradient.shape[1])
        dist.reduce_scatter_tensor(own, gradient.contiguous())
        return own
