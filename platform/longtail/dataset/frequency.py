"""Estimates of how often an item stands in a batch: the Q of the logQ correction."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from longtail.dataset.sampler import ExampleSampler

Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]


class ItemFrequency(Protocol):
    """An estimate of how often each item stands among the positives of a rank's batch."""

    def expected(self, items: Int64Array, step: int) -> Float32Array:
        """Return `[n]` expected occurrences of the given items in a rank's batch at a step."""


class ExactFrequency:
    """Items' shares of the training part, times the batch size.

    Args:
        train_count: `[num_items]` training interactions.
        batch_size: examples of one rank in one step.
    """

    def __init__(self, train_count: Int64Array, batch_size: int) -> None:
        share = train_count / max(1, train_count.sum())
        self._expected = (batch_size * share).astype(np.float32)

    def expected(self, items: Int64Array, step: int) -> Float32Array:
        """Return the same estimate at every step."""
        del step
        expected: Float32Array = self._expected[items]
        return expected


class StreamingFrequency:
    """The streaming estimator of Yi et al. 2019, algorithm 2, with a slot of its own for each item.

    For each item it keeps the step A at which the item was last seen, and a moving average B of the
    steps between two occurrences: B <- (1 - rate) * B + rate * (step - A). So the item is expected
    1 / B times in a step. Its c occurrences in one batch have no order, so each of them has the
    interval (step - A) / c. (With step - A for the first one and zeros for the others, the batch
    would end in zeros, and an item seen 90 times in a batch would count as one seen 2,000 times.)

    A checkpoint has nothing to keep: the estimator watches the global batches, which follow from
    the seed, and a resumed run watches the earlier ones again.

    Args:
        item_of_example: `[num_examples]` item of each training example.
        num_items: items ever seen, in the catalogue or not.
        examples: chooses the examples of each step.
        rate: weight of the newest interval.
    """

    def __init__(
        self,
        item_of_example: npt.NDArray[np.int32],
        num_items: int,
        examples: ExampleSampler,
        rate: float,
    ) -> None:
        self._item_of_example = item_of_example
        self._examples = examples
        self._rate = rate
        self._last_seen = np.zeros(num_items, np.int64)
        # Before anything is seen, all items are taken to be equally frequent.
        global_batch = examples.batch_size * examples.world_size
        self._interval = np.full(num_items, num_items / global_batch)
        self._next_step = 0
        self._order: Int64Array = np.empty(0, np.int64)

    def expected(self, items: Int64Array, step: int) -> Float32Array:
        """Return the estimate after the step's own batch was seen, as in algorithm 2.

        Ask for steps in ascending order.
        """
        assert step >= self._next_step - 1, "the stream has gone past this step"
        while self._next_step <= step:
            self._watch(self._next_step)
            self._next_step += 1
        per_step = 1.0 / np.maximum(self._interval[items], 1e-12)
        expected: Float32Array = (per_step / self._examples.world_size).astype(np.float32)
        return expected

    def _watch(self, step: int) -> None:
        """Update the intervals of the items in a step's global batch."""
        epoch, step_in_epoch = divmod(step, self._examples.steps_per_epoch)
        if step_in_epoch == 0:
            self._order = self._examples.epoch_order(epoch)
        size = self._examples.batch_size * self._examples.world_size
        batch = self._order[step_in_epoch * size : (step_in_epoch + 1) * size]
        items, counts = np.unique(self._item_of_example[batch], return_counts=True)
        kept = (1.0 - self._rate) ** counts
        interval = (step + 1 - self._last_seen[items]) / counts
        self._interval[items] = kept * self._interval[items] + (1.0 - kept) * interval
        self._last_seen[items] = step + 1
