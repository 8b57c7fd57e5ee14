"""A snapshot of a state on a GPU, shown on a CPU: its copies in host memory are page-locked."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed._shard.sharded_tensor.api import ShardedTensor
from torch.distributed.checkpoint._nested_dict import flatten_state_dict

from longtail.training.state_snapshot import snapshot
from tests.training.small_training import SmallTraining, small_config


@pytest.fixture
def state(tmp_path: Path, one_rank: None) -> dict[str, Any]:
    """Model and optimizer state after an epoch; tables are ShardedTensors."""
    del one_rank
    training = SmallTraining(small_config(tmp_path / "home"))
    training.train(1)
    return {"model": training.model.state_dict(), "optim": training.optimizer.state_dict()}


@pytest.mark.parametrize("pinned", [False, True])
def test_the_copies_are_equal_and_their_metadata_says_whether_they_are_pinned(
    pinned: bool, state: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda self: pinned)
    live, _ = flatten_state_dict(state)
    copied, _ = flatten_state_dict(snapshot(state))
    assert copied.keys() == live.keys()
    num_sharded = 0
    for name, value in live.items():
        if isinstance(value, ShardedTensor):
            num_sharded += 1
            assert copied[name].metadata().tensor_properties.pin_memory == pinned
            for shard, copy in zip(value.local_shards(), copied[name].local_shards(), strict=True):
                assert torch.equal(shard.tensor, copy.tensor)
                assert shard.tensor.data_ptr() != copy.tensor.data_ptr()
        elif isinstance(value, torch.Tensor):
            assert torch.equal(value, copied[name])
    assert num_sharded > 0
