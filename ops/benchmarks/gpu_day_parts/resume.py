"""Saves while training goes on, restores into a fresh model, and goes on: equal losses."""

import tempfile
from pathlib import Path

import torch
from gpu_day_parts.day import Day, Failed
from gpu_day_parts.small_training import (
    Size,
    Training,
    device_of,
    largest_difference,
    one_rank,
    synthetic_work,
    tiny,
)

from longtail.dataset.batch import Batch
from longtail.training.checkpoint import Checkpointer
from longtail.training.checkpoint_files import checkpoint_folder, read_tensors, stored_tensors
from longtail.training.run_progress import Progress

_STEPS = 8  # before the checkpoint, and after it
# On a CPU a step repeats bit by bit. On a GPU sums may be added in another order.
_BOUND_ON_GPU = 1e-5


def measure(day: Day) -> None:
    """Compare the losses after a checkpoint with those of two runs that begin at it.

    Raises:
        Failed: the losses differ, or an asynchronous checkpoint holds other tensors than a
            synchronous one of the same step.
    """
    device = device_of(day.device_type)
    size = (
        Size(0.2, dim=64, items=50_000, batch_size=4096, num_batches=2 * _STEPS)
        if day.on_gpu
        else tiny(2 * _STEPS)
    )
    work = synthetic_work(size)
    progress = Progress(_STEPS, 0, _STEPS * size.batch_size)
    wrong = []
    with tempfile.TemporaryDirectory(dir=day.folder) as name, one_rank(device):
        folders = {kind: Path(name, kind) for kind in ("asynchronous", "synchronous")}
        for folder in folders.values():
            folder.mkdir()
        training = Training(work, device)
        batches = training.ready(2 * _STEPS)
        training.train(batches[:_STEPS])
        savers = {
            kind: Checkpointer(
                folder,
                training.model,
                training.optimizer,
                keep=1,
                asynchronous=kind == "asynchronous",
            )
            for kind, folder in folders.items()
        }
        # Only the asynchronous one is still being written when the next steps change the tensors.
        for kind in ("synchronous", "asynchronous"):
            savers[kind].save(progress, loss=0.0)
        wanted = training.train(batches[_STEPS:])
        for saver in savers.values():
            saver.wait()
        different = _different_tensors(*(checkpoint_folder(f, _STEPS) for f in folders.values()))
        day.record(different_tensors=different)
        if different:
            wrong.append(f"{len(different)} tensors of the asynchronous checkpoint differ")

        runs = [_resumed(training, folders["asynchronous"], batches) for _ in range(2)]
        difference = largest_difference(runs[0], wanted)
        day.record(
            num_steps=_STEPS,
            equal=runs[0] == wanted,
            difference=difference,
            # What the device itself differs by, from the same start.
            difference_of_two_resumed=largest_difference(runs[1], runs[0]),
        )
        day.say(f"largest relative difference after the restore: {difference:.1e}")
        if not difference <= (_BOUND_ON_GPU if day.on_gpu else 0.0):
            wrong.append(f"losses after the restore differ by {difference:.1e}")
    if wrong:
        raise Failed("; ".join(wrong))


def _resumed(first: Training, folder: Path, batches: list[Batch]) -> list[float]:
    """Return the losses of a fresh model that goes on from the checkpoint."""
    training = Training(first.work, first.device)
    checkpointer = Checkpointer(folder, training.model, training.optimizer, keep=1)
    progress = checkpointer.resume()
    return training.train(batches[progress.step :])


def _different_tensors(first: Path, second: Path) -> list[str]:
    """Return the names of the tensors that two checkpoints do not have in common."""
    names = stored_tensors(first)
    if names != stored_tensors(second):
        return sorted(names.keys() ^ stored_tensors(second).keys()) or ["shapes"]
    found, wanted = read_tensors(first, names), read_tensors(second, names)
    return [name for name in sorted(names) if not torch.equal(found[name], wanted[name])]
