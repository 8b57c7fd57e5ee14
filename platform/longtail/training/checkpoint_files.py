"""Checkpoints as files: lists them and reads them, without TorchRec and in one process."""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load

from longtail.artifacts import read_json

PROGRESS = "progress.json"
_STEP_FOLDER = re.compile(r"step-(\d+)")


def checkpoint_folder(folder: Path, step: int) -> Path:
    """Return the folder of the checkpoint of a step."""
    return folder / f"step-{step}"


def checkpoints(folder: Path) -> list[int]:
    """Return the steps of the finished checkpoints in a folder, ascending."""
    if not folder.is_dir():
        return []
    found = (_STEP_FOLDER.fullmatch(entry.name) for entry in folder.iterdir())
    return sorted(int(match.group(1)) for match in found if match)


def newest_checkpoint(folder: Path) -> Path:
    """Return the folder of the newest finished checkpoint.

    Raises:
        FileNotFoundError: there is no checkpoint.
    """
    steps = checkpoints(folder)
    if not steps:
        raise FileNotFoundError(f"no checkpoint in {folder}")
    return checkpoint_folder(folder, steps[-1])


def best_checkpoint(folder: Path) -> int | None:
    """Return the step with the highest score, the first one of equals. None: none has a score."""
    scores = {
        step: score
        for step in checkpoints(folder)
        if (score := read_progress(folder, step)["score"]) is not None
    }
    return max(scores, key=lambda step: (scores[step], -step), default=None)


def last_epoch_ends(folder: Path, epoch: int, count: int) -> list[int]:
    """Return the steps of the checkpoints at the ends of the last epochs, ascending.

    Args:
        folder: a folder of checkpoints.
        epoch: the last of these epochs; the first epoch of a run is 1.
        count: how many epochs are wanted. There are fewer at the beginning of a run.
    """
    if count < 1:
        return []
    progress = {step: read_progress(folder, step) for step in checkpoints(folder)}
    return [
        step
        for step, done in progress.items()
        if done["examples"] == 0 and epoch - count < done["epoch"] <= epoch
    ]


def read_progress(folder: Path, step: int) -> dict[str, Any]:
    """Return what a checkpoint says of itself: progress, ranks, training loss and score."""
    progress: dict[str, Any] = read_json(checkpoint_folder(folder, step) / PROGRESS)
    return progress


def stored_tensors(checkpoint: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor in a checkpoint, by name."""
    metadata = FileSystemReader(checkpoint).read_metadata()
    return {
        name: tuple(entry.size)
        for name, entry in metadata.state_dict_metadata.items()
        if isinstance(entry, TensorStorageMetadata)
    }


def read_tensors(checkpoint: Path, names: Iterable[str]) -> dict[str, torch.Tensor]:
    """Read whole tensors out of a checkpoint, in one process and without TorchRec."""
    metadata = FileSystemReader(checkpoint).read_metadata().state_dict_metadata
    tensors = {}
    for name in names:
        entry = metadata[name]
        assert isinstance(entry, TensorStorageMetadata), name
        tensors[name] = torch.empty(entry.size, dtype=entry.properties.dtype)
    load(tensors, checkpoint_id=checkpoint, no_dist=True)
    return tensors


def folder_bytes(folder: Path) -> int:
    """Return the bytes that the files of a folder take."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def write_synced(file: Path, document: dict[str, Any]) -> None:
    """Write a JSON document. It is on the disk when the call returns."""
    with file.open("w", encoding="utf-8") as handle:
        json.dump(document, handle, allow_nan=False)
        handle.flush()
        os.fsync(handle.fileno())
