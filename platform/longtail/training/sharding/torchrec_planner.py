"""From the configuration to TorchRec's planner: its constraints and its memory model.

Nothing here needs a process group, a GPU or a table in memory, so that a plan can be made for a
cluster that nobody has rented yet.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.distributed.optim import _apply_optimizer_in_backward as apply_optimizer_in_backward
from torchrec import EmbeddingBagCollection
from torchrec.distributed.planner import EmbeddingShardingPlanner
from torchrec.distributed.planner.constants import DEFAULT_PERF_ESTIMATOR
from torchrec.distributed.planner.enumerators import EmbeddingEnumerator
from torchrec.distributed.planner.shard_estimators import (
    EmbeddingPerfEstimatorFactory,
    EmbeddingStorageEstimator,
)
from torchrec.distributed.planner.storage_reservations import FixedAbsoluteStorageReservation
from torchrec.distributed.planner.types import (
    ParameterConstraints,
    ShardingOption,
    Storage,
)
from torchrec.distributed.types import CacheParams
from torchrec.modules.embedding_configs import DataType, EmbeddingBagConfig
from torchrec.optim import RowWiseAdagrad

from longtail.config import Config, ShardingConfig
from longtail.errors import InputError
from longtail.features.schema import Schema
from longtail.model.two_tower import embedding_tables
from longtail.training.sharding.bag_exchange import BagsSharder
from longtail.training.sharding.cluster import Cluster

# What a CPU's kernels know; FBGEMM has no reduce-scatter of row shards there.
_CPU_TYPES = ("table_wise", "column_wise", "data_parallel")
_DEFAULT_TYPES = {"cpu": ("table_wise",), "cuda": ("table_wise", "row_wise", "table_row_wise")}
_OPTIMIZERS = {"adagrad": torch.optim.Adagrad, "row_wise_adagrad": RowWiseAdagrad}
_DATA_TYPES = {"fp32": DataType.FP32, "fp16": DataType.FP16}


def tables_of(
    schema: Schema, num_rows: Mapping[str, int], sharding: ShardingConfig
) -> list[EmbeddingBagConfig]:
    """The model's embedding tables, in the data types that are configured.

    Raises:
        InputError: the configuration speaks of a table that there is not.
    """
    unknown = sorted(set(sharding.tables) - set(schema.tables))
    if unknown:
        raise InputError(
            f"`sharding.tables.{unknown[0]}`: there is no such embedding table; there are "
            f"{', '.join(schema.tables)}"
        )
    tables = embedding_tables(schema, dict(num_rows))
    for table in tables:
        table.data_type = _DATA_TYPES[sharding.of(table.name).data_type or "fp32"]
    return tables


def unallocated_bags(
    tables: Sequence[EmbeddingBagConfig], sharding: ShardingConfig, *, learning_rate: float
) -> EmbeddingBagCollection:
    """The tables on the meta device, which has no memory, with the optimizer that lives in them."""
    bags = EmbeddingBagCollection(tables=list(tables), device=torch.device("meta"))
    apply_optimizer_in_backward(
        _OPTIMIZERS[sharding.optimizer], bags.parameters(), {"lr": learning_rate}
    )
    return bags


def table_optimizer(
    parameters: Any, sharding: ShardingConfig, *, learning_rate: float
) -> torch.optim.Optimizer:
    """The same optimizer for tables that every rank holds whole, which FBGEMM does not update."""
    optimizer: torch.optim.Optimizer = _OPTIMIZERS[sharding.optimizer](parameters, lr=learning_rate)
    return optimizer


def constraints(
    tables: Sequence[EmbeddingBagConfig],
    sharding: ShardingConfig,
    device: str,
    *,
    pooling: Mapping[str, float],
    chosen: Mapping[str, str] | None = None,
) -> dict[str, ParameterConstraints]:
    """What the planner may do with each table.

    Args:
        tables: of the model.
        sharding: the configuration.
        device: `cpu` or `cuda`.
        pooling: values looked up a row of the batch, by feature key.
        chosen: sharding types that an earlier start of the same run has chosen, by table: they
            stay, since optimizer state depends on them.

    Raises:
        InputError: the device has none of the types or kernels that are configured.
    """
    return {
        table.name: _constraint(table, sharding, device, pooling, (chosen or {}).get(table.name))
        for table in tables
    }


def _constraint(
    table: EmbeddingBagConfig,
    sharding: ShardingConfig,
    device: str,
    pooling: Mapping[str, float],
    chosen: str | None,
) -> ParameterConstraints:
    settings = sharding.of(table.name)
    types = (chosen,) if chosen else settings.sharding_types or _DEFAULT_TYPES[device]
    kernels = settings.compute_kernels or ("fused",)
    if device == "cpu":
        types = tuple(name for name in types if name in _CPU_TYPES)
        if not types or "fused" not in kernels:
            wanted = chosen or " or ".join(settings.sharding_types or _DEFAULT_TYPES[device])
            raise InputError(
                f"table {table.name} is to be {wanted}, {' or '.join(kernels)} (`sharding`), which "
                f"a CPU does not have: there it is one of {', '.join(_CPU_TYPES)}, and fused"
            )
    load_factor = settings.cache_load_factor
    # Tables that every rank holds whole know one kernel, which is named otherwise.
    dense = ("dense",) if "data_parallel" in types else ()
    return ParameterConstraints(
        sharding_types=list(types),
        compute_kernels=[*kernels, *dense],
        min_partition=settings.min_partition,
        pooling_factors=[pooling.get(feature, 1.0) for feature in table.feature_names],
        cache_params=CacheParams(load_factor=load_factor) if load_factor else None,
    )


class StorageEstimator(EmbeddingStorageEstimator):  # type: ignore[misc]
    """TorchRec's estimate of a shard's memory, with what it leaves out of fp16 tables.

    It takes optimizer state to have the weights' data type; FBGEMM keeps it in fp32 always.
    """

    def estimate(self, sharding_options: list[ShardingOption], sharder_data_map: Any) -> None:
        """Fill in the storage of all shards."""
        super().estimate(sharding_options, sharder_data_map=sharder_data_map)
        for option in sharding_options:
            missing = torch.float32.itemsize - option.tensor.element_size()
            if missing <= 0:
                continue
            optimizer = getattr(option.tensor, "_optimizer_classes", [None])[0]
            for shard in option.shards:
                rows, columns = shard.size
                more = missing * rows * (1 if optimizer is RowWiseAdagrad else columns)
                in_hbm = option.compute_kernel == "fused" and shard.storage.hbm > 0
                shard.storage += Storage(hbm=more, ddr=0) if in_hbm else Storage(hbm=0, ddr=more)


def make_planner(
    cluster: Cluster,
    table_constraints: Mapping[str, ParameterConstraints],
    *,
    batch_size: int,
    reserved_bytes: int,
) -> EmbeddingShardingPlanner:
    """The planner for a cluster.

    Args:
        cluster: where the model is to be trained.
        table_constraints: by table.
        batch_size: rows of a batch's KeyedJaggedTensor.
        reserved_bytes: memory of a rank that its tables may not have.
    """
    topology = cluster.topology()
    if cluster.device == "cpu":  # TorchRec's reservations are of device memory alone
        for host in topology.devices:
            host.storage.ddr = max(0, host.storage.ddr - reserved_bytes)
    known = dict(table_constraints)
    return EmbeddingShardingPlanner(
        topology=topology,
        batch_size=batch_size,
        constraints=known,
        enumerator=EmbeddingEnumerator(
            topology=topology,
            batch_size=batch_size,
            constraints=known,
            estimator=[
                EmbeddingPerfEstimatorFactory.create(
                    DEFAULT_PERF_ESTIMATOR, topology=topology, constraints=known
                ),
                StorageEstimator(topology=topology, constraints=known),
            ],
        ),
        storage_reservation=FixedAbsoluteStorageReservation(reserved_bytes),
        stats=[],
    )


def sharders() -> list[BagsSharder]:
    """What turns planned tables into sharded ones."""
    return [BagsSharder()]


def batch_rows(config: Config) -> int:
    """Rows of a batch's KeyedJaggedTensor, repeats not yet taken out."""
    return (
        config.training.batch_size
        + config.sample_size * config.self_supervision.augmenter.num_copies
    )


def pooling_of(config: Config, schema: Schema, lengths: Mapping[str, float]) -> dict[str, float]:
    """Values looked up a row of the batch, by feature key.

    A query's features fill only the first rows of a batch, which is as long as its item side.

    Args:
        config: the batch's sizes.
        schema: the features.
        lengths: values a row of the data, by feature key.
    """
    share = config.training.batch_size / batch_rows(config)
    return {
        feature.key: lengths.get(feature.key, 1.0) * (share if feature.side == "query" else 1.0)
        for feature in schema.features
    }
