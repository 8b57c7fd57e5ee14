"""Our steps against a two-tower model in plain PyTorch on the same device.

The reference is that of `longtail bench train` (`training/plain_pytorch.py`): the same features,
tables, towers and in-batch negatives. It runs with sparse gradients of the tables, and with dense
ones.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from gpu_day_parts.day import Day, Failed
from gpu_day_parts.small_training import (
    Size,
    Training,
    device_of,
    free_memory,
    one_rank,
    synthetic_work,
    tiny,
)
from torch import nn
from train_gpu import Timer
from training.plain_pytorch import Plain, PlainBatch
from training.work import Work


class PlainOnDevice(Plain):
    """The plain model on a device. Batches are pinned and copied in the thread that makes them.

    Args:
        work: the training set and its configuration.
        batch_size: examples of a step.
        device: where it trains.
        sparse: whether the gradients of the tables are sparse.
    """

    def __init__(self, work: Work, batch_size: int, device: torch.device, *, sparse: bool) -> None:
        self._device = device
        self._ready: list[PlainBatch] = []
        with device:  # new tensors are made there
            super().__init__(work, batch_size)
        for table in self.model.tables.values():
            assert isinstance(table, nn.EmbeddingBag)
            table.sparse = sparse

    def batches(self) -> Iterator[PlainBatch]:
        """Yield batches on the device."""
        for batch in super().batches():
            bags = {key: (self._moved(v), self._moved(o)) for key, (v, o) in batch.bags.items()}
            yield PlainBatch(bags, self._moved(batch.item), self._moved(batch.log_q))

    def run(self, num_steps: int) -> None:
        """Train for some steps, input included."""
        with self._device:
            super().run(num_steps)

    def use_ready_batches(self, count: int) -> None:
        """Train on a few batches again and again from now on, which costs no input."""
        ready = list(itertools.islice(self._batches, count))
        self._batches = itertools.cycle(ready)

    def _moved(self, tensor: torch.Tensor) -> torch.Tensor:
        if self._device.type != "cuda":
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)


def measure(day: Day) -> None:
    """Measure ours, then plain PyTorch with sparse and with dense gradients.

    Raises:
        Failed: a plain model did not run.
    """
    device = device_of(day.device_type)
    size = Size(10.0, dim=128, items=500_000, batch_size=16_384) if day.on_gpu else tiny()
    work = synthetic_work(size)
    timer = Timer(device, rounds=1)
    steps = 20 if day.on_gpu else 3
    day.record(table_gb=size.gigabytes, batch_size=size.batch_size)
    rates: dict[str, dict[str, float]] = {}
    errors: dict[str, str] = {}
    with one_rank(device):
        training = Training(work, device, variant="base")
        ready = itertools.cycle(training.ready(4))
        rates["ours"] = {
            "examples_per_second": _ours(training, timer, steps, None),
            "examples_per_second_ready_batches": _ours(training, timer, steps, ready),
        }
        _told(day, "ours", rates)
        del training, ready
    for label in ("sparse", "dense"):
        free_memory(device)
        try:
            rates[label] = _plain(work, size.batch_size, device, timer, steps, label == "sparse")
        except RuntimeError as error:  # also a lack of memory: the other one may fit
            errors[label] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            day.record(errors=errors)
            day.say(f"{label}: {errors[label]}")
            continue
        _told(day, label, rates)
        for name, suffix in (
            ("examples_per_second", ""),
            ("examples_per_second_ready_batches", "_ready_batches"),
        ):
            day.record(**{f"vs_{label}{suffix}": rates["ours"][name] / rates[label][name]})
    if errors:
        raise Failed(f"plain PyTorch did not run: {errors}")


def _told(day: Day, label: str, rates: dict[str, dict[str, float]]) -> None:
    day.record(rates=rates)
    rate, ready = rates[label].values()
    day.say(f"{label}: {rate:,.0f} examples/s, {ready:,.0f} with batches made beforehand")


def _ours(training: Training, timer: Timer, steps: int, batches: Any) -> float:
    """Return our examples per second."""
    running = training.running(batches)
    for _ in range(3):
        next(running)
    seconds = timer.once(lambda: [next(running) for _ in range(steps)])
    running.close()
    return steps * training.batch_size / seconds


def _plain(
    work: Work, batch_size: int, device: torch.device, timer: Timer, steps: int, sparse: bool
) -> dict[str, float]:
    """Return the plain model's examples per second, with input and without."""
    plain = PlainOnDevice(work, batch_size, device, sparse=sparse)
    rates = {}
    for name in ("examples_per_second", "examples_per_second_ready_batches"):
        if name.endswith("ready_batches"):
            plain.use_ready_batches(4)
        plain.run(3)
        rates[name] = steps * batch_size / timer.once(lambda: plain.run(steps))
    # `Plain.run` leaves this on, for our trainer on a CPU.
    torch.use_deterministic_algorithms(False)
    return rates
