"""Sets the learning rates of each step, and shrinks the tables before each epoch."""

import math
from typing import Any

from longtail.config import TrainingConfig
from longtail.training.optimization.weight_decay import shrink_tables
from longtail.training.run_progress import Progress


class Schedule:
    """The part of training that depends on how far the run has come.

    It depends on the share of all examples that are done, and on nothing else. So a resumed run has
    the same rates, at any number of ranks.

    Args:
        model: the sharded two-tower model.
        optimizer: TorchRec's `CombinedOptimizer` over tables and towers, with its first rates.
        training: `learning_rate_decay` and `table_weight_decay` are read.
        num_examples: examples of an epoch.
        num_epochs: epochs of the whole run.
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        training: TrainingConfig,
        *,
        num_examples: int,
        num_epochs: int,
    ) -> None:
        self._model = model
        self._decay = training.learning_rate_decay
        self._table_decay = training.table_weight_decay
        self._num_examples = num_examples
        self._num_epochs = num_epochs
        # The rates of tables reach FBGEMM from here: its optimizer reads them in `zero_grad`.
        self._groups = list(optimizer.param_groups)
        self._rates = [group["lr"] for group in self._groups]

    def begin_epoch(self, progress: Progress) -> None:
        """Shrink the tables, if an epoch was done before. Every rank calls it.

        Not after an epoch, so that a checkpoint holds the weights that the last step has made.
        """
        if progress.epoch and self._table_decay:
            shrink_tables(self._model, self._table_decay * self.factor(progress))

    def before_step(self, progress: Progress) -> None:
        """Set the learning rates of a step. It is called before the optimizer's `zero_grad`.

        Args:
            progress: what is done before the step.
        """
        if self._decay == "none":
            return
        factor = self.factor(progress)
        for group, rate in zip(self._groups, self._rates, strict=True):
            group["lr"] = rate * factor

    def factor(self, progress: Progress) -> float:
        """Return the factor of the learning rates: 1 at the run's start, and near 0 at its end."""
        done = (progress.epoch + progress.examples / self._num_examples) / self._num_epochs
        if self._decay == "linear":
            return 1.0 - done
        return 0.5 + 0.5 * math.cos(math.pi * done) if self._decay == "cosine" else 1.0
