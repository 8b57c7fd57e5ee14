"""Writes checkpoints while training goes on, and resumes from them at any number of ranks."""

import logging
import os
import pickle
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint import CheckpointException
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from longtail.artifacts import read_json
from longtail.errors import LongtailError
from longtail.training.checkpoint_files import (
    PROGRESS,
    best_checkpoint,
    checkpoint_folder,
    checkpoints,
    folder_bytes,
    last_epoch_ends,
    read_progress,
    stored_tensors,
    write_synced,
)
from longtail.training.run_progress import Progress
from longtail.training.state_snapshot import snapshot

log = logging.getLogger("longtail.training")

_UNREADABLE = (
    *(CheckpointException, LongtailError, OSError),
    *(KeyError, ValueError, EOFError, pickle.UnpicklingError),
)


class Checkpointer:
    """Saves and loads model, optimizers, random states and progress, in one folder a checkpoint.

    A checkpoint is written to a temporary folder, which is renamed when it is whole. So neither a
    kill nor a full disk damages the earlier ones. The last few are kept. If there is a score, the
    best one is kept as well, and so is every epoch's end that a model's mean weights need.

    Args:
        folder: the folder of the `step-<n>` folders.
        model: a `DistributedModelParallel`.
        optimizer: TorchRec's `CombinedOptimizer` over tables and towers.
        keep: the number of newest checkpoints that are kept.
        asynchronous: whether `save` returns as soon as the state is copied, while a thread writes
            it.
        score: called on rank 0 with the folders of the checkpoints that make the model, the new one
            last, and the mean training loss since the checkpoint before. A higher result is better.
            None: no checkpoint is best.
        average_epochs: the number of last epochs that a model's weights are the mean of.
        only_epoch_ends: whether only checkpoints at the end of an epoch are scored.
    """

    def __init__(
        self,
        folder: Path,
        model: Any,
        optimizer: Any,
        *,
        keep: int,
        asynchronous: bool = True,
        score: Callable[[Sequence[Path], float], float] | None = None,
        average_epochs: int = 1,
        only_epoch_ends: bool = False,
    ) -> None:
        self._folder = folder
        self._model = model
        self._optimizer = optimizer
        self._keep = keep
        self._asynchronous = asynchronous
        self._score = score
        self._average_epochs = average_epochs
        self._only_epoch_ends = only_epoch_ends
        # A group of its own, since the background thread must not mix its messages with a step's.
        self._group = dist.new_group(backend="gloo")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[str | None] | None = None
        self._last_step: int | None = None

    def state(self) -> dict[str, Any]:
        """Return the state of model and optimizers. Its tensors are the live ones."""
        return {"model": self._model.state_dict(), "optim": self._optimizer.state_dict()}

    def save(self, progress: Progress, *, loss: float) -> str | None:
        """Begin to write the state after a step. Every rank calls it, at the same step.

        The call first waits until the checkpoint before is written.

        Args:
            progress: what the model has been trained on.
            loss: the mean training loss since the checkpoint before. It is stored with the state.

        Returns:
            The reason why the checkpoint before could not be written, or None. A failure does not
            keep this checkpoint from being written.
        """
        if self._last_step == progress.step:
            return None
        failure = self.finish()
        self._last_step = progress.step
        state = {**self.state(), "random": {f"rank-{dist.get_rank()}": _random_state()}}
        # The next step changes the live tensors, so the background thread gets a copy.
        if self._asynchronous:
            state = snapshot(state)
        self._pending = self._writer.submit(self._write, state, progress, loss)
        if not self._asynchronous:
            self._pending.exception()  # only waits: an error surfaces in the next call
        return failure

    def last_good(self) -> str:
        """Return a sentence that names the newest whole checkpoint. Every rank calls it."""
        self.finish()
        steps = checkpoints(self._folder)
        if not steps:
            return "There is no checkpoint yet"
        return f"The last good checkpoint is {checkpoint_folder(self._folder, steps[-1])}"

    def best(self) -> Progress | None:
        """Return the progress of the checkpoint with the highest score. None: none has a score.

        Every rank calls it, while no checkpoint is pending.
        """
        found: list[Progress | None] = [None]
        if dist.get_rank() == 0 and (step := best_checkpoint(self._folder)) is not None:
            found = [Progress.from_json(read_progress(self._folder, step))]
        dist.broadcast_object_list(found, src=0, group=self._group)
        return found[0]

    def wait(self) -> None:
        """Wait until the last checkpoint is written. Every rank calls it.

        Raises:
            LongtailError: it could not be written. The message says which checkpoint is left, and
                what to do.
        """
        failure = self.finish()
        if failure is not None:
            self._last_step = None
            raise LongtailError(f"{failure}, then run again: training goes on from there")

    def resume(self) -> Progress:
        """Load the newest checkpoint, at any number of ranks. Every rank calls it.

        Returns:
            The progress at the checkpoint, or that of a new run if there is none.

        Raises:
            LongtailError: the checkpoint cannot be read.
        """
        # Rank 0 looks and tells the others, so that all load the same step even if one rank sees
        # a shared folder late.
        found: list[int | None] = [None]
        if dist.get_rank() == 0:
            for left_over in self._folder.glob(".step-*.tmp"):
                shutil.rmtree(left_over)
            found = [max(checkpoints(self._folder), default=None)]
        dist.broadcast_object_list(found, src=0, group=self._group)
        if found[0] is None:
            return Progress()
        folder = checkpoint_folder(self._folder, found[0])
        state = self.state()
        own = f"rank-{dist.get_rank()}"
        try:
            # A rank that the saved run did not have keeps its own random state.
            if any(name.startswith(f"random.{own}.") for name in stored_tensors(folder)):
                state["random"] = {own: _random_state()}
            load(state, checkpoint_id=folder, process_group=self._group)
            progress = Progress.from_json(read_json(folder / PROGRESS))
        except _UNREADABLE as error:
            raise LongtailError(
                f"the checkpoint {folder} cannot be read ({_cause(error)}): remove that folder "
                "and run again; training then goes on from the checkpoint before"
            ) from error
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optim"])
        if "random" in state:
            _set_random_state(state["random"][own])
        self._last_step = progress.step
        log.info("resumed from the checkpoint of step %d", progress.step)
        return progress

    def finish(self) -> str | None:
        """Wait for the pending checkpoint. Return why it failed, the same on all ranks, or None."""
        if self._pending is None:
            return None
        pending, self._pending = self._pending, None
        return pending.result()

    def _write(self, state: dict[str, Any], progress: Progress, loss: float) -> str | None:
        """Write a checkpoint, and commit it on rank 0. Return why that failed, or None.

        It runs on every rank, in the background thread.
        """
        temporary = self._folder / f".step-{progress.step}.tmp"
        first = dist.get_rank() == 0
        failure: list[str | None] = [None]
        try:
            if first:
                shutil.rmtree(temporary, ignore_errors=True)
            dist.barrier(self._group)
            save(state, checkpoint_id=temporary, process_group=self._group)
            if first:
                self._commit(temporary, progress, loss)
        except (CheckpointException, OSError) as error:
            failure = [_cause(error)]
            if first:
                shutil.rmtree(temporary, ignore_errors=True)
        # A commit can fail on rank 0 alone, and then all ranks have to know.
        dist.broadcast_object_list(failure, src=0, group=self._group)
        return None if failure[0] is None else self._explain(progress.step, failure[0])

    def _commit(self, temporary: Path, progress: Progress, loss: float) -> None:
        """Make a written checkpoint count, and remove those that are no longer kept."""
        score = None
        if self._score is not None and not (self._only_epoch_ends and progress.examples):
            before = last_epoch_ends(self._folder, progress.epoch - 1, self._average_epochs - 1)
            made_of = [checkpoint_folder(self._folder, step) for step in before]
            score = self._score([*made_of, temporary], loss)
            log.info("the checkpoint of step %d has a score of %.6g", progress.step, score)
        document = {
            **progress.to_json(),
            "num_ranks": dist.get_world_size(),
            "loss": loss,
            "score": score,
        }
        write_synced(temporary / PROGRESS, document)
        temporary.replace(checkpoint_folder(self._folder, progress.step))
        # A rename is on the disk only when its folder is.
        descriptor = os.open(self._folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        for step in set(checkpoints(self._folder)) - self._kept():
            # Renamed first, since a half removed checkpoint must not look like a whole one.
            doomed = self._folder / f".step-{step}.tmp"
            checkpoint_folder(self._folder, step).replace(doomed)
            with suppress(OSError):  # the next resume removes the rest
                shutil.rmtree(doomed)

    def _kept(self) -> set[int]:
        """Return the steps of the checkpoints that stay."""
        kept = set(checkpoints(self._folder)[-self._keep :])
        best = None if self._score is None else best_checkpoint(self._folder)
        models = {max(kept)} | ({best} if best is not None else set())
        if self._average_epochs > 1:
            for step in models:
                epoch = read_progress(self._folder, step)["epoch"]
                kept.update(last_epoch_ends(self._folder, epoch, self._average_epochs))
        return kept | models

    def _explain(self, step: int, cause: str) -> str:
        """Return what went wrong with a checkpoint, what is left, and what to do about it."""
        free = shutil.disk_usage(self._folder).free
        steps = checkpoints(self._folder)
        if steps:
            last = checkpoint_folder(self._folder, steps[-1])
            size = _size(folder_bytes(last))
            left = f"The checkpoint of step {steps[-1]} is whole, and takes {size}"
        else:
            left = "There is no earlier checkpoint"
        return (
            f"the checkpoint of step {step} could not be written to {self._folder}: {cause}. "
            f"{left}; {_size(free)} are free there: make room"
        )


def _random_state() -> dict[str, torch.Tensor]:
    """Return the state of torch's generators. All other randomness follows from seed and step."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _set_random_state(state: dict[str, torch.Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"])


def _cause(error: BaseException) -> str:
    """Return an error on one line. If several ranks failed, it is that of the lowest rank."""
    if isinstance(error, CheckpointException) and error.failures:
        rank, (first, _) = min(error.failures.items())
        return f"{type(first).__name__} on rank {rank}: {' '.join(str(first).split())}"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.1f} MB"
