"""Sharding the model: TorchRec's planner places the tables, FBGEMM's optimizer lives in them."""

import logging
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.optim import _apply_optimizer_in_backward as apply_optimizer_in_backward
from torchrec import EmbeddingBagCollection
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.model_parallel import DistributedModelParallel
from torchrec.distributed.planner import EmbeddingShardingPlanner, Topology
from torchrec.distributed.planner.storage_reservations import FixedPercentageStorageReservation
from torchrec.distributed.planner.types import ParameterConstraints
from torchrec.distributed.types import ShardingPlan
from torchrec.modules.embedding_configs import EmbeddingBagConfig
from torchrec.optim.keyed import CombinedOptimizer, KeyedOptimizerWrapper
from torchrec.optim.optimizers import in_backward_optimizer_filter

from longtail.config import Config
from longtail.dataset.training_set import TrainingSet
from longtail.model.augmentation import masking
from longtail.model.two_tower import TwoTower, embedding_tables

log = logging.getLogger("longtail.training")

# The planner's estimate of what the towers and batches need beside the tables.
_RESERVED_SHARE = 0.15


def build_model(
    training_set: TrainingSet,
    config: Config,
    *,
    num_rows: dict[str, int],
    plan: dict[str, Sequence[str]],
    device: torch.device,
) -> tuple[DistributedModelParallel, CombinedOptimizer]:
    """Build the two-tower model, shard it over the process group, and attach its optimizers.

    The tables are made on the meta device, so that no rank ever holds one that is not its own.
    They learn inside FBGEMM's backward pass; the towers through a plain optimizer.

    Args:
        training_set: its schema is read.
        config: the whole configuration.
        num_rows: rows of each embedding table.
        plan: the masking plan, by seed feature.
        device: of this rank.

    Returns:
        The sharded model, and one optimizer over tables and towers.
    """
    schema = training_set.schema
    tables = embedding_tables(schema, num_rows)
    bags = EmbeddingBagCollection(tables=tables, device=torch.device("meta"))
    apply_optimizer_in_backward(
        torch.optim.Adagrad, bags.parameters(), {"lr": config.training.table_learning_rate}
    )
    masks = masking(config.self_supervision, [f.name for f in schema.item], plan)
    torch.manual_seed(config.training.seed)  # the towers start equal on every rank
    model = TwoTower(schema, config, bags, masks)
    model.query_tower.to(device)
    model.item_tower.to(device)
    sharders = [EmbeddingBagCollectionSharder()]
    sharding_plan = plan_sharding(model, tables, sharders, config, device)
    torch.manual_seed(config.training.seed + dist.get_rank())
    sharded = DistributedModelParallel(model, device=device, plan=sharding_plan, sharders=sharders)
    towers = KeyedOptimizerWrapper(
        dict(in_backward_optimizer_filter(sharded.named_parameters())),
        lambda parameters: torch.optim.Adagrad(parameters, lr=config.training.tower_learning_rate),
    )
    return sharded, CombinedOptimizer([("tables", sharded.fused_optimizer), ("towers", towers)])


def plan_sharding(
    model: nn.Module,
    tables: Sequence[EmbeddingBagConfig],
    sharders: list[EmbeddingBagCollectionSharder],
    config: Config,
    device: torch.device,
) -> ShardingPlan:
    """Ask TorchRec's planner on rank 0 where each table lives, and tell every rank."""
    world_size = dist.get_world_size()
    # A table keeps its sharding type across a resume, since optimizer state depends on it.
    constraints = {
        table.name: ParameterConstraints(sharding_types=["table_wise"]) for table in tables
    }
    planner = EmbeddingShardingPlanner(
        topology=Topology(
            world_size=world_size,
            local_world_size=min(world_size, config.training.num_ranks),
            compute_device=device.type,
        ),
        batch_size=config.training.batch_size + config.sample_size,
        constraints=constraints,
        storage_reservation=FixedPercentageStorageReservation(_RESERVED_SHARE),
    )
    return planner.collective_plan(model, sharders, dist.group.WORLD)
