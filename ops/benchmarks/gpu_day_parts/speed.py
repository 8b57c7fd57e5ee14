"""The speed of training by table size and batch size, with and without self-supervision."""

import itertools
import statistics
from dataclasses import replace
from typing import Any

import torch
from gpu_day_parts.day import Day, Failed
from gpu_day_parts.environment import host_memory
from gpu_day_parts.small_training import (
    Size,
    Training,
    device_of,
    free_memory,
    one_rank,
    synthetic_work,
    tiny,
)
from train_gpu import Timer, copy_bandwidth, lookup_bytes
from training.work import Work

from longtail.dataset.batch import Batch
from longtail.errors import LongtailError
from longtail.training.batch_pipeline import pinned
from longtail.training.loop import prefetched

VARIANTS = ("base", "ssl")
_GIGABYTES = (1.0, 10.0, 50.0)
_BATCH_SIZES = (4096, 16384, 65536)
_UVM_BATCH_SIZE = 16384
# Seconds that a point may take, seen from before it. Too few are left: the rest is left out.
_SECONDS_OF_POINT = 6.0
_SECONDS_OF_UVM = 25.0


def measure(day: Day) -> None:
    """Measure all points, the smallest first, and at the end one with tables in host memory.

    A point's name is `<table size>gb_<batch size>_<variant>`. `ssl_cost` is, by table size and
    batch size, the seconds of a step with self-supervision / those of a step without it and
    without sampled items.

    Raises:
        Failed: a point failed, and not for lack of memory.
    """
    device = device_of(day.device_type)
    timer = Timer(device, rounds=10 if day.on_gpu else 2)
    copy = copy_bandwidth(timer, 4 * 10**9 if day.on_gpu else 8 * 10**6)
    day.record(copy_gb_per_second=copy / 1e9)
    points: dict[str, dict[str, Any]] = {}
    cost: dict[str, float] = {}
    left_out: list[str] = []
    largest, batch_sizes = sizes(day)
    with one_rank(device):
        for size in largest:
            work = synthetic_work(size)
            for batch_size in batch_sizes:
                label = f"{size.gigabytes:g}gb_{batch_size}"
                if day.on_gpu and day.seconds_left() < _SECONDS_OF_POINT:
                    left_out.append(label)
                    day.record(left_out=left_out)
                    continue
                for variant in VARIANTS:
                    point = _point(work, device, timer, copy, variant, batch_size)
                    points[f"{label}_{variant}"] = point
                    free_memory(device)
                    day.record(points=points)
                    day.say(f"{label}_{variant}: {_said(point)}")
                base, ssl = (points[f"{label}_{variant}"] for variant in VARIANTS)
                if "step_ms" in base and "step_ms" in ssl:
                    cost[label] = ssl["step_ms"] / base["step_ms"]
                    day.record(ssl_cost=cost)
        uvm = _uvm_point(day, device, timer, copy)
        day.record(uvm=uvm)
    # A point that does not fit in memory is a result, and any other error is not.
    broken = [
        f"{name}: {point['error']}"
        for name, point in {**points, "uvm": uvm}.items()
        if not point.get("error", "OutOfMemoryError").startswith("OutOfMemoryError")
    ]
    if broken:
        raise Failed("; ".join(broken))


def sizes(day: Day) -> tuple[list[Size], tuple[int, ...]]:
    """Return the table sizes, with the largest batch size each, and all batch sizes."""
    if not day.on_gpu:
        small = replace(tiny(), batch_size=128)
        return [small, replace(small, gigabytes=2 * small.gigabytes)], (64, 128)
    return [
        Size(gigabytes, dim=128, items=500_000, batch_size=_BATCH_SIZES[-1])
        for gigabytes in _GIGABYTES
    ], _BATCH_SIZES


def _said(point: dict[str, Any]) -> str:
    if "error" in point:
        return str(point["error"])
    return (
        f"{point['examples_per_second']:,.0f} examples/s, "
        f"{point['examples_per_second_ready_batches']:,.0f} with batches made beforehand"
    )


def _point(
    work: Work, device: torch.device, timer: Timer, copy: float, variant: str, batch_size: int
) -> dict[str, Any]:
    """Measure one point. If it fails, the result is `{"error"}`, and the others are measured."""
    try:
        return measure_point(work, device, timer, copy, variant, batch_size)
    except (RuntimeError, LongtailError) as error:
        return {"error": f"{type(error).__name__}: {str(error).splitlines()[0]}"}


def measure_point(
    work: Work, device: torch.device, timer: Timer, copy: float, variant: str, batch_size: int
) -> dict[str, Any]:
    """Measure the steps of one training, and its lookups and updates alone.

    Args:
        work: the training set and its configuration.
        device: where it trains.
        timer: times the parts.
        copy: bytes per second of a device copy.
        variant: a name in `VARIANTS`.
        batch_size: examples of a step.

    Returns:
        `examples_per_second` of whole steps, with the batches made by a thread in the meantime;
        `examples_per_second_ready_batches` and `step_ms` with batches made beforehand;
        `input_ms` to make a batch; `lookup_bandwidth` and `update_bandwidth` as a share of the
        copy's; and on a GPU `memory_over_tables`, the most memory that was in use / that of tables
        and optimizer state.
    """
    training = Training(work, device, variant=variant, batch_size=batch_size)
    made = training.made()
    figures: dict[str, Any] = {"table_gb": training.table_bytes / 1e9}
    figures["input_ms"] = 1e3 * min(timer.once(lambda: next(made)) for _ in range(2))

    batches = training.ready(4)
    figures |= _lookup_and_update(training, timer, batches[0].to(device), copy)

    # Whole steps: first with batches that are there, then as a training run has them.
    count = 2 * timer.rounds
    figures["step_ms"] = 1e3 * _seconds_a_step(training, timer, count, itertools.cycle(batches))
    size = training.batch_size
    figures["examples_per_second_ready_batches"] = 1e3 * size / figures["step_ms"]
    # Long enough that the few batches made ahead do not count.
    live = prefetched(pinned(training.made(), device))
    seconds = _seconds_a_step(training, timer, max(count, 16 if device.type == "cuda" else 2), live)
    figures["examples_per_second"] = size / seconds
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
        figures["memory_over_tables"] = peak / training.table_bytes
        figures["peak_gb"] = peak / 1e9
    return figures


def _lookup_and_update(
    training: Training, timer: Timer, batch: Batch, copy: float
) -> dict[str, float]:
    """Measure the lookup of a batch, and the gradient and update of its rows, each alone."""
    bags = training.model.module.embedding_bags
    pooled = [bags(batch.features).wait().values()]
    gradient = torch.full_like(pooled[0], 1e-9)

    def look_up() -> None:
        pooled[0] = bags(batch.features).wait().values()

    # In turns: an update needs the graph of the lookup before it, and uses it up.
    lookups, updates = [], []
    for _ in range(timer.rounds + 1):
        lookups.append(timer.once(look_up))
        updates.append(timer.once(lambda: pooled[0].backward(gradient)))
    lookup_seconds = statistics.median(lookups[1:])
    update_seconds = statistics.median(updates[1:])
    dim = training.work.training_set.schema.item[0].dim
    lookup, update = lookup_bytes(batch, dim)
    return {
        "lookup_ms": 1e3 * lookup_seconds,
        "update_ms": 1e3 * update_seconds,
        "lookup_bandwidth": lookup / lookup_seconds / copy,
        "update_bandwidth": update / update_seconds / copy,
    }


def _seconds_a_step(training: Training, timer: Timer, count: int, batches: Any) -> float:
    """Return the seconds of a step, over some steps after three that warm up."""
    steps = training.running(batches)
    for _ in range(3):
        next(steps)
    seconds = timer.once(lambda: [next(steps) for _ in range(count)]) / count
    steps.close()
    return seconds


def _uvm_point(day: Day, device: torch.device, timer: Timer, copy: float) -> dict[str, Any]:
    """Measure tables in host memory that are cached on the device, larger than its memory.

    Where the host has less memory than that, the tables take half of what is free.
    """
    if not day.on_gpu:
        return {"skipped": "a CPU has no other memory to cache"}
    if day.seconds_left() < _SECONDS_OF_UVM:
        return {"skipped": f"{day.seconds_left():.0f} s are left"}
    card = torch.cuda.get_device_properties(device).total_memory / 1e9
    host = host_memory("MemAvailable") / 1e9
    gigabytes = round(min(1.25 * card, 0.5 * host))
    size = Size(gigabytes, dim=128, items=500_000, batch_size=_UVM_BATCH_SIZE)
    day.say(f"fused_uvm_caching with {gigabytes} GB of tables")
    point = _point(synthetic_work(size, uvm=True), device, timer, copy, "base", size.batch_size)
    return {"gigabytes": gigabytes, "larger_than_card": gigabytes > card, **point}
