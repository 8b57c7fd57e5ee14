"""Builds the sharded model: TorchRec's planner places the tables, and FBGEMM updates them."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torchrec.distributed.model_parallel import DistributedModelParallel
from torchrec.distributed.planner.types import PlannerError
from torchrec.distributed.types import ShardingPlan
from torchrec.modules.embedding_configs import EmbeddingBagConfig
from torchrec.optim.keyed import CombinedOptimizer, KeyedOptimizerWrapper
from torchrec.optim.optimizers import in_backward_optimizer_filter

from longtail.artifacts import read_json, write_json
from longtail.augmentation.masking_plan import MaskingPlan
from longtail.config import Config
from longtail.dataset.training_set import TrainingSet
from longtail.encoder.tensor_names import table_tensor
from longtail.errors import LongtailError
from longtail.model.two_tower import TwoTower
from longtail.training.optimization.weight_decay import add_weight_decay
from longtail.training.process_setup import product_dtype
from longtail.training.sharding.cluster import reserved_bytes, this_cluster
from longtail.training.sharding.gathered_candidates import candidates_of_all_ranks
from longtail.training.sharding.torchrec_planner import (
    batch_rows,
    constraints,
    make_planner,
    pooling_of,
    sharders,
    table_optimizer,
    tables_of,
    unallocated_bags,
)
from longtail.training.torch_releases import has_fused_adagrad

log = logging.getLogger("longtail.training")


def build_model(
    training_set: TrainingSet,
    config: Config,
    *,
    num_rows: dict[str, int],
    plan: MaskingPlan,
    device: torch.device,
    plan_file: Path | None = None,
) -> tuple[DistributedModelParallel, CombinedOptimizer]:
    """Build the two-tower model, shard it over the process group, and attach its optimizers.

    The tables are made on the meta device, so that a rank never holds a table that is not its own.
    They learn inside FBGEMM's backward pass. The towers, and tables that every rank holds whole,
    learn through a plain optimizer.

    Args:
        training_set: its schema, and the number of values of its features, are read.
        config: the whole configuration.
        num_rows: the number of rows of each embedding table.
        plan: the masking plan.
        device: this rank's device.
        plan_file: rank 0 writes the sharding plan to this file. If an earlier start of the run has
            written it, every table keeps its sharding type, at any number of ranks.

    Returns:
        The sharded model, and one optimizer over tables and towers.

    Raises:
        InputError: the device does not have what the configuration asks for.
        LongtailError: the tables do not fit.
    """
    schema = training_set.schema
    tables = tables_of(schema, num_rows, config.sharding)
    bags = unallocated_bags(
        tables, config.sharding, learning_rate=config.training.table_learning_rate
    )
    masks = config.self_supervision.augmenter.masks([f.name for f in schema.item], plan)
    # The same seed everywhere, so that the towers start equal on every rank.
    torch.manual_seed(config.training.seed)
    across = config.loss.negatives_across_ranks and dist.get_world_size() > 1
    model = TwoTower(
        schema,
        config,
        bags,
        masks,
        product_dtype(config, device),
        of_all_ranks=candidates_of_all_ranks if across else None,
    )
    # The tables stay on the meta device until they are sharded.
    model.query_tower.to(device)
    model.item_tower.to(device)
    model.projections.to(device)
    sharding_plan = plan_sharding(model, tables, training_set, config, device, plan_file)
    # From here on the ranks draw different numbers: their tables' first weights, their dropout.
    torch.manual_seed(config.training.seed + dist.get_rank())
    sharded = DistributedModelParallel(
        model,
        device=device,
        plan=sharding_plan,
        sharders=sharders(),
        # A single rank has no gradients to average.
        init_data_parallel=dist.get_world_size() > 1,
    )
    return sharded, CombinedOptimizer(list(_optimizers(sharded, tables, config, device)))


def plan_sharding(
    model: nn.Module,
    tables: Sequence[EmbeddingBagConfig],
    training_set: TrainingSet,
    config: Config,
    device: torch.device,
    plan_file: Path | None = None,
) -> ShardingPlan:
    """Let TorchRec's planner on rank 0 place each table, and tell every rank.

    Args:
        model: the model, not sharded yet.
        tables: its embedding tables.
        training_set: the number of values of its features balances the ranks.
        config: the whole configuration.
        device: this rank's device.
        plan_file: as in `build_model`.

    Raises:
        InputError: the device does not have what the configuration asks for.
        LongtailError: the tables do not fit.
    """
    schema = training_set.schema
    cluster = this_cluster(config, device, dist.get_world_size())
    # A later start of the run keeps the types of the first one, since optimizer state depends on
    # them. All ranks read the file before rank 0 writes it anew.
    chosen: dict[str, str] = {}
    if plan_file is not None and plan_file.is_file():
        chosen = {entry["name"]: entry["sharding"] for entry in read_json(plan_file)["tables"]}
    dist.barrier()
    planner = make_planner(
        cluster,
        constraints(
            tables,
            config.sharding,
            device.type,
            pooling=pooling_of(config, schema, _lengths(training_set, cluster.world_size)),
            chosen=chosen,
        ),
        batch_size=batch_rows(config, schema),
        reserved_bytes=reserved_bytes(config, schema, cluster),
    )
    try:
        plan = planner.collective_plan(model, sharders(), dist.group.WORLD)
    except PlannerError as error:
        raise LongtailError(
            f"the embedding tables do not fit into {cluster.world_size} rank(s): `longtail plan "
            f"--world-size {cluster.world_size} --device {cluster.device}` lists what would"
        ) from error
    if plan_file is not None and dist.get_rank() == 0:
        write_json(plan_file, {"world_size": cluster.world_size, "tables": _record(plan)})
    return plan


def _lengths(training_set: TrainingSet, world_size: int) -> dict[str, float]:
    """Return the mean number of values a row, by feature key. The planner balances ranks by it."""
    if world_size == 1:  # there is nothing to balance
        return {}
    means: dict[str, float] = {}
    schema = training_set.schema
    for features, rows in (
        (schema.query, training_set.query_rows),
        (schema.item, training_set.item_rows),
    ):
        lengths = np.diff(rows.offsets).reshape(-1, rows.num_features).mean(axis=0)
        means |= {f.key: float(mean) for f, mean in zip(features, lengths, strict=True)}
    return means


def _record(plan: ShardingPlan) -> list[dict[str, Any]]:
    """Return what the plan file says of each table."""
    module_plan: Mapping[str, Any] = next(iter(plan.plan.values()))
    return [
        {
            "name": name,
            "sharding": sharding.sharding_type,
            "kernel": sharding.compute_kernel,
            "ranks": sharding.ranks,
        }
        for name, sharding in sorted(module_plan.items())
    ]


def _optimizers(
    sharded: DistributedModelParallel,
    tables: Sequence[EmbeddingBagConfig],
    config: Config,
    device: torch.device,
) -> Iterator[tuple[str, Any]]:
    """Yield the optimizers by name: of sharded tables, of towers, and of replicated tables if any.

    FBGEMM updates the sharded tables in its backward pass. So their optimizer here only keeps their
    state.
    """
    training = config.training
    fused = has_fused_adagrad(device)

    def tower_optimizer(parameters: Any) -> torch.optim.Optimizer:
        # Without the fused kernel, `foreach` is the next best: a few kernels for all tensors.
        optimizer = torch.optim.Adagrad(
            parameters,
            lr=training.tower_learning_rate,
            fused=fused,
            foreach=None if fused else True,
        )
        if training.weight_decay:
            add_weight_decay(optimizer, training.weight_decay)
        return optimizer

    yield "tables", sharded.fused_optimizer
    names = {table_tensor(table.name) for table in tables}
    plain = dict(in_backward_optimizer_filter(sharded.named_parameters()))
    yield (
        "towers",
        KeyedOptimizerWrapper(
            {name: value for name, value in plain.items() if name not in names},
            tower_optimizer,
        ),
    )
    replicated = {name: value for name, value in plain.items() if name in names}
    if replicated:
        yield (
            "replicated_tables",
            KeyedOptimizerWrapper(
                replicated,
                lambda parameters: table_optimizer(
                    parameters, config.sharding, learning_rate=training.table_learning_rate
                ),
            ),
        )
