"""How far a run has come, in words that hold at any number of ranks."""

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Progress:
    """What has been trained on.

    A step takes `batch_size * num_ranks` examples of the epoch's shuffled order, so the place in
    the data is a number of examples: at another number of ranks it is reached after other steps.

    Attributes:
        step: optimizer steps taken since the run began, at whatever number of ranks.
        epoch: passes over the training part that are done.
        examples: examples of the next pass that are done.
    """

    step: int = 0
    epoch: int = 0
    examples: int = 0

    def after_step(self, examples_per_step: int, num_examples: int) -> Self:
        """The progress after one step more; the last step of a pass may be filled up."""
        done = self.examples + examples_per_step
        ended = done >= num_examples
        return type(self)(self.step + 1, self.epoch + ended, 0 if ended else done)

    def aligned(self, examples_per_step: int) -> Self:
        """The progress at the last whole batch.

        It differs only after a change of the number of ranks: less than one batch is seen twice,
        and no example is left out.
        """
        whole = self.step_in_epoch(examples_per_step) * examples_per_step
        return type(self)(self.step, self.epoch, whole)

    def step_in_epoch(self, examples_per_step: int) -> int:
        """The step of the pass that comes next."""
        return self.examples // examples_per_step

    def to_json(self) -> dict[str, int]:
        """As a JSON document."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """From a JSON document, which may say more."""
        return cls(*(int(document[name]) for name in ("step", "epoch", "examples")))
