"""Plans for a cluster that need not exist: memory and time of each rank, and the bottleneck."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from torchrec.distributed.planner.types import Perf, PlannerError, Shard, ShardingOption, Storage

from longtail.artifacts import CatalogueFiles
from longtail.config import Config
from longtail.features.schema import Schema
from longtail.training.sharding.cluster import Cluster, reserved_bytes, tower_bytes
from longtail.training.sharding.torchrec_planner import (
    batch_rows,
    constraints,
    make_planner,
    pooling_of,
    sharders,
    tables_of,
    unallocated_bags,
)

Document = dict[str, Any]

_NO_LIMIT = 2**60
# Row numbers, and the values of a batch, are int32.
_MOST_ROWS = 2**31 - 1
_PARTS = {
    "fwd_compute": "lookup",
    "bwd_compute": "update",
    "fwd_comms": "exchange of embeddings",
    "bwd_comms": "exchange of gradients",
    "prefetch_compute": "cache",
}


@dataclass(frozen=True)
class Model:
    """The model that is to be trained.

    Attributes:
        schema: the features.
        config: the whole configuration.
        num_rows: the number of rows of each embedding table.
        lengths: the mean number of values a row, by feature key. Features that are not named have
            one.
    """

    schema: Schema
    config: Config
    num_rows: Mapping[str, int]
    lengths: Mapping[str, float]

    def scaled(self, factor: float) -> "Model":
        """Return the model of a larger catalogue. Hashed tables keep their size.

        Args:
            factor: multiplies the number of values of each exact vocabulary.
        """
        rows = {
            table: max(1, math.ceil(self.num_rows[table] * factor))
            if features[0].vocabulary == "exact"
            else self.num_rows[table]
            for table, features in self.schema.tables.items()
        }
        return replace(self, num_rows=rows)


@dataclass(frozen=True)
class Placement:
    """The planner's place for each shard, and the memory and time that this takes.

    Attributes:
        options: one for each table.
        storage: memory of each rank: weights, optimizer state, and buffers of the lookup.
        perf: time of each rank in milliseconds a step, as the planner estimates it.
    """

    options: list[ShardingOption]
    storage: list[Storage]
    perf: list[Perf]

    def largest_table(self, rank: int, resource: str) -> str:
        """Return the table that takes most of a rank's `hbm` or `ddr`."""
        return self._largest(rank, lambda shard: getattr(shard.storage, resource))

    def slowest_table(self, rank: int) -> str:
        """Return the table that takes most of a rank's time."""
        return self._largest(rank, lambda shard: shard.perf.total)

    def _largest(self, rank: int, cost: Callable[[Shard], float]) -> str:
        def on_rank(option: ShardingOption) -> float:
            return sum(cost(shard) for shard in option.shards if shard.rank == rank)

        name: str = max(self.options, key=on_rank).name
        return name


def lengths_in(catalogue: CatalogueFiles, schema: Schema) -> dict[str, float]:
    """Return the mean number of values a row of each multi-valued feature, by feature key.

    Args:
        catalogue: the files of a day's catalogue.
        schema: the features.
    """
    lengths = {}
    for feature in schema.features:
        if feature.kind == "multi":
            # A history is known only as of the day.
            side, name = feature.side, feature.name
            file = catalogue.latest(side) if feature.is_history else catalogue.history(side)
            column = pq.read_table(file, columns=[name])[name]
            num_values = pc.sum(pc.list_value_length(column)).as_py() or 0
            lengths[feature.key] = num_values / max(1, len(column))
    return lengths


def place(model: Model, cluster: Cluster, *, limited: bool = True) -> Placement | None:
    """Ask the planner for a place for each table.

    Args:
        model: the model that is to be trained.
        cluster: the cluster that trains it.
        limited: False plans as if memory had no end.

    Returns:
        The best placement, or None if the tables do not fit.

    Raises:
        InputError: the device does not have what the configuration asks for.
    """
    config, schema = model.config, model.schema
    reserved = reserved_bytes(config, schema, cluster)
    if not limited:
        reserved = 0
        hbm = _NO_LIMIT if cluster.device == "cuda" else 0
        cluster = replace(cluster, hbm_bytes=hbm, ddr_bytes=_NO_LIMIT)
    # The learning rate does not matter, since nothing is trained.
    tables = tables_of(schema, model.num_rows, config.sharding)
    bags = unallocated_bags(tables, config.sharding, learning_rate=1.0)
    planner = make_planner(
        cluster,
        constraints(
            tables,
            config.sharding,
            cluster.device,
            pooling=pooling_of(config, schema, model.lengths),
        ),
        batch_size=batch_rows(config, schema),
        reserved_bytes=reserved,
    )
    try:
        planner.plan(bags, sharders())
    except PlannerError:
        return None
    # The plan itself says only where shards go. The planner keeps their estimates to itself.
    options: list[ShardingOption] = planner._best_plan
    storage = [Storage(0, 0) for _ in range(cluster.world_size)]
    perf = [Perf(0, 0, 0, 0) for _ in range(cluster.world_size)]
    for option in options:
        for shard in option.shards:
            storage[shard.rank] += shard.storage
            perf[shard.rank] += shard.perf
    return Placement(options, storage, perf)


def plan_cluster(model: Model, cluster: Cluster) -> Document:
    """Return the plan as `longtail plan --json` prints it, but without the alternatives.

    If the tables do not fit, `ranks` and `tables` are those of a plan for unlimited memory.

    Raises:
        InputError: the device does not have what the configuration asks for.
    """
    placement = place(model, cluster)
    fits = placement is not None
    # A plan that does not fit is still worth showing: it says what is too large.
    if placement is None:
        placement = place(model, cluster, limited=False)
    assert placement is not None
    reserved = reserved_bytes(model.config, model.schema, cluster)
    return {
        "world_size": cluster.world_size,
        "local_world_size": cluster.local_world_size,
        "device": cluster.device,
        "batch_size": model.config.training.batch_size,
        "fits": fits,
        "capacity": {
            "hbm_bytes": cluster.hbm_bytes,
            "ddr_bytes": cluster.ddr_bytes,
            "reserved_bytes": reserved,
            "towers_bytes": tower_bytes(model.config, model.schema),
        },
        "ranks": [
            {
                "rank": rank,
                "hbm_bytes": int(storage.hbm),
                "ddr_bytes": int(storage.ddr),
                "milliseconds": perf.total,
            }
            for rank, (storage, perf) in enumerate(
                zip(placement.storage, placement.perf, strict=True)
            )
        ],
        "tables": [_table(option) for option in placement.options],
        "bottleneck": {
            "memory": _memory_bottleneck(placement, cluster, reserved),
            "time": _time_bottleneck(placement),
        },
        "notes": _notes(model, cluster, reserved),
    }


def _table(option: ShardingOption) -> Document:
    """Return a table's entry in the plan."""
    total = reduce(add, (shard.storage for shard in option.shards))
    rows, dim = option.tensor.shape
    return {
        "name": option.name,
        "num_embeddings": rows,
        "dim": dim,
        "sharding": option.sharding_type,
        "kernel": option.compute_kernel,
        "data_type": "fp16" if option.tensor.element_size() == 2 else "fp32",
        "bytes": int(total.hbm + total.ddr),
        "ranks": sorted({shard.rank for shard in option.shards}),
    }


def _memory_bottleneck(placement: Placement, cluster: Cluster, reserved: int) -> Document:
    """Return the rank and the resource with the highest used share of the memory for tables."""
    # Tables must leave the reserved part to the towers, in the memory of the device.
    on_cpu = cluster.device == "cpu"
    limits = {
        "hbm": max(0, cluster.hbm_bytes - reserved),
        "ddr": max(0, cluster.ddr_bytes - (reserved if on_cpu else 0)),
    }
    used = [
        (getattr(storage, resource) / limit if limit else math.inf, -rank, resource)
        for rank, storage in enumerate(placement.storage)
        for resource, limit in limits.items()
        if getattr(storage, resource) > 0
    ]
    share, negative_rank, resource = max(used)
    rank = -negative_rank
    return {
        "rank": rank,
        "resource": resource,
        "share": share if math.isfinite(share) else None,
        "table": placement.largest_table(rank, resource),
    }


def _time_bottleneck(placement: Placement) -> Document:
    """Return the slowest rank, for which the others wait, and what it spends its time on."""
    milliseconds = [perf.total for perf in placement.perf]
    rank = milliseconds.index(max(milliseconds))
    parts = {name: getattr(placement.perf[rank], part) for part, name in _PARTS.items()}
    mean = sum(milliseconds) / len(milliseconds)
    return {
        "rank": rank,
        "milliseconds": milliseconds[rank],
        "part": max(parts, key=lambda name: parts[name]),
        "parts": parts,
        "table": placement.slowest_table(rank),
        "relative_to_mean": milliseconds[rank] / mean if mean else 1.0,
    }


def _notes(model: Model, cluster: Cluster, reserved: int) -> list[str]:
    """Return remarks on what the planner does not check."""
    notes = []
    for table, rows in model.num_rows.items():
        if rows > _MOST_ROWS:
            notes.append(
                f"table {table} would have {rows:,} rows, but row numbers are int32, which ends at "
                f"{_MOST_ROWS:,}: hash it (`vocabulary: hash`)"
            )
    memory = cluster.hbm_bytes if cluster.device == "cuda" else cluster.ddr_bytes
    if reserved > model.config.sharding.reserved_share * memory + 1:
        notes.append(
            f"towers, activations and logits need about {reserved / 2**30:.1f} GB a rank, more "
            "than `sharding.reserved_share` of its memory: a smaller batch needs less"
        )
    return notes
