"""Ends training when a figure on the validation part no longer rises."""

from longtail.training.checkpoint import Checkpointer
from longtail.training.run_progress import Progress


class EarlyStopping:
    """Decides before each epoch whether to train it.

    The decision follows from the checkpoints alone, so a resumed run makes the same one.

    Args:
        checkpointer: of the run. It scores the checkpoints at the ends of epochs.
        num_epochs: the number of epochs without a rise after which training ends.
    """

    def __init__(self, checkpointer: Checkpointer, num_epochs: int) -> None:
        self._checkpointer = checkpointer
        self._num_epochs = num_epochs

    def reason_to_end(self, progress: Progress) -> str | None:
        """Return why training ends here, or None. Every rank calls it, with no checkpoint pending.

        Args:
            progress: what is done so far.
        """
        best = self._checkpointer.best()
        if best is None or progress.epoch - best.epoch < self._num_epochs:
            return None
        return (
            f"the validation figure of epoch {best.epoch} was not passed in "
            f"{progress.epoch - best.epoch} more epoch(s)"
        )
