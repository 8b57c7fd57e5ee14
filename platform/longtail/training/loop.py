"""The training loop, which reads from top to bottom."""

import queue
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

import torch

from longtail.dataset.batch_builder import BatchBuilder
from longtail.training.batch_pipeline import pinned, training_steps
from longtail.training.checkpoint import Checkpointer
from longtail.training.interruption import StopRequest, TrainingInterruptedError
from longtail.training.loss_meter import Meter
from longtail.training.optimization.early_stopping import EarlyStopping
from longtail.training.optimization.schedule import Schedule

Element = TypeVar("Element")
_PREFETCHED_BATCHES = 4


def train(
    model: Any,
    optimizer: Any,
    builder: BatchBuilder,
    checkpointer: Checkpointer,
    meter: Meter,
    stop: StopRequest,
    schedule: Schedule,
    *,
    num_epochs: int,
    checkpoint_every_steps: int,
    device: torch.device,
    checkpoint_every_epoch: bool = False,
    early_stopping: EarlyStopping | None = None,
) -> dict[str, Any]:
    """Train to the end, from the newest checkpoint if there is one.

    Args:
        model: the sharded two-tower model. It returns `LossTerms` for a batch.
        optimizer: over tables and towers.
        builder: makes this rank's batches.
        checkpointer: of model and optimizer.
        meter: gets the losses of every step. It reports them, and stops a run that has diverged.
        stop: asked after every step whether to stop before the end.
        schedule: sets the learning rates, and shrinks the tables before an epoch.
        num_epochs: passes over the training part, at most.
        checkpoint_every_steps: steps between two checkpoints. The last step always has one.
        device: this rank's device.
        checkpoint_every_epoch: whether the last step of each epoch has a checkpoint, too.
        early_stopping: asked before each epoch whether to train it. It needs a checkpoint of every
            epoch. None: all epochs are trained.

    Returns:
        `num_steps`, `final_loss` (the mean of the last logging interval), `examples_per_second`
        (of all ranks, over the steps since this start), and `ended`, the reason for the end.

    Raises:
        LongtailError: a loss is not finite, or the last checkpoint could not be written.
        TrainingInterruptedError: the run was told to stop. Its last step has a checkpoint.
    """
    examples = builder.examples
    per_step = examples.batch_size * examples.world_size

    # Go on where the newest checkpoint was made. It may have had another number of ranks, so the
    # steps that are left are counted from the examples that are left.
    resumed = checkpointer.resume()
    progress = resumed.aligned(per_step)
    num_left = (num_epochs - progress.epoch) * builder.steps_per_epoch
    num_left -= progress.step_in_epoch(per_step)
    num_steps = progress.step + num_left
    meter.begin(progress, num_steps)
    clock = meter.clock
    model.train()
    steps = training_steps(model, optimizer, device)
    ended = f"all {num_epochs} epochs are done"
    try:
        while progress.epoch < num_epochs:
            # The epoch before has its checkpoint, and by its score this one may not be needed.
            if early_stopping is not None:
                _warn(meter, checkpointer.finish())
                reason = early_stopping.reason_to_end(progress)
                if reason is not None:
                    ended = reason
                    break
            # An epoch that a start before this one has begun is not begun again.
            if progress.step > resumed.step or not resumed.examples:
                schedule.begin_epoch(progress)

            # A thread makes batches ahead of the steps, and pins their memory for a GPU.
            first_step = progress.step_in_epoch(per_step)
            batches = prefetched(
                pinned(builder.epoch(progress.epoch, first_step=first_step), device)
            )
            for batch in steps.batches(clock.waits_for(batches)):
                # The ranks agree whether to stop while they compute, so that it costs no time.
                stop.ask()

                # One step. The next batch's indices travel between the ranks in the meantime.
                schedule.before_step(progress)
                optimizer.zero_grad()
                terms = model(batch)
                clock.device_lap("forward")
                steps.send_next()
                terms.total.backward()
                optimizer.step()
                clock.device_lap("backward_and_update")

                meter.add(progress, terms)
                progress = progress.after_step(per_step, examples.num_examples)
                stopping = stop.answer()
                last = stopping or progress.step == num_steps

                # Reading losses makes the host wait for a GPU, so it is done once an interval.
                if last or meter.is_due(progress.step):
                    meter.report(model)
                clock.lap("reporting")

                # The loss is read before each checkpoint, so that none holds a diverged model. A
                # checkpoint that fails costs nothing yet, since the ones before it are whole.
                due = progress.step % checkpoint_every_steps == 0
                if last or due or (checkpoint_every_epoch and progress.examples == 0):
                    loss = meter.loss_since_checkpoint()
                    _warn(meter, checkpointer.save(progress, loss=loss))
                    clock.lap("checkpoint")

                # The last checkpoint is the result: it must be on the disk.
                if last:
                    checkpointer.wait()
                if stopping and progress.step < num_steps:
                    raise TrainingInterruptedError(
                        f"stopped after step {progress.step} of {num_steps}"
                    )
    finally:
        steps.detach()  # others may call the model again
    return {**meter.summary(), "ended": ended}


def _warn(meter: Meter, failure: str | None) -> None:
    """Warn of a checkpoint that could not be written."""
    if failure is not None:
        meter.warn(f"{failure}. Training goes on; the next checkpoint is tried")


def prefetched(elements: Iterator[Element]) -> Iterator[Element]:
    """Yield the elements. A background thread makes them, a few ahead of their use.

    An error of the thread is raised here.
    """
    ready: queue.Queue[tuple[Element | None, BaseException | None]] = queue.Queue(
        _PREFETCHED_BATCHES
    )
    stopped = threading.Event()

    def put(element: Element | None, error: BaseException | None) -> None:
        # A plain `put` would block for ever if the consumer stopped while the queue was full.
        while not stopped.is_set():
            try:
                ready.put((element, error), timeout=0.1)
                return
            except queue.Full:
                continue

    def produce() -> None:
        try:
            for element in elements:
                put(element, None)
                if stopped.is_set():
                    return
            put(None, None)
        except BaseException as error:  # the consumer raises it
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
