"""Chooses the examples of each step, and the catalogue items that are sampled for it.

Both choices are pure functions of the seed and the step, so a resumed run needs no random state.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_EPOCH_STREAM, _CATALOGUE_STREAM, _DROPOUT_STREAM, _MASK_STREAM, _HISTORY_STREAM = range(5)


@dataclass(frozen=True)
class ExampleSampler:
    """Shuffles all examples in each epoch; a rank reads its own part of every global batch.

    Attributes:
        num_examples: examples of the training part.
        batch_size: examples of one rank in one step.
        world_size: number of ranks.
        rank: this rank.
        seed: seeds the shuffle.
    """

    num_examples: int
    batch_size: int
    world_size: int
    rank: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """The number of steps in which every example is seen once."""
        return -(-self.num_examples // (self.batch_size * self.world_size))

    def epoch_order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return the shuffled order of all examples, the same on every rank."""
        return np.random.default_rng((self.seed, _EPOCH_STREAM, epoch)).permutation(
            self.num_examples
        )

    def batch(
        self, order: npt.NDArray[np.int64], step_in_epoch: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Return this rank's examples of a step.

        Repeated examples, which count for nothing, fill up the last batch of an epoch.

        Args:
            order: the epoch's order.
            step_in_epoch: the step, counted from the start of the epoch.

        Returns:
            `[batch_size]` example positions, and `[batch_size]` whether each one counts.
        """
        first = (step_in_epoch * self.world_size + self.rank) * self.batch_size
        positions = np.arange(first, first + self.batch_size)
        return order[positions % self.num_examples], positions < self.num_examples


class CatalogueSampler:
    """Draws catalogue items, evenly or by weight, none twice inside a global batch.

    Args:
        num_items: items in the catalogue.
        sample_size: items of one rank in one step; fewer where the catalogue has too few.
        world_size: number of ranks.
        rank: this rank.
        seed: seeds the draw.
        weights: `[num_items]`, how much more often some items are drawn than others; an item of
            weight zero never is. None draws all evenly.

    Attributes:
        size: items that a rank really draws in a step.
        expected: `[num_items]` float32, the probability that an item is in a rank's sample.
    """

    def __init__(
        self,
        num_items: int,
        sample_size: int,
        world_size: int,
        rank: int,
        seed: int,
        weights: npt.NDArray[np.int64] | None = None,
    ) -> None:
        drawable = num_items if weights is None else int(np.count_nonzero(weights))
        self.size = min(sample_size, drawable // world_size)
        self._num_items, self._world_size = num_items, world_size
        self._rank, self._seed = rank, seed
        total = self.size * world_size
        if weights is None:
            self._probability = None
            expected = np.full(num_items, total / max(1, num_items))
        else:
            self._probability = weights / max(1, weights.sum())
            expected = inclusion_probability(self._probability, total)
        self.expected = (expected / world_size).astype(np.float32)

    def draw(self, step: int, *, rank: int | None = None) -> npt.NDArray[np.int64]:
        """Return `[size]` positions in the catalogue, distinct over all ranks of the step.

        Args:
            step: the global step.
            rank: the rank to draw for; None is this rank.
        """
        generator = np.random.default_rng((self._seed, _CATALOGUE_STREAM, step))
        drawn = generator.choice(
            self._num_items, self.size * self._world_size, replace=False, p=self._probability
        )
        if self._probability is not None:
            # The likely items are drawn first. Shuffled, no rank gets more of them than another.
            drawn = generator.permuted(drawn)
        first = (self._rank if rank is None else rank) * self.size
        return drawn[first : first + self.size]


def inclusion_probability(
    probability: npt.NDArray[np.float64], size: int
) -> npt.NDArray[np.float64]:
    """Return how likely each item is among `size` distinct ones, drawn one after another: `[n]`.

    Such a draw is a race of exponential clocks with rates `probability`: it takes the items that
    ring first. The time of the last ring hardly varies where the sample is large. We take it for
    the time at which `size` clocks are expected to have rung (Rosen 1972).

    Args:
        probability: `[n]`, sums to 1.
        size: number of distinct items drawn, at most that of the items of non-zero probability.
    """
    if size >= np.count_nonzero(probability):
        return (probability > 0).astype(np.float64)
    # The expected number of rings grows with time: bisect for the time at which it is `size`.
    low, high = 0.0, 1.0
    while -np.expm1(-high * probability).sum() < size:
        high *= 2.0
    for _ in range(60):
        middle = (low + high) / 2
        enough = -np.expm1(-middle * probability).sum() >= size
        low, high = (low, middle) if enough else (middle, high)
    rung: npt.NDArray[np.float64] = -np.expm1(-high * probability)
    return rung


def dropout_generator(seed: int, step: int, rank: int) -> np.random.Generator:
    """Return the generator of dropped values and features, one for each step and rank."""
    return np.random.default_rng((seed, _DROPOUT_STREAM, step, rank))


def history_generator(seed: int, step: int, rank: int) -> np.random.Generator:
    """Return the generator of dropped histories and query ids, one for each step and rank."""
    return np.random.default_rng((seed, _HISTORY_STREAM, step, rank))


def mask_draws(seed: int, step: int, num_masks: int) -> tuple[int, ...]:
    """Return the random numbers that choose a step's masks, the same on every rank.

    More masks leave those before as they are.
    """
    generator = np.random.default_rng((seed, _MASK_STREAM, step))
    return tuple(generator.integers(2**31, size=num_masks).tolist())
