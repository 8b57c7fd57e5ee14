"""Finds changes that make a plan fit: each one that a user could make is tried with the planner."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from longtail.config import Config, ShardingConfig
from longtail.errors import InputError
from longtail.features.schema import Feature, Schema
from longtail.training.sharding.cluster import Cluster
from longtail.training.sharding.cluster_plan import Document, Model, place

_NODE = 8  # devices of a machine, if the cluster that is asked about has only one
_MOST_DOUBLINGS = 5
_FEWEST_ROWS = 2**14


@dataclass(frozen=True)
class Change:
    """A model and a cluster that differ from those asked about, and the difference in words."""

    words: str
    model: Model
    cluster: Cluster


def what_would_fit(model: Model, cluster: Cluster) -> list[Document]:
    """Return the changes after which the plan fits: the mildest one of each kind.

    Returns:
        For each change `{"change", "world_size", "hbm_bytes", "ddr_bytes", "milliseconds"}`: the
        memory of the fullest rank, and the planner's estimate of the slowest one's time a step.
    """
    found = []
    for kind in _kinds(model, cluster):
        for change in kind:
            # A change may ask for something that the device does not have.
            try:
                placement = place(change.model, change.cluster)
            except InputError:
                continue
            if placement is None:
                continue
            found.append(
                {
                    "change": change.words,
                    "world_size": change.cluster.world_size,
                    "hbm_bytes": max(int(storage.hbm) for storage in placement.storage),
                    "ddr_bytes": max(int(storage.ddr) for storage in placement.storage),
                    "milliseconds": max(perf.total for perf in placement.perf),
                }
            )
            break
    return found


def _kinds(model: Model, cluster: Cluster) -> Iterator[Iterator[Change]]:
    """Yield the kinds of changes. Each kind begins with its mildest change."""
    yield _other_types(model, cluster)
    yield _settings(model, cluster, "fp16 tables", data_type="fp16")
    if model.config.sharding.optimizer != "row_wise_adagrad":
        yield _settings(model, cluster, "row-wise Adagrad", optimizer="row_wise_adagrad")
        yield _settings(
            model,
            cluster,
            "fp16 tables with row-wise Adagrad",
            data_type="fp16",
            optimizer="row_wise_adagrad",
        )
    if cluster.device == "cuda":
        yield _settings(
            model,
            cluster,
            "tables in host memory, cached on the device",
            compute_kernels=("fused_uvm_caching",),
        )
    yield _more_ranks(model, cluster)
    yield _smaller_dims(model, cluster)
    yield _hashed(model, cluster)


def _other_types(model: Model, cluster: Cluster) -> Iterator[Change]:
    """Yield tables that are split: by rows on CUDA, by columns on a CPU."""
    if cluster.device == "cuda":
        types: tuple[str, ...] = ("table_wise", "row_wise", "table_row_wise")
        sharding = model.config.sharding
        chosen = [sharding.of(table).sharding_types for table in model.schema.tables]
        if all(names is None or set(names) >= set(types) for names in chosen):
            return
        yield from _settings(model, cluster, "tables split by rows", sharding_types=types)
        return
    # Row-wise Adagrad cannot have column shards.
    as_well = {} if model.config.sharding.optimizer == "adagrad" else {"optimizer": "adagrad"}
    for columns in (64, 32, 16):
        words = f"tables split by columns, at least {columns} wide"
        split = {"sharding_types": ("table_wise", "column_wise"), "min_partition": columns}
        yield from _settings(model, cluster, words, **split, **as_well)


def _settings(model: Model, cluster: Cluster, words: str, **changed: Any) -> Iterator[Change]:
    """Yield the model with other sharding settings for all tables, if they are valid and new."""
    sharding = model.config.sharding.model_dump()
    named = []
    for name, value in changed.items():
        if name == "optimizer":
            sharding[name] = value
            named.append(f"sharding.optimizer: {value}")
            continue
        for table in (sharding["default"], *sharding["tables"].values()):
            table[name] = value
        listed = f"[{', '.join(value)}]" if isinstance(value, tuple) else value
        named.append(f"sharding.default.{name}: {listed}")
    try:
        new = ShardingConfig.model_validate(sharding)
    except ValidationError:
        return
    if new == model.config.sharding:
        return
    config: Config = model.config.model_copy(update={"sharding": new})
    yield Change(f"{words} (`{'`, `'.join(named)}`)", replace(model, config=config), cluster)


def _more_ranks(model: Model, cluster: Cluster) -> Iterator[Change]:
    """Yield clusters with twice the ranks, four times, and so on."""
    for doubling in range(1, _MOST_DOUBLINGS + 1):
        world_size = cluster.world_size * 2**doubling
        # A single machine first grows to its full size. Several keep theirs, and get more.
        one_node = cluster.local_world_size == cluster.world_size
        local = min(world_size, _NODE) if one_node else cluster.local_world_size
        local = max(local, cluster.local_world_size)
        yield Change(
            f"{world_size} ranks",
            model,
            replace(cluster, world_size=world_size, local_world_size=local),
        )


def _smaller_dims(model: Model, cluster: Cluster) -> Iterator[Change]:
    """Yield models with smaller embeddings."""
    for divisor in (2, 4, 8):

        def smaller(feature: Feature, divisor: int = divisor) -> Feature:
            # FBGEMM's kernels read four numbers at a time.
            return replace(feature, dim=max(4, feature.dim // divisor // 4 * 4))

        schema = Schema(
            tuple(map(smaller, model.schema.query)), tuple(map(smaller, model.schema.item))
        )
        words = f"embedding sizes divided by {divisor} (the features' `dim`)"
        yield Change(words, replace(model, schema=schema), cluster)


def _hashed(model: Model, cluster: Cluster) -> Iterator[Change]:
    """Yield models with hashed tables, of half the rows each time."""
    most = max(model.num_rows.values())
    buckets = 2 ** math.floor(math.log2(max(2, most - 1)))
    while buckets >= _FEWEST_ROWS:
        large = sorted(table for table, rows in model.num_rows.items() if rows > buckets)
        rows = {table: min(rows, buckets) for table, rows in model.num_rows.items()}
        words = f"`vocabulary: hash`, `buckets: {buckets}` for {', '.join(large)}"
        yield Change(words, replace(model, num_rows=rows), cluster)
        buckets //= 2
