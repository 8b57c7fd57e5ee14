"""The ranks that train a model, their memory, and the part that is not for tables."""

import itertools
import os
from dataclasses import dataclass

import torch
from torchrec.distributed.planner import Topology
from torchrec.distributed.planner.types import (
    HardwareConfig,
    KernelConfig,
    TopologyFactory,
    TrainerConfig,
)

from longtail.config import Config, ShardingConfig
from longtail.dataset.dropout import num_copies
from longtail.features.schema import Schema

GIGABYTE = 2**30
_HOST_GIGABYTES = 128  # TorchRec's default


@dataclass(frozen=True)
class Cluster:
    """The ranks that a model is to be trained on.

    Attributes:
        world_size: the number of ranks.
        local_world_size: the number of ranks on each machine.
        device: `cpu` or `cuda`.
        hbm_bytes: device memory of a rank. 0 on a CPU.
        ddr_bytes: host memory of a rank.
    """

    world_size: int
    local_world_size: int
    device: str
    hbm_bytes: int
    ddr_bytes: int

    def topology(self) -> Topology:
        """Return TorchRec's description of the cluster."""
        return TopologyFactory.create_topology(
            TrainerConfig(
                world_size=self.world_size,
                local_world_size=self.local_world_size,
                hbm_cap_bytes=self.hbm_bytes,
                ddr_cap_bytes=self.ddr_bytes,
            ),
            HardwareConfig(),
            KernelConfig(compute_device=self.device),
        )


def this_cluster(config: Config, device: torch.device, world_size: int) -> Cluster:
    """Return the cluster that this rank belongs to, as torchrun has started it."""
    sharding = config.sharding
    hbm = 0
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        hbm = int(sharding.hbm_gb * GIGABYTE) if sharding.hbm_gb else total
    local = int(os.environ.get("LOCAL_WORLD_SIZE", min(world_size, config.training.num_ranks)))
    return Cluster(
        world_size=world_size,
        local_world_size=min(world_size, local),
        device=device.type,
        hbm_bytes=hbm,
        ddr_bytes=host_bytes(sharding),
    )


def host_bytes(sharding: ShardingConfig) -> int:
    """Return the host memory of a rank: as configured, or TorchRec's default of 128 GB."""
    return int((sharding.ddr_gb or _HOST_GIGABYTES) * GIGABYTE)


def reserved_bytes(config: Config, schema: Schema, cluster: Cluster) -> int:
    """Return the memory of a rank that is kept for other things than tables."""
    memory = cluster.hbm_bytes if cluster.device == "cuda" else cluster.ddr_bytes
    return max(int(config.sharding.reserved_share * memory), tower_bytes(config, schema))


def tower_bytes(config: Config, schema: Schema) -> int:
    """Return a rough estimate of a rank's memory beside its tables: towers, activations, logits.

    - A tower's parameter takes four numbers: weight, gradient, Adagrad's sum, and its place in the
      buckets of the all-reduce.
    - An activation takes two: it stays until its gradient has been computed.
    - A logit, of an example and a candidate, takes four: score, exclusion, probability, gradient.
    """
    numbers = 0
    sampled = config.sample_size
    views = 3 if config.self_supervision.augmenter.contrasts else 1
    candidates = config.training.batch_size + (sampled if config.loss.mixed_negatives else 0)
    rows = {"query": config.training.batch_size, "item": config.training.batch_size}
    rows["item"] += sampled * max(views, num_copies(config, schema))
    # Both towers: their layers, the activations, and the dense inputs.
    for side in ("query", "item"):
        dims = sum(feature.dim for feature in schema.side(side))
        widths = [dims, *config.model.hidden, config.model.output_dim]
        if side == "item" and config.model.item_bias == "learned":
            widths[-1] += 1
        numbers += 4 * sum((a + 1) * b for a, b in itertools.pairwise(widths))
        numbers += 2 * rows[side] * sum(widths)
        numbers += rows[side] * sum(f.length for f in schema.side(side) if f.is_dense)
    numbers += sum(4 * f[0].dim * f[0].length for f in schema.projections.values())
    numbers += 4 * config.training.batch_size * candidates
    return numbers * torch.float32.itemsize
