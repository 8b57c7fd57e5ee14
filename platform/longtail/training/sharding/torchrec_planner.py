"""Sets up TorchRec's planner from the configuration: its constraints and its memory model.

Nothing here needs a process group, a GPU or a table in memory. So a plan can be made for a cluster
that has not been rented yet.
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
from torchrec.distributed.planner.storage_reservations import FixedPercentageStorageReservation
from torchrec.distributed.planner.types import (
    ParameterConstraints,
    ShardingOption,
    Storage,
    Topology,
)
from torchrec.distributed.types import CacheParams
from torchrec.modules.embedding_configs import DataType, EmbeddingBagConfig
from torchrec.optim import RowWiseAdagrad

from longtail.config import Config, ShardingConfig
from longtail.dataset.dropout import num_copies
from longtail.errors import InputError
from longtail.features.schema import Schema
from longtail.model.two_tower import embedding_tables
from longtail.training.sharding.bag_exchange import BagsSharder
from longtail.training.sharding.cluster import Cluster

# The types that FBGEMM's kernels for CPUs support. They have no reduce-scatter of row shards.
_CPU_TYPES = ("table_wise", "column_wise", "data_parallel")
_DEFAULT_TYPES = {"cpu": ("table_wise",), "cuda": ("table_wise", "row_wise", "table_row_wise")}
_OPTIMIZERS = {"adagrad": torch.optim.Adagrad, "row_wise_adagrad": RowWiseAdagrad}
_DATA_TYPES = {"fp32": DataType.FP32, "fp16": DataType.FP16}


def tables_of(
    schema: Schema, num_rows: Mapping[str, int], sharding: ShardingConfig
) -> list[EmbeddingBagConfig]:
    """Return the model's embedding tables, in the data types that are configured.

    Raises:
        InputError: the configuration names a table that does not exist.
    """
    unknown = sorted(set(sharding.tables) - set(schema.tables))
    if unknown:
        raise InputError(
            f"`sharding.tables.{unknown[0]}`: there is no such embedding table. In this project "
            "there are "
            f"{', '.join(schema.tables)}"
        )
    tables = embedding_tables(schema, dict(num_rows))
    for table in tables:
        table.data_type = _DATA_TYPES[sharding.of(table.name).data_type or "fp32"]
    return tables


def unallocated_bags(
    tables: Sequence[EmbeddingBagConfig], sharding: ShardingConfig, *, learning_rate: float
) -> EmbeddingBagCollection:
    """Return the tables on the meta device, which has no memory, with their optimizer attached."""
    bags = EmbeddingBagCollection(tables=list(tables), device=torch.device("meta"))
    apply_optimizer_in_backward(
        _OPTIMIZERS[sharding.optimizer], bags.parameters(), {"lr": learning_rate}
    )
    return bags


def table_optimizer(
    parameters: Any, sharding: ShardingConfig, *, learning_rate: float
) -> torch.optim.Optimizer:
    """Return the same optimizer for tables that every rank holds whole.

    FBGEMM does not update those.
    """
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
    """Return what the planner may do with each table, by table.

    Args:
        tables: the tables of the model.
        sharding: the configuration.
        device: `cpu` or `cuda`.
        pooling: the number of values looked up for a row of the batch, by feature key.
        chosen: the sharding types of an earlier start of the same run, by table. They are kept,
            since optimizer state depends on them.

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
    """Return what the planner may do with one table."""
    settings = sharding.of(table.name)
    types = (chosen,) if chosen else settings.sharding_types or _DEFAULT_TYPES[device]
    kernels = settings.compute_kernels or ("fused",)
    # A CPU has fewer types and one kernel. Types that it does not have are left out, as long as
    # one is left.
    if device == "cpu":
        types = tuple(name for name in types if name in _CPU_TYPES)
        if not types or "fused" not in kernels:
            wanted = chosen or " or ".join(settings.sharding_types or _DEFAULT_TYPES[device])
            raise InputError(
                f"`sharding` asks for table {table.name} as {wanted} with kernel "
                f"{' or '.join(kernels)}, which a CPU does not have: choose one of "
                f"{', '.join(_CPU_TYPES)}, with kernel fused"
            )
    load_factor = settings.cache_load_factor
    # Tables that every rank holds whole have one kernel, which has another name.
    dense = ("dense",) if "data_parallel" in types else ()
    return ParameterConstraints(
        sharding_types=list(types),
        compute_kernels=[*kernels, *dense],
        min_partition=settings.min_partition,
        pooling_factors=[pooling.get(feature, 1.0) for feature in table.feature_names],
        cache_params=CacheParams(load_factor=load_factor) if load_factor else None,
    )


class StorageEstimator(EmbeddingStorageEstimator):  # type: ignore[misc]
    """TorchRec's estimate of a shard's memory, corrected for fp16 tables.

    TorchRec assumes that optimizer state has the weights' data type. FBGEMM always keeps it in
    fp32.
    """

    def estimate(
        self, sharding_options: list[ShardingOption], *sharders: Any, **named: Any
    ) -> None:
        """Fill in the storage of all shards. TorchRec's releases name the sharders differently."""
        super().estimate(sharding_options, *sharders, **named)
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


class ReservedDeviceMemory(FixedPercentageStorageReservation):  # type: ignore[misc]
    """Keeps a fixed number of bytes of each device for other things than tables.

    TorchRec 1.8 has this as `FixedAbsoluteStorageReservation`; 1.6 has nothing like it.

    Args:
        num_bytes: the memory of each device that is kept.
    """

    def __init__(self, num_bytes: int) -> None:
        super().__init__(percentage=0.0)
        self._num_bytes = num_bytes

    def reserve(self, *arguments: Any, **named: Any) -> Topology:
        """Return the topology with that much less memory on every device."""
        reserved = super().reserve(*arguments, **named)
        for device in reserved.devices:
            device.storage.hbm = max(0, device.storage.hbm - self._num_bytes)
        self._last_reserved_topology = reserved
        return reserved


def make_planner(
    cluster: Cluster,
    table_constraints: Mapping[str, ParameterConstraints],
    *,
    batch_size: int,
    reserved_bytes: int,
) -> EmbeddingShardingPlanner:
    """Return the planner for a cluster.

    Args:
        cluster: the cluster that trains the model.
        table_constraints: what the planner may do with each table, by table.
        batch_size: the number of rows of a batch's KeyedJaggedTensor.
        reserved_bytes: the memory of a rank that is kept for other things than tables.
    """
    topology = cluster.topology()
    # TorchRec reserves device memory only, so on a CPU the hosts are given less.
    if cluster.device == "cpu":
        for host in topology.devices:
            host.storage.ddr = max(0, host.storage.ddr - reserved_bytes)
    # Every part of the planner has to know the constraints.
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
        storage_reservation=ReservedDeviceMemory(reserved_bytes),
        stats=[],
    )


def sharders() -> list[BagsSharder]:
    """Return what turns planned tables into sharded ones."""
    return [BagsSharder()]


def batch_rows(config: Config, schema: Schema) -> int:
    """Return the number of rows of a batch's KeyedJaggedTensor, with repeated rows counted."""
    return config.training.batch_size + config.sample_size * num_copies(config, schema)


def pooling_of(config: Config, schema: Schema, lengths: Mapping[str, float]) -> dict[str, float]:
    """Return the mean number of values looked up for a row of the batch, by feature key.

    A batch has a row for each of its items. The features of queries fill only the first rows.

    Args:
        config: its batch and sample sizes are read.
        schema: the features.
        lengths: the mean number of values for a row of the data, by feature key.
    """
    share = config.training.batch_size / batch_rows(config, schema)
    return {
        feature.key: lengths.get(feature.key, 1.0) * (share if feature.side == "query" else 1.0)
        for feature in schema.features
    }
