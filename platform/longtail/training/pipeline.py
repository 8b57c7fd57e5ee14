"""The steps of training: one after another on a lone CPU, else overlapped.

TorchRec's `TrainPipelineSparseDist` exchanges the indices of the next batch while it trains on this
one; on CUDA it copies the batch after next as well, on three streams. What is learned is the same.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torchrec.distributed.train_pipeline import TrainPipelineSparseDist
from torchrec.sparse.jagged_tensor import KeyedTensor
from torchrec.streamable import Pipelineable

from longtail.dataset.batch import Batch
from longtail.model.two_tower import LossTerms

# It has both methods; by this TorchRec's pipelines, which check, know it.
Pipelineable.register(Batch)


def _nothing(*_: object) -> None:
    pass


class PlainSteps:
    """One step after another: lookup, towers, gradients, update.

    Args:
        model: the sharded two-tower model; returns `LossTerms`.
        optimizer: over tables and towers.
        device: of this rank.
        before: called before each step.
        lap: called with `forward` and with `backward_and_update` when these end.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        device: torch.device,
        *,
        before: Callable[[], None] = _nothing,
        lap: Callable[[str], None] = _nothing,
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._device = device
        self._before = before
        self._lap = lap

    def __call__(self, batches: Iterator[Batch]) -> Iterator[LossTerms]:
        """Train on each batch; its losses are given when its step is done."""
        for batch in batches:
            self._before()
            self._optimizer.zero_grad()
            terms: LossTerms = self._model(batch.to(self._device))
            self._lap("forward")
            terms.total.backward()
            self._optimizer.step()
            self._lap("backward_and_update")
            yield terms

    def detach(self) -> None:
        """Nothing: the model was never changed."""


class OverlappedSteps:
    """The same steps through `TrainPipelineSparseDist`; on CUDA give it `pinned` batches.

    While it runs, the model has the next batch's indices in its tables: nothing else may call the
    model before `detach`.

    Args:
        model: a `DistributedModelParallel` of a `TwoTower`, in training mode.
        optimizer: over tables and towers.
        device: of this rank.
        before, lap: as those of `PlainSteps`.
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        device: torch.device,
        *,
        before: Callable[[], None] = _nothing,
        lap: Callable[[str], None] = _nothing,
    ) -> None:
        self._model = model
        self._before = before
        self._lap = lap
        self._pipeline = TrainPipelineSparseDist(
            _Lookup(model.module.embedding_bags).train(),
            optimizer,
            device,
            custom_model_fwd=self._forward,
        )

    def __call__(self, batches: Iterator[Batch]) -> Iterator[LossTerms]:
        """Train on each batch; its losses are given when its step is done."""
        batches = iter(batches)
        while True:
            try:
                terms: LossTerms = self._pipeline.progress(batches)
            except StopIteration:
                return
            self._lap("backward_and_update")
            yield terms

    def _forward(self, batch: Batch | None) -> tuple[torch.Tensor, LossTerms]:
        assert batch is not None
        self._before()
        terms: LossTerms = self._model(batch)
        self._lap("forward")
        return terms.total.unsqueeze(0), terms  # the pipeline sums over the first dimension

    def detach(self) -> None:
        """Give the model its own lookup back; without it, only this object can call the model."""
        self._pipeline.detach()


class _Lookup(nn.Module):
    """The part of the model that the pipeline has to understand: which input goes to the tables.

    The pipeline traces a model for that, and a two-tower model's masks and row counts depend on
    the batch, which cannot be traced. It replaces the lookup inside the sharded tables themselves,
    so that the model they were taken from has it, too.
    """

    def __init__(self, embedding_bags: nn.Module) -> None:
        super().__init__()
        self.embedding_bags = embedding_bags

    def forward(self, batch: Batch) -> KeyedTensor:
        return self.embedding_bags(batch.features)


def training_steps(
    model: Any,
    optimizer: Any,
    device: torch.device,
    *,
    before: Callable[[], None] = _nothing,
    lap: Callable[[str], None] = _nothing,
) -> PlainSteps | OverlappedSteps:
    """The way to train on a device: plain where there is nothing to wait for."""
    if device.type != "cuda" and dist.get_world_size() == 1:
        return PlainSteps(model, optimizer, device, before=before, lap=lap)
    return OverlappedSteps(model, optimizer, device, before=before, lap=lap)


def pinned(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """Batches in page-locked memory where the device is CUDA, so that their copies can overlap.

    To be called in the thread that makes the batches: pinning takes time.
    """
    for batch in batches:
        yield batch.pin_memory() if device.type == "cuda" else batch
