"""Brings batches to the steps: one after another on a lone CPU, else ahead of their turn.

TorchRec's `TrainPipelineSparseDist` exchanges the indices of the next batch while this one is
trained on. On CUDA it also copies the batch after next, and uses three streams. Its `progress` is a
whole step. Here it is taken apart, so that the forward and the backward pass stand in the training
loop. A step learns the same in both ways, bit by bit.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torchrec.distributed.train_pipeline import TrainPipelineSparseDist
from torchrec.sparse.jagged_tensor import KeyedTensor
from torchrec.streamable import Pipelineable

from longtail.dataset.batch import Batch
from longtail.model.two_tower import LossTerms

# `Batch` has the methods of this interface. TorchRec's pipelines check that it is registered.
Pipelineable.register(Batch)


class Steps(ABC):
    """Brings each batch to its step.

    Args:
        model: the sharded two-tower model. It returns `LossTerms` for a batch.
        optimizer: over tables and towers.
        device: this rank's device.
    """

    def __init__(self, model: Any, optimizer: Any, device: torch.device) -> None:
        self._model = model
        self._optimizer = optimizer
        self._device = device

    @abstractmethod
    def batches(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield each batch on the device, ready for the model's forward pass."""

    @abstractmethod
    def send_next(self) -> None:
        """Send the next batch's indices. Called between the forward and the backward pass."""

    @abstractmethod
    def detach(self) -> None:
        """Leave the model as it was, so that others can call it."""

    def __call__(self, batches: Iterator[Batch]) -> Iterator[LossTerms]:
        """Train on each batch, and yield its losses when its step is done.

        This is the training loop without reports, checkpoints and stopping, for benchmarks.
        """
        for batch in self.batches(batches):
            self._optimizer.zero_grad()
            terms: LossTerms = self._model(batch)
            self.send_next()
            terms.total.backward()
            self._optimizer.step()
            yield terms


class PlainSteps(Steps):
    """Brings a batch when its turn comes. Nothing is sent ahead, and the model is not changed."""

    def batches(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield each batch on the device."""
        for batch in batches:
            yield batch.to(self._device)

    def send_next(self) -> None:
        """Do nothing."""

    def detach(self) -> None:
        """Do nothing."""


class OverlappedSteps(Steps):
    """Brings batches through `TrainPipelineSparseDist`. On CUDA give it `pinned` batches.

    Until `detach` is called, the model's tables take their indices from the pipeline. So the model
    must only be called with the batch that `batches` has just yielded.

    Args:
        model: a `DistributedModelParallel` of a `TwoTower`, in training mode.
        optimizer: over tables and towers.
        device: this rank's device.
    """

    def __init__(self, model: Any, optimizer: Any, device: torch.device) -> None:
        super().__init__(model, optimizer, device)
        self._pipeline = TrainPipelineSparseDist(
            _Lookup(model.module.embedding_bags).train(), optimizer, device
        )

    def batches(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield each batch, copied to the device and with its indices exchanged.

        Together with `send_next`, this makes the calls of `TrainPipelineSparseDist.progress` in
        their order.
        """
        pipeline, batches = self._pipeline, iter(batches)
        while True:
            # The pipeline is empty at the start of a pass: take two batches, and exchange the
            # first one's indices.
            pipeline.fill_pipeline(batches)
            if not pipeline.batches:
                return
            pipeline._set_module_context(pipeline.contexts[0])
            pipeline._wait_for_batch()
            # The ranks first tell each other how many indices of the next batch they will send.
            if len(pipeline.batches) >= 2:
                pipeline.start_sparse_data_dist(pipeline.batches[1], pipeline.contexts[1])
            pipeline.enqueue_batch(batches)
            yield pipeline.batches[0]
            pipeline.dequeue_batch()

    def send_next(self) -> None:
        """Send the next batch's indices. They travel while the gradients are computed."""
        pipeline = self._pipeline
        if len(pipeline.batches) >= 2:
            pipeline.wait_sparse_data_dist(pipeline.contexts[1])

    def detach(self) -> None:
        """Give the model's tables their own lookup back."""
        self._pipeline.detach()


class _Lookup(nn.Module):
    """The part of the model that the pipeline has to understand: which input goes to the tables.

    The pipeline traces a model to find that out. A two-tower model cannot be traced, because its
    masks and row counts depend on the batch. The pipeline replaces the lookup inside the sharded
    tables themselves, so the model that they belong to uses the replacement, too.
    """

    def __init__(self, embedding_bags: nn.Module) -> None:
        super().__init__()
        self.embedding_bags = embedding_bags

    def forward(self, batch: Batch) -> KeyedTensor:
        return self.embedding_bags(batch.features)


def training_steps(model: Any, optimizer: Any, device: torch.device) -> Steps:
    """Return the steps that suit a device: plain ones if there is nothing to wait for."""
    if device.type != "cuda" and dist.get_world_size() == 1:
        return PlainSteps(model, optimizer, device)
    return OverlappedSteps(model, optimizer, device)


def pinned(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield the batches, for CUDA in page-locked memory, so that their copies can overlap.

    Call it in the thread that makes the batches, since pinning takes time.
    """
    for batch in batches:
        yield batch.pin_memory() if device.type == "cuda" else batch
