"""The mean of the weights at several points of a run.

A mean over the last epochs lies nearer to the middle of a region of low loss than any of its points
(Izmailov et al. 2018, arXiv 1803.05407), and it varies less. A moving average after every step
would cost a pass over all tables each time. The weights at the ends of epochs lie on the disk
already, as checkpoints: so their mean costs no memory while training goes on, and a resumed run has
the same one.
"""

from collections.abc import Iterable, Mapping

import torch

from longtail.config import TrainingConfig
from longtail.encoder.tensor_names import table_of_tensor

Weights = Mapping[str, torch.Tensor]


def averaged_tensors(names: Iterable[str], training: TrainingConfig) -> list[str]:
    """Return the names of a model's tensors that are averaged: all, or those of the towers."""
    return [name for name in names if training.average_tables or table_of_tensor(name) is None]


@torch.no_grad()
def average(states: Iterable[Weights]) -> dict[str, torch.Tensor]:
    """Return the mean of each tensor, in float32. One state at a time has to be in memory.

    Args:
        states: at least one. All have the same tensors.
    """
    total: dict[str, torch.Tensor] = {}
    count = 0
    for count, state in enumerate(states, start=1):
        for name, tensor in state.items():
            if count == 1:
                total[name] = tensor.to(torch.float32, copy=True)
            else:
                total[name] += tensor
    return {name: tensor.div_(count) for name, tensor in total.items()}
