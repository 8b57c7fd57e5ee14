"""The training loop, read from top to bottom."""

import json
import logging
import math
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from longtail.config import Config
from longtail.dataset.batches import BatchBuilder
from longtail.errors import LongtailError
from longtail.training.checkpoint import Checkpointer

log = logging.getLogger("longtail.training")

Element = TypeVar("Element")
_PREFETCHED_BATCHES = 4


def train(
    model: Any,
    optimizer: Any,
    builder: BatchBuilder,
    checkpointer: Checkpointer,
    config: Config,
    *,
    num_epochs: int,
    device: torch.device,
    log_file: Path,
) -> dict[str, float | int]:
    """Train to the end, from the newest checkpoint if there is one.

    Args:
        model: the sharded two-tower model; returns `LossTerms`.
        optimizer: over tables and towers.
        builder: makes this rank's batches.
        checkpointer: of model and optimizer.
        config: the training section is read.
        num_epochs: passes over the training part.
        device: of this rank.
        log_file: JSON lines, written by rank 0.

    Returns:
        `num_steps`, `final_loss` (mean of the last logging interval) and `examples_per_second`
        (all ranks; of this start, resumed steps left out).

    Raises:
        LongtailError: a loss is not finite.
    """
    training = config.training
    num_steps = num_epochs * builder.steps_per_epoch
    first_step = checkpointer.resume()
    meter = _Meter(first_step, num_steps, training.batch_size * dist.get_world_size(), log_file)
    model.train()
    for epoch in range(first_step // builder.steps_per_epoch, num_epochs):
        skipped = max(0, first_step - epoch * builder.steps_per_epoch)
        step = epoch * builder.steps_per_epoch + skipped
        for batch in prefetched(builder.epoch(epoch, first_step=skipped)):
            optimizer.zero_grad()
            terms = model(batch.to(device))
            terms.total.backward()
            optimizer.step()
            step += 1
            meter.add(step, epoch, terms)
            if step % training.log_every_steps == 0 or step == num_steps:
                meter.report(step)
            if step % training.checkpoint_every_steps == 0 or step == num_steps:
                checkpointer.save(step)
    return meter.summary()


def prefetched(elements: Iterator[Element]) -> Iterator[Element]:
    """Make the elements in a background thread, a few ahead of their use."""
    ready: queue.Queue[tuple[Element | None, BaseException | None]] = queue.Queue(
        _PREFETCHED_BATCHES
    )
    stopped = threading.Event()

    def put(element: Element | None, error: BaseException | None) -> None:
        while not stopped.is_set():
            try:
                ready.put((element, error), timeout=0.1)
                return
            except queue.Full:
                continue  # the consumer is busy, or has stopped

    def produce() -> None:
        try:
            for element in elements:
                put(element, None)
                if stopped.is_set():
                    return
            put(None, None)
        except BaseException as error:  # handed to the consumer, which raises it
            put(None, error)

    producer = threading.Thread(target=produce, name="batches", daemon=True)
    producer.start()
    try:
        while True:
            element, error = ready.get()
            if error is not None:
                raise error
            if element is None:
                return
            yield element
    finally:
        stopped.set()
        producer.join()


class _Meter:
    """Keeps the losses of the current interval; rank 0 writes them as JSON lines."""

    def __init__(
        self, first_step: int, num_steps: int, examples_per_step: int, log_file: Path
    ) -> None:
        self._first_step = first_step
        self._num_steps = num_steps
        self._examples_per_step = examples_per_step
        self._log_file = log_file
        self._started = self._interval_started = time.perf_counter()
        self._interval: list[tuple[float, ...]] = []
        self._epoch = 0
        self._last_step = first_step
        self._final_loss = math.nan

    def add(self, step: int, epoch: int, terms: Any) -> None:
        """Take a step's losses, and stop the run where they are not finite."""
        losses = tuple(
            float(term.detach()) for term in (terms.total, terms.main, terms.self_supervised)
        )
        if not math.isfinite(losses[0]):
            raise LongtailError(
                f"the loss of step {step} is not finite (main {losses[1]}, self-supervised "
                f"{losses[2]}): lower the learning rates or raise the temperatures; the last "
                "checkpoint is whole"
            )
        self._interval.append(losses)
        self._epoch = epoch

    def report(self, step: int) -> None:
        """Write the means of the interval that ends with `step`."""
        now = time.perf_counter()
        count = len(self._interval)
        total, main, self_supervised = (
            sum(column) / count for column in zip(*self._interval, strict=True)
        )
        rate = count / max(1e-9, now - self._interval_started)
        self._final_loss, self._last_step = total, step
        self._interval, self._interval_started = [], now
        if dist.get_rank() != 0:
            return
        record = {
            "step": step,
            "num_steps": self._num_steps,
            "epoch": self._epoch,
            "loss": total,
            "main_loss": main,
            "self_supervised_loss": self_supervised,
            "examples_per_second": rate * self._examples_per_step,
            "seconds_left": (self._num_steps - step) / rate,
        }
        with self._log_file.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(record) + "\n")

    def summary(self) -> dict[str, float | int]:
        """What the whole run came to."""
        seconds = max(1e-9, time.perf_counter() - self._started)
        steps = self._last_step - self._first_step
        return {
            "num_steps": self._num_steps,
            "final_loss": self._final_loss,
            "examples_per_second": steps * self._examples_per_step / seconds,
        }
