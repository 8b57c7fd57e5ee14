"""The training loop, read from top to bottom."""

import queue
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

import torch

from longtail.dataset.batch_builder import BatchBuilder
from longtail.training.checkpoint import Checkpointer
from longtail.training.interruption import StopRequest, TrainingInterruptedError
from longtail.training.meter import Meter
from longtail.training.pipeline import pinned, training_steps

Element = TypeVar("Element")
_PREFETCHED_BATCHES = 4


def train(
    model: Any,
    optimizer: Any,
    builder: BatchBuilder,
    checkpointer: Checkpointer,
    meter: Meter,
    stop: StopRequest,
    *,
    num_epochs: int,
    checkpoint_every_steps: int,
    device: torch.device,
) -> dict[str, float | int]:
    """Train to the end, from the newest checkpoint if there is one.

    Args:
        model: the sharded two-tower model; returns `LossTerms`.
        optimizer: over tables and towers.
        builder: makes this rank's batches.
        checkpointer: of model and optimizer.
        meter: told of every step; reports, and stops a run that has diverged.
        stop: asked after every step whether to stop before the end.
        num_epochs: passes over the training part.
        checkpoint_every_steps: steps between two checkpoints; the last step has one in any case.
        device: of this rank.

    Returns:
        `num_steps`, `final_loss` (mean of the last logging interval) and `examples_per_second`
        (all ranks; of this start, resumed steps left out).

    Raises:
        LongtailError: a loss is not finite, or the last checkpoint could not be written.
        TrainingInterruptedError: told to stop; there is a checkpoint of the last step.
    """
    examples = builder.examples
    per_step = examples.batch_size * examples.world_size
    progress = checkpointer.resume().aligned(per_step)
    num_left = (num_epochs - progress.epoch) * builder.steps_per_epoch
    num_left -= progress.step_in_epoch(per_step)
    num_steps = progress.step + num_left
    meter.begin(progress, num_steps)
    clock = meter.clock
    model.train()
    steps = training_steps(model, optimizer, device, before=stop.ask, lap=clock.device_lap)
    try:
        while progress.epoch < num_epochs:
            first_step = progress.step_in_epoch(per_step)
            batches = prefetched(
                pinned(builder.epoch(progress.epoch, first_step=first_step), device)
            )
            for terms in steps(clock.waits_for(batches)):
                meter.add(progress, terms)
                progress = progress.after_step(per_step, examples.num_examples)
                stopping = stop.answer()
                last = stopping or progress.step == num_steps
                if last or meter.is_due(progress.step):
                    meter.report(model)
                clock.lap("reporting")
                if last or progress.step % checkpoint_every_steps == 0:
                    failure = checkpointer.save(progress, loss=meter.loss_since_checkpoint())
                    if failure is not None:
                        meter.warn(f"{failure}. Training goes on; the next checkpoint is tried")
                    clock.lap("checkpoint")
                if last:
                    checkpointer.wait()
                if stopping and progress.step < num_steps:
                    raise TrainingInterruptedError(
                        f"stopped after step {progress.step} of {num_steps}"
                    )
    finally:
        steps.detach()  # others may call the model again
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
