"""How often an item is expected among a batch's candidates: the Q of the logQ correction."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from longtail.dataset.sampler import ExampleSampler

Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]


class ItemFrequency(Protocol):
    """An estimate of how often each item stands among the positives of a rank's batch."""

    def expected(self, items: Int64Array, step: int) -> Float32Array:
        """`[n]` expected occurrences of the given items in a rank's batch at a step."""


class ExactFrequency:
    """The items' shares of the training part, times the batch.

    Args:
        train_count: `[num_items]` training interactions.
        batch_size: examples a rank and step.
    """

    def __init__(self, train_count: Int64Array, batch_size: int) -> None:
        share = train_count / max(1, train_count.sum())
        self._expected = (batch_size * share).astype(np.float32)

    def expected(self, items: Int64Array, step: int) -> Float32Array:
        """The same at every step."""
        del step
        expected: Float32Array = self._expected[items]
        return expected


class StreamingFrequency:
    """The streaming estimator of Yi et al. 2019, algorithm 2, with one slot an item.

    For each item it keeps the step A at which it was last seen, and a moving average B of the
    steps between two occurrences: B <- (1 - rate) * B + rate * (step - A), so that 1 / B is its
    expected number of occurrences a step. The c occurrences in one batch have no order: each of
    them has the interval (step - A) / c. (With step - A for the first and zeros for the others,
    the batch would end in zeros, and an item seen 90 times a batch be taken for one seen 2,000
    times.)

    It holds no state that a checkpoint would have to keep: it watches the global batches that the
    seed determines, and on a resume watches the earlier ones again.

    Args:
        item_of_example: `[num_examples]` item of each training example.
        num_items: of the catalogue and beyond.
        examples: which examples each step has.
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
        """The estimate after the given step's own batch was seen, as in algorithm 2.

        Steps are asked for in ascending order.
        """
        assert step >= self._next_step - 1, "the stream has gone past this step"
        while self._next_step <= step:
            self._watch(self._next_step)
            self._next_step += 1
        per_step = 1.0 / np.maximum(self._interval[items], 1e-12)
        expected: Float32Array = (per_step / self._examples.world_size).astype(np.float32)
        return expected

    def _watch(self, step: int) -> None:
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
