"""A training on a synthetic catalogue, of any size and on any device, for the parts to drive."""

import gc
import itertools
import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed._shard.sharded_tensor.api import ShardedTensor
from torch.distributed.checkpoint._nested_dict import flatten_state_dict
from train_gpu_parts.catalogue import WEIGHT_BYTES, make_training_set, rows_for, schema_of
from training.ours import VARIANTS
from training.work import Work, endless, with_settings

from longtail.augmentation.masking_plan import masking_plan
from longtail.config import ComputeConfig, Config, ModelConfig, ShardingConfig, TrainingConfig
from longtail.dataset.batch import Batch
from longtail.model.two_tower import LossTerms
from longtail.training.batch_pipeline import OverlappedSteps, pinned
from longtail.training.loop import prefetched
from longtail.training.process_setup import prepare_cpu
from longtail.training.sharding.sharded_model import build_model

CPU = torch.device("cpu")
# More than any machine has: the planner has one rank and nothing to decide, and its estimate of a
# step's memory must not refuse a point that may well fit. A real lack of memory is reported.
_PLANNED_GIB = 16_384.0


@dataclass(frozen=True)
class Size:
    """The size of a synthetic training.

    Attributes:
        gigabytes: of all tables with their optimizer state, 10^9 bytes each.
        dim: embedding size.
        items: items, and queries, in use.
        batch_size: examples of a step.
        num_batches: steps of an epoch.
        hidden: width of the towers' hidden layer.
    """

    gigabytes: float
    dim: int
    items: int
    batch_size: int
    num_batches: int = 4
    hidden: int = 512


def tiny(num_batches: int = 4) -> Size:
    """Return the size of a training on a CPU, where only the code is tried."""
    return Size(0.002, dim=16, items=500, batch_size=64, num_batches=num_batches, hidden=32)


def device_of(device_type: str) -> torch.device:
    """Return the device that a part uses, and make it the current one."""
    if device_type != "cuda":
        # At tiny sizes a second thread only waits for the first.
        torch.set_num_threads(1)
        return CPU
    device = torch.device("cuda", 0)
    torch.cuda.set_device(device)
    return device


@contextmanager
def one_rank(device: torch.device) -> Iterator[None]:
    """Set up a process group of this process alone, as a training run on the device has it."""
    os.environ.setdefault("LOCAL_WORLD_SIZE", "1")
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    if device.type == "cpu":
        prepare_cpu(None)
    with tempfile.TemporaryDirectory() as folder:
        store = dist.FileStore(str(Path(folder) / "store"), 1)
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=0, world_size=1)
        try:
            yield
        finally:
            dist.destroy_process_group()
            torch.use_deterministic_algorithms(was_deterministic)


def synthetic_work(size: Size, *, products: str = "auto", uvm: bool = False) -> Work:
    """Make a training set in memory, and the configuration to train on it.

    Args:
        size: its size.
        products: `compute.products`.
        uvm: whether the tables live in host memory, cached on the device.
    """
    schema = schema_of(size.dim)
    num_rows = rows_for(size.gigabytes, size.dim, size.items)
    num_examples = size.batch_size * size.num_batches
    training_set = make_training_set(schema, num_rows, size.items, num_examples)
    default = {"compute_kernels": ("fused_uvm_caching",)} if uvm else {}
    config = Config(
        feature_repo=Path(),
        model=ModelConfig(hidden=(size.hidden,)),
        training=TrainingConfig(batch_size=size.batch_size),
        compute=ComputeConfig.model_validate({"products": products}),
        sharding=ShardingConfig.model_validate(
            {"hbm_gb": _PLANNED_GIB, "ddr_gb": _PLANNED_GIB, "default": default}
        ),
    )
    names = [feature.name for feature in schema.item]
    return Work(training_set, config, num_rows, masking_plan(names, np.eye(len(names))))


class Training:
    """Model, optimizer and batches of one rank. Needs `one_rank`.

    Args:
        work: the training set and its configuration.
        device: where it trains.
        variant: a name in `training.ours.VARIANTS`: `base` has neither self-supervision nor
            sampled items, `ssl` has both.
        batch_size: examples of a step; default: that of the configuration.
    """

    def __init__(
        self,
        work: Work,
        device: torch.device,
        *,
        variant: str = "ssl",
        batch_size: int | None = None,
    ) -> None:
        config = with_settings(work.config, **VARIANTS[variant])
        if batch_size is not None:
            config = with_settings(config, training={"batch_size": batch_size})
        self.work, self.config, self.device = work, config, device
        self.model: Any
        self.optimizer: Any
        self.model, self.optimizer = build_model(
            work.training_set, config, num_rows=work.num_rows, plan=work.plan, device=device
        )
        self.model.train()

    @property
    def batch_size(self) -> int:
        """Examples of a step."""
        return self.config.training.batch_size

    @property
    def table_bytes(self) -> int:
        """The bytes of all tables and of row-wise Adagrad's sums."""
        tables = self.work.training_set.schema.tables
        return sum(
            rows * WEIGHT_BYTES * (tables[name][0].dim + 1)
            for name, rows in self.work.num_rows.items()
        )

    def made(self) -> Iterator[Batch]:
        """Yield batches in host memory, epoch after epoch."""
        return endless(self.work, self.config)

    def ready(self, count: int) -> list[Batch]:
        """Return the first batches, pinned where they will be copied to a GPU."""
        return list(pinned(itertools.islice(self.made(), count), self.device))

    def train(self, batches: list[Batch]) -> list[float]:
        """Train on some batches. Return the total loss of each step."""
        losses = [terms.total.detach() for terms in self.running(iter(batches))]
        return [float(loss) for loss in losses]

    def running(self, batches: Iterator[Batch] | None = None) -> Generator[LossTerms]:
        """Yield the losses of step after step, as a training run on a GPU makes them.

        Also on a CPU the steps go through TorchRec's pipeline, so that its use is tried there.

        Args:
            batches: in host memory; default: those that a thread makes during the steps.
        """
        if batches is None:
            batches = prefetched(pinned(self.made(), self.device))
        steps = OverlappedSteps(self.model, self.optimizer, self.device)
        try:
            yield from steps(batches)
        finally:
            steps.detach()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the live tensors of model and optimizer on this rank, by name."""
        state = {"model": self.model.state_dict(), "optim": self.optimizer.state_dict()}
        flat, _ = flatten_state_dict(state)
        tensors = {}
        for name, value in flat.items():
            if isinstance(value, ShardedTensor):
                tensors[name] = value.local_shards()[0].tensor
            elif isinstance(value, torch.Tensor):
                tensors[name] = value
        return tensors


def free_memory(device: torch.device) -> None:
    """Give the memory of what is no longer used back to the device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def largest_difference(found: list[float], wanted: list[float]) -> float:
    """Return the largest relative difference of two lists of losses."""
    pairs = zip(found, wanted, strict=True)
    return max(abs(a - b) / max(abs(b), 1e-30) for a, b in pairs)
