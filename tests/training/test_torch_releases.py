"""The code fits torch 2.11 and 2.13: what one of them lacks is not asked of it."""

import copy

import pytest
import torch
from torch.torch_version import TorchVersion
from torchrec.distributed.planner.types import Topology

from longtail.training import torch_releases
from longtail.training.sharding.torchrec_planner import ReservedDeviceMemory
from longtail.training.torch_releases import has_fused_adagrad, shutdown_timeout

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("version", "on_cuda", "options"),
    [("2.11.0+cu130", False, []), ("2.13.0+cpu", True, ["--shutdown-timeout=3600"])],
)
def test_what_a_release_has(
    version: str, on_cuda: bool, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_releases, "_torch_version", lambda: TorchVersion(version))
    assert has_fused_adagrad(CPU)
    assert has_fused_adagrad(CUDA) == on_cuda
    assert shutdown_timeout(3600) == options


def test_torchrun_knows_the_option_that_it_is_given() -> None:
    from torch.distributed.run import get_args_parser

    parser = get_args_parser()
    assert ("--shutdown-timeout" in parser.format_help()) == bool(shutdown_timeout(1))


@pytest.mark.parametrize(("num_bytes", "left"), [(0, 1000), (300, 700), (1001, 0)])
def test_reserved_memory_is_taken_off_every_device(num_bytes: int, left: int) -> None:
    topology = Topology(world_size=2, compute_device="cuda", hbm_cap=1000, ddr_cap=5000)
    before = copy.deepcopy(topology)
    reserved = ReservedDeviceMemory(num_bytes).reserve(topology, 8, torch.nn.Linear(1, 1), [], {})
    assert [device.storage.hbm for device in reserved.devices] == [left, left]
    assert [device.storage.ddr for device in reserved.devices] == [5000, 5000]
    assert [d.storage for d in topology.devices] == [d.storage for d in before.devices]
