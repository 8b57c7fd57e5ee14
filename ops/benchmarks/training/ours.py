"""Our trainer: the model, the optimizer, the batches and the steps of a training run."""

from typing import Any

import torch

from longtail.config import Config
from longtail.training.batch_pipeline import training_steps
from longtail.training.loop import prefetched
from longtail.training.sharding.sharded_model import build_model
from training.work import Work, endless, with_settings

CPU = torch.device("cpu")
# The same trainer without self-supervision and sampled items, with sampled items, and with both.
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "base": {"self_supervision": {"augmentation": "none"}, "loss": {"mixed_negatives": False}},
    "mixed": {"self_supervision": {"augmentation": "none"}},
    "ssl": {},
}


class Ours:
    """Steps of our trainer on this process's rank.

    Args:
        work: the training set and its configuration.
        variant: a name in `VARIANTS`.
        batch_size: examples per rank and step.
        world_size, rank: those of the process group, which must exist.
    """

    def __init__(
        self, work: Work, variant: str, batch_size: int, *, world_size: int = 1, rank: int = 0
    ) -> None:
        self.config: Config = with_settings(
            with_settings(work.config, **VARIANTS[variant]), training={"batch_size": batch_size}
        )
        self.model, self.optimizer = build_model(
            work.training_set,
            self.config,
            num_rows=work.num_rows,
            plan=work.plan,
            device=CPU,
        )
        self.model.train()
        batches = endless(work, self.config, world_size=world_size, rank=rank)
        self._steps = training_steps(self.model, self.optimizer, CPU)(prefetched(batches))

    def run(self, num_steps: int) -> None:
        """Train for some steps."""
        for _ in range(num_steps):
            next(self._steps)


class Input:
    """The input of our trainer alone: makes batches, and does not train on them."""

    def __init__(self, work: Work, ours: Ours) -> None:
        self._batches = endless(work, ours.config)

    def run(self, num_steps: int) -> None:
        """Make some batches."""
        for _ in range(num_steps):
            next(self._batches)
