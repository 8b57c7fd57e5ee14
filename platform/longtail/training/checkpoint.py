"""Checkpoints: sharded state on disk, readable at any number of ranks and without TorchRec."""

import logging
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

log = logging.getLogger("longtail.training")

_STEP_FOLDER = re.compile(r"step-(\d+)")


class Checkpointer:
    """Saves and loads model and optimizer in one folder a step, keeping the last few.

    Args:
        folder: holds `step-<n>` folders.
        model: a `DistributedModelParallel`.
        optimizer: TorchRec's `CombinedOptimizer` over tables and towers.
        keep: how many to keep.
    """

    def __init__(self, folder: Path, model: Any, optimizer: Any, *, keep: int) -> None:
        self._folder = folder
        self._model = model
        self._optimizer = optimizer
        self._keep = keep

    def state(self) -> dict[str, Any]:
        """The state that is saved; tensors are the live ones."""
        return {"model": self._model.state_dict(), "optim": self._optimizer.state_dict()}

    def save(self, step: int) -> None:
        """Write the state after `step` steps; on every rank, together."""
        target = self._folder / f"step-{step}"
        if target.exists():
            return
        temporary = self._folder / f".step-{step}.tmp"
        if dist.get_rank() == 0:
            shutil.rmtree(temporary, ignore_errors=True)
        dist.barrier()
        save(self.state(), checkpoint_id=temporary)
        if dist.get_rank() == 0:
            temporary.replace(target)
            for old in checkpoints(self._folder)[: -self._keep]:
                shutil.rmtree(self._folder / f"step-{old}")
        dist.barrier()

    def resume(self) -> int:
        """Load the newest checkpoint, at any number of ranks.

        Returns:
            The steps that it has seen; 0 where there is none.
        """
        steps = checkpoints(self._folder)
        if not steps:
            return 0
        state = self.state()
        load(state, checkpoint_id=self._folder / f"step-{steps[-1]}")
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optim"])
        log.info("resumed from the checkpoint of step %d", steps[-1])
        return steps[-1]


def checkpoints(folder: Path) -> list[int]:
    """Steps of the finished checkpoints in a folder, ascending."""
    if not folder.is_dir():
        return []
    found = (_STEP_FOLDER.fullmatch(entry.name) for entry in folder.iterdir())
    return sorted(int(match.group(1)) for match in found if match)


def newest_checkpoint(folder: Path) -> Path:
    """The folder of the newest finished checkpoint.

    Raises:
        FileNotFoundError: there is none.
    """
    steps = checkpoints(folder)
    if not steps:
        raise FileNotFoundError(f"no checkpoint in {folder}")
    return folder / f"step-{steps[-1]}"


def stored_tensors(checkpoint: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors in a checkpoint."""
    metadata = FileSystemReader(checkpoint).read_metadata()
    return {
        name: tuple(entry.size)
        for name, entry in metadata.state_dict_metadata.items()
        if isinstance(entry, TensorStorageMetadata)
    }


def read_tensors(checkpoint: Path, names: Iterable[str]) -> dict[str, torch.Tensor]:
    """Read whole tensors out of a checkpoint, in one process, without TorchRec."""
    metadata = FileSystemReader(checkpoint).read_metadata().state_dict_metadata
    tensors = {}
    for name in names:
        entry = metadata[name]
        assert isinstance(entry, TensorStorageMetadata), name
        tensors[name] = torch.empty(entry.size, dtype=entry.properties.dtype)
    load(tensors, checkpoint_id=checkpoint, no_dist=True)
    return tensors
