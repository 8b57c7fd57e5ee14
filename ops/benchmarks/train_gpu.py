"""Training on one device at growing table sizes: how fast, how near to memory speed, and on what.

    longtail bench train_gpu --json
    longtail bench train_gpu --table-gb 1,10,100 --dim 128 --batch-size 16384
    longtail bench train_gpu --device cpu --table-gb 0.01 --batch-size 256 --items 2000 --steps 2

The catalogue is synthetic: items have an id, a category and tags, queries an id and the items of
their history, popularity follows Zipf's law. One table has nearly all rows, and the ids in use are
spread over all of it, so that a lookup goes to as much memory as with every row in use. Gigabytes
are of 10^9 bytes, weights and optimizer state together. For each size, of medians:

    lookup_bandwidth_<size>gb   bytes that the lookup has to move by its time, by those of a device
                                copy in the same run
    update_bandwidth_<size>gb   the same of the gradient and the update of the rows looked up
    overlapped_<size>gb         time of a training step by that of its parts one after another;
                                below 1 by what is overlapped
    <part>_<size>gb             share of the sum of the parts: input, copy, lookup, update, towers
                                (with losses, their gradients, and their update)
"""

import argparse
import gc
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
import torch.distributed as dist
from report import Report, run_benchmark

from longtail.augmentation.masking_plan import masking_plan
from longtail.config import Config, ShardingConfig, TrainingConfig
from longtail.dataset.batch import Batch
from longtail.dataset.batch_builder import BatchBuilder
from longtail.dataset.training_set import Examples, TrainingSet
from longtail.features.encoding import EncodedRows, offsets_of
from longtail.features.schema import Feature, Schema
from longtail.training.loop import prefetched
from longtail.training.pipeline import OverlappedSteps, pinned
from longtail.training.sharding.sharded_model import build_model

CATEGORIES, TAGS, TAGS_PER_ITEM, HISTORY = 1_000, 5_000, 5, 10
WEIGHT_BYTES = 4
GIGABYTE = 10**9
MAX_ROWS = 2**31 - 1  # rows are named by int32


def schema_of(dim: int) -> Schema:
    """An id and a history of items; an id, a category and tags."""
    return Schema(
        query=(
            Feature("query_id", "query", "single", "string", "query", dim, is_id=True),
            Feature("history", "query", "multi", "string", "item", dim),
        ),
        item=(
            Feature("item_id", "item", "single", "string", "item", dim, is_id=True),
            Feature("category", "item", "single", "string", "category", dim),
            Feature("tags", "item", "multi", "string", "tags", dim),
        ),
    )


def rows_for(gigabytes: float, dim: int, num_queries: int) -> dict[str, int]:
    """Rows of each table, so that weights and row-wise Adagrad's sums take the gigabytes."""
    total = int(gigabytes * GIGABYTE / (WEIGHT_BYTES * (dim + 1)))
    small = {"query": num_queries, "category": CATEGORIES, "tags": TAGS}
    rows = total - sum(small.values())
    if rows < num_queries:
        sys.exit(f"{gigabytes:g} GB are {total:,} rows, too few for so many --items")
    if rows > MAX_ROWS:
        sys.exit(f"{gigabytes:g} GB are {rows:,} rows of {dim}: more than int32 names, raise --dim")
    return {**small, "item": rows}


def make_training_set(
    schema: Schema, num_rows: dict[str, int], num_items: int, num_examples: int, seed: int = 0
) -> TrainingSet:
    """A synthetic catalogue with power-law interactions.

    Args:
        schema: of `schema_of`.
        num_rows: rows of each table.
        num_items: items, and queries, in use.
        num_examples: training interactions.
    """
    generator = np.random.default_rng(seed)

    def popular(count: int) -> npt.NDArray[np.int64]:
        """Items by Zipf's law: log-uniform ranks."""
        ranks = np.exp(generator.random(count) * np.log(num_items + 1)).astype(np.int64) - 1
        drawn: npt.NDArray[np.int64] = np.minimum(ranks, num_items - 1)
        return drawn

    # Evenly spread over the table, each with its own offset: distinct without a permutation of it.
    stride = max(1, num_rows["item"] // num_items)
    place = (np.arange(num_items) * stride + generator.integers(stride, size=num_items)).astype(
        np.int32
    ) % num_rows["item"]
    generator.shuffle(place)
    history = place[popular(num_items * HISTORY)].reshape(num_items, HISTORY)
    query_cells = np.concatenate([np.arange(num_items, dtype=np.int32)[:, None], history], axis=1)
    item_cells = np.concatenate(
        [
            place[:, None],
            generator.integers(CATEGORIES, size=(num_items, 1)),
            generator.integers(TAGS, size=(num_items, TAGS_PER_ITEM)),
        ],
        axis=1,
    )
    positions = np.arange(num_items, dtype=np.int32)
    examples = Examples(
        generator.integers(num_items, size=num_examples).astype(np.int32),
        popular(num_examples).astype(np.int32),
        np.ones(num_examples, np.float32),
        np.zeros(num_examples, np.int64),
    )
    nothing = Examples(*(values[:0] for values in vars(examples).values()))
    ids = pa.array([f"{number:010}" for number in range(num_items)])
    return TrainingSet(
        schema=schema,
        item_rows=_rows(item_cells, [1, 1, TAGS_PER_ITEM]),
        query_rows=_rows(query_cells, [1, HISTORY]),
        item_ids=ids,
        catalogue_row=positions,
        item_of_row=positions,
        first_seen=np.zeros(num_items, np.int64),
        train_count=np.bincount(examples.item_row, minlength=num_items),
        query_ids=ids,
        latest_query_row=positions,
        query_of_row=positions,
        train=examples,
        validation=nothing,
        test=nothing,
    )


def _rows(cells: npt.NDArray[Any], lengths: list[int]) -> EncodedRows:
    """Rows that all have the same number of values in each feature."""
    offsets = offsets_of(np.tile(lengths, len(cells)))
    return EncodedRows(len(lengths), offsets, cells.astype(np.int32).ravel())


@dataclass(frozen=True)
class Timer:
    """Times calls on a device, its queue of work run empty before and after."""

    device: torch.device
    rounds: int

    def median(self, call: Callable[[], object]) -> float:
        """Median seconds of a call; a first one, to warm up, is not counted."""
        seconds = [self.once(call) for _ in range(self.rounds + 1)]
        return statistics.median(seconds[1:])

    def once(self, call: Callable[[], object]) -> float:
        """Seconds of one call."""
        self._wait()
        start = time.perf_counter()
        call()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def copy_bandwidth(timer: Timer, num_bytes: int) -> float:
    """Bytes a second that a copy inside the device's memory reads and writes."""
    source = torch.zeros(num_bytes // 4, device=timer.device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / timer.median(lambda: target.copy_(source))


def lookup_bytes(batch: Batch, dim: int) -> tuple[int, int]:
    """Bytes that a lookup, and the update of its rows, cannot do without.

    The lookup reads an index and a row for each value, and writes a row for each bag. The update
    reads a gradient for each bag, and reads and writes weights and the sum of each distinct row.
    """
    features = batch.features
    row, num_values = dim * WEIGHT_BYTES, features.values().numel()
    bags = len(features.keys()) * features.stride() * row
    by_key = features.to_dict()
    # Features of one table that repeat a row are updated together.
    shared = torch.cat([by_key[key].values() for key in ("query.history", "item.item_id")])
    alone = [by_key[key].values() for key in ("query.query_id", "item.category", "item.tags")]
    distinct = sum(values.unique().numel() for values in [shared, *alone])
    index = features.values().element_size()
    return num_values * (index + row) + bags, bags + 2 * distinct * (row + WEIGHT_BYTES)


def measure_size(
    gigabytes: float, arguments: argparse.Namespace, device: torch.device
) -> tuple[dict[str, float], dict[str, Any]]:
    """Ratios and measured figures of one table size."""
    dim, batch_size = arguments.dim, arguments.batch_size
    schema = schema_of(dim)
    num_rows = rows_for(gigabytes, dim, arguments.items)
    num_examples = batch_size * 4
    training_set = make_training_set(schema, num_rows, arguments.items, num_examples)
    config = Config(
        feature_repo=Path(),
        training=TrainingConfig(batch_size=batch_size),
        sharding=ShardingConfig(ddr_gb=4 * gigabytes + 8),
    )
    names = [feature.name for feature in schema.item]
    plan = masking_plan(names, np.eye(len(names)))
    model, optimizer = build_model(
        training_set, config, num_rows=num_rows, plan=plan, device=device
    )
    model.train()
    builder = BatchBuilder(training_set, config)

    def endless() -> Iterator[Batch]:
        epoch = 0
        while True:
            yield from builder.epoch(epoch)
            epoch += 1

    timer = Timer(device, arguments.steps)
    made = endless()
    seconds = {"input": timer.median(lambda: next(made))}
    (ready,) = pinned(iter([next(made)]), device)
    seconds["copy"] = timer.median(lambda: ready.to(device, non_blocking=True))
    batch = ready.to(device)
    bags = model.module.embedding_bags
    pooled = [bags(batch.features).wait().values()]
    gradient = torch.full_like(pooled[0], 1e-9)

    def look_up() -> None:
        pooled[0] = bags(batch.features).wait().values()

    lookups, updates = [], []
    for _ in range(arguments.steps + 1):
        lookups.append(timer.once(look_up))
        updates.append(timer.once(lambda: pooled[0].backward(gradient)))
    seconds["lookup"] = statistics.median(lookups[1:])
    seconds["update"] = statistics.median(updates[1:])

    def step() -> None:
        optimizer.zero_grad()
        model(batch).total.backward()
        optimizer.step()

    whole = timer.median(step)
    seconds["towers"] = max(0.0, whole - seconds["lookup"] - seconds["update"])
    overlapped = OverlappedSteps(model, optimizer, device)
    num_steps = 4 * arguments.steps
    batches = itertools.islice(endless(), 1 + num_steps)
    steps = overlapped(prefetched(pinned(batches, device)))
    next(steps)  # fills the pipeline
    step_seconds = timer.once(lambda: sum(1 for _ in steps)) / num_steps

    copy = copy_bandwidth(timer, arguments.copy_mb * 10**6)
    lookup, update = lookup_bytes(batch, dim)
    size, total = f"{gigabytes:g}gb", sum(seconds.values())
    ratios = {
        f"lookup_bandwidth_{size}": lookup / seconds["lookup"] / copy,
        f"update_bandwidth_{size}": update / seconds["update"] / copy,
        f"overlapped_{size}": step_seconds / total,
        **{f"{part}_{size}": taken / total for part, taken in seconds.items()},
    }
    measured: dict[str, Any] = {
        f"examples_per_second_{size}": batch_size / step_seconds,
        f"copy_gb_per_second_{size}": copy / GIGABYTE,
        f"lookup_gb_per_second_{size}": lookup / seconds["lookup"] / GIGABYTE,
        f"update_gb_per_second_{size}": update / seconds["update"] / GIGABYTE,
        f"step_ms_{size}": 1000 * step_seconds,
        **{f"{part}_ms_{size}": 1000 * taken for part, taken in seconds.items()},
        f"table_rows_{size}": sum(num_rows.values()),
    }
    if device.type == "cuda":
        measured[f"peak_gb_{size}"] = torch.cuda.max_memory_allocated(device) / GIGABYTE
        torch.cuda.reset_peak_memory_stats(device)
    return ratios, measured


def measure(arguments: argparse.Namespace) -> Report:
    """Every table size in turn, each in fresh memory."""
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit(
            "train_gpu: this machine has no CUDA device; --device cpu runs the same on the CPU"
        )
    device = torch.device(arguments.device, 0) if arguments.device == "cuda" else CPU
    ratios: dict[str, float] = {}
    measured: dict[str, Any] = {}
    os.environ.setdefault("LOCAL_WORLD_SIZE", "1")
    with tempfile.TemporaryDirectory() as folder:
        store = dist.FileStore(str(Path(folder) / "store"), 1)
        backend = "nccl" if device.type == "cuda" else "gloo"
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group(backend, store=store, rank=0, world_size=1)
        try:
            for gigabytes in arguments.table_gb:
                print(f"{gigabytes:g} GB of tables", file=sys.stderr)
                more_ratios, more_measured = measure_size(gigabytes, arguments, device)
                ratios |= more_ratios
                measured |= more_measured
                gc.collect()  # the tables of this size, before those of the next
                if device.type == "cuda":
                    torch.cuda.empty_cache()
        finally:
            dist.destroy_process_group()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    settings = {
        "device": name,
        "dim": arguments.dim,
        "batch_size": arguments.batch_size,
        "items": arguments.items,
        "steps": arguments.steps,
        "torch": torch.__version__,
    }
    return Report("train_gpu", ratios, settings, measured)


CPU = torch.device("cpu")


def _sizes(text: str) -> list[float]:
    sizes = [float(part) for part in text.split(",")]
    if not sizes or min(sizes) <= 0:
        raise ValueError(text)
    return sizes


def add_options(parser: argparse.ArgumentParser) -> None:
    """Sizes; the defaults are those of the issue, for a device of 140 GB."""
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--table-gb", type=_sizes, default=[1.0, 10.0, 50.0, 100.0])
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=8192)
    parser.add_argument("--items", type=int, default=1_000_000, help="items and queries in use")
    parser.add_argument("--steps", type=int, default=20, help="rounds of every measurement")
    parser.add_argument("--copy-mb", type=int, default=1_000, help="size of the device copy")


if __name__ == "__main__":
    run_benchmark(measure, add_options, about=__doc__.splitlines()[0] if __doc__ else "")
