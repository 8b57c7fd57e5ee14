"""In-batch negatives across ranks: every rank scores its examples against all ranks' candidates."""

from typing import Any

import torch
import torch.distributed as dist
from torch.autograd.function import once_differentiable
from torch.nn import functional


def candidates_of_all_ranks(own: torch.Tensor, num_candidates: int) -> torch.Tensor:
    """All ranks' candidate vectors, in the order of the ranks; every rank calls it.

    Args:
        own: `[rows, dim]`, this rank's.
        num_candidates: C, a multiple of the number of ranks: each has as many places.

    Returns:
        `[C, dim]`. A rank's gradient is the sum of what all ranks' losses give its candidates, so
        that averaging the parameters' gradients over ranks gives that of the mean loss.
    """
    surplus = num_candidates // dist.get_world_size() - len(own)
    every: torch.Tensor = _AllRanks.apply(  # type: ignore[no-untyped-call]
        functional.pad(own, (0, 0, 0, surplus))
    )
    return every


class _AllRanks(torch.autograd.Function):
    """All-gather whose gradient is a reduce-scatter.

    `torch.distributed.nn.functional.all_gather` sends each rank a list of tensors, which then have
    to be joined, and on gloo has no reduce-scatter.
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
