"""A run's progress, in terms that mean the same at any number of ranks."""

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Progress:
    """The steps, epochs and examples that a run has trained on.

    A step takes `batch_size * num_ranks` examples of the epoch's shuffled order. So the place in
    the data is given as a number of examples, which does not depend on the number of ranks.

    Attributes:
        step: optimizer steps since the run began, whatever the number of ranks was.
        epoch: passes over the training part that are done.
        examples: examples of the current pass that are done.
    """

    step: int = 0
    epoch: int = 0
    examples: int = 0

    def after_step(self, examples_per_step: int, num_examples: int) -> Self:
        """Return the progress after one more step.

        Args:
            examples_per_step: examples of a step, of all ranks together.
            num_examples: examples of a pass. Its last step may repeat some to be full.
        """
        done = self.examples + examples_per_step
        ended = done >= num_examples
        return type(self)(self.step + 1, self.epoch + ended, 0 if ended else done)

    def aligned(self, examples_per_step: int) -> Self:
        """Return the progress, moved back to the start of a whole step.

        It moves only if the number of ranks has changed. Then less than one step's examples are
        seen twice, and no example is left out.
        """
        whole = self.step_in_epoch(examples_per_step) * examples_per_step
        return type(self)(self.step, self.epoch, whole)

    def step_in_epoch(self, examples_per_step: int) -> int:
        """Return the number, in its pass, of the step that comes next."""
        return self.examples // examples_per_step

    def to_json(self) -> dict[str, int]:
        """Return the progress as a JSON document."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read the progress from a JSON document. Other keys are ignored."""
        return cls(*(int(document[name]) for name in ("step", "epoch", "examples")))
