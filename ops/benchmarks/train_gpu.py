"""The speed of training on one device as tables grow, by part, and against memory bandwidth.

    longtail bench train_gpu --json
    longtail bench train_gpu --table-gb 1,10,100 --dim 128 --batch-size 16384
    longtail bench train_gpu --device cpu --table-gb 0.01 --batch-size 256 --items 2000 --steps 2

The catalogue is synthetic: items have an id, a category and tags; queries have an id and a history
of items; popularity follows Zipf's law. One table has nearly all rows, and the ids in use are
spread over all of it, so that lookups reach as much memory as if every row were in use. A gigabyte
is 10^9 bytes, weights and optimizer state together. Ratios of medians, for each size:

    lookup_bandwidth_<size>gb   bytes per second that a lookup has to move / those of a device copy
                                in the same run
    update_bandwidth_<size>gb   the same for the gradient and the update of the rows looked up
    overlapped_<size>gb         seconds of a training step / the sum of its parts; below 1 where
                                parts overlap
    <part>_<size>gb             share of a part in the sum: input, copy, lookup, update, towers
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
import torch
import torch.distributed as dist
from report import Report, run_benchmark
from train_gpu_parts.catalogue import (
    GIGABYTE,
    WEIGHT_BYTES,
    make_training_set,
    rows_for,
    schema_of,
)

from longtail.augmentation.masking_plan import masking_plan
from longtail.config import Config, ShardingConfig, TrainingConfig
from longtail.dataset.batch import Batch
from longtail.dataset.batch_builder import BatchBuilder
from longtail.training.batch_pipeline import OverlappedSteps, pinned
from longtail.training.loop import prefetched
from longtail.training.sharding.sharded_model import build_model

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Timer:
    """Times calls on a device. Its queue of work is empty before and after each."""

    device: torch.device
    rounds: int

    def median(self, call: Callable[[], object]) -> float:
        """Return the median seconds of a call, after one that warms up."""
        seconds = [self.once(call) for _ in range(self.rounds + 1)]
        return statistics.median(seconds[1:])

    def once(self, call: Callable[[], object]) -> float:
        """Return the seconds of one call."""
        self._wait()
        start = time.perf_counter()
        call()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def copy_bandwidth(timer: Timer, num_bytes: int) -> float:
    """Return the bytes per second that a copy inside the device's memory reads and writes."""
    source = torch.zeros(num_bytes // 4, device=timer.device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / timer.median(lambda: target.copy_(source))


def lookup_bytes(batch: Batch, dim: int) -> tuple[int, int]:
    """Return the fewest bytes that a lookup, and the update of its rows, have to move.

    The lookup reads an index and a row for each value, and writes a row for each bag. The update
    reads a gradient for each bag, and reads and writes the weights and the sum of each distinct
    row.
    """
    features = batch.features
    row, num_values = dim * WEIGHT_BYTES, features.values().numel()
    bags = len(features.keys()) * features.stride() * row
    by_key = features.to_dict()
    # Features of one table are updated together, so a row that two of them share counts once.
    shared = torch.cat([by_key[key].values() for key in ("query.history", "item.item_id")])
    alone = [by_key[key].values() for key in ("query.query_id", "item.category", "item.tags")]
    distinct = sum(values.unique().numel() for values in [shared, *alone])
    index = features.values().element_size()
    return num_values * (index + row) + bags, bags + 2 * distinct * (row + WEIGHT_BYTES)


def measure_size(
    gigabytes: float, arguments: argparse.Namespace, device: torch.device
) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the ratios and the measured figures of one table size."""
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

    # The parts of a step, each alone: input, copy to the device, lookup, update.
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

    # In turns: an update needs the graph of the lookup before it, and uses it up.
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

    # The towers cannot be timed alone, so they are the rest of a step without its input.
    whole = timer.median(step)
    seconds["towers"] = max(0.0, whole - seconds["lookup"] - seconds["update"])
    # The loop of a training run, where the input and the copy of a batch overlap with steps.
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
    """Measure every table size in turn, each in fresh memory."""
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit(
            "train_gpu: this machine has no CUDA device: --device cpu runs the same on the CPU"
        )
    device = torch.device(arguments.device, 0) if arguments.device == "cuda" else CPU
    ratios: dict[str, float] = {}
    measured: dict[str, Any] = {}
    # TorchRec reads it. In a training run torchrun sets it, but here is no torchrun.
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
                gc.collect()  # free the tables of this size before the next are made
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


def _sizes(text: str) -> list[float]:
    sizes = [float(part) for part in text.split(",")]
    if not sizes or min(sizes) <= 0:
        raise ValueError(text)
    return sizes


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the sizes. The defaults are for a device of 140 GB."""
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--table-gb", type=_sizes, default=[1.0, 10.0, 50.0, 100.0])
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=8192)
    parser.add_argument("--items", type=int, default=1_000_000, help="items and queries in use")
    parser.add_argument("--steps", type=int, default=20, help="rounds of every measurement")
    parser.add_argument("--copy-mb", type=int, default=1_000, help="size of the device copy")


if __name__ == "__main__":
    run_benchmark(measure, add_options, about=__doc__.splitlines()[0] if __doc__ else "")
