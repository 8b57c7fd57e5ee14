"""Copies a state into host memory, where it does not change while training goes on."""

from copy import deepcopy
from typing import Any

import torch
from torch.distributed._shard.metadata import ShardMetadata
from torch.distributed._shard.sharded_tensor import Shard
from torch.distributed._shard.sharded_tensor.api import ShardedTensor
from torch.distributed.remote_device import _remote_device
from torch.distributed.tensor import DTensor


def snapshot(state: dict[str, Any]) -> dict[str, Any]:
    """Copy all tensors of a state into host memory.

    `torch.distributed.checkpoint.async_save` copies plain tensors in the same way. But it fails on
    a `ShardedTensor` on the CPU (torch 2.13), and TorchRec keeps tables in those.

    Args:
        state: nested dicts and lists with this rank's live tensors.

    Returns:
        A state of the same structure, which makes the same checkpoint. All copies, also those from
        a GPU, are complete when the call returns.
    """
    copied: dict[str, Any] = _copied(state)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return copied


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_copied(entry) for entry in value)
    if isinstance(value, ShardedTensor):
        return _copied_shards(value)
    if isinstance(value, DTensor):
        return value.detach().clone()
    if isinstance(value, torch.Tensor):
        return _in_host_memory(value)
    return deepcopy(value)


def _in_host_memory(tensor: torch.Tensor) -> torch.Tensor:
    # In page-locked memory, copies from a GPU run one after another at the full speed of the bus.
    copy = torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda, requires_grad=False)
    copy.copy_(tensor.detach(), non_blocking=True)
    return copy


def _copied_shards(tensor: ShardedTensor) -> ShardedTensor:
    metadata = deepcopy(tensor.metadata())
    metadata.shards_metadata = [_on_cpu(shard) for shard in metadata.shards_metadata]
    shards = [
        Shard(_in_host_memory(shard.tensor), _on_cpu(shard.metadata))
        for shard in tensor.local_shards()
    ]
    # Copies from a GPU are page-locked, and a ShardedTensor compares its shards with what is said.
    metadata.tensor_properties.pin_memory = any(shard.tensor.is_pinned() for shard in shards)
    return ShardedTensor._init_from_local_shards_and_global_metadata(
        shards, metadata, process_group=tensor._process_group
    )


def _on_cpu(shard: ShardMetadata) -> ShardMetadata:
    assert shard.placement is not None
    place = _remote_device(f"rank:{shard.placement.rank()}/cpu")
    return ShardMetadata(list(shard.shard_offsets), list(shard.shard_sizes), place)
