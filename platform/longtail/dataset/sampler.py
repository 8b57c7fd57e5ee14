"""Which examples, and which uniformly drawn catalogue items, make each step's batch.

Both are pure functions of the seed and the position, so a resumed run needs no random state.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_EPOCH_STREAM, _CATALOGUE_STREAM, _DROPOUT_STREAM, _MASK_STREAM = range(4)


@dataclass(frozen=True)
class ExampleSampler:
    """A global shuffle an epoch; each rank reads its own part of every global batch.

    Attributes:
        num_examples: examples of the training part.
        batch_size: examples a rank and step.
        world_size: ranks.
        rank: this one.
        seed: of the shuffle.
    """

    num_examples: int
    batch_size: int
    world_size: int
    rank: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every example is seen once."""
        return -(-self.num_examples // (self.batch_size * self.world_size))

    def epoch_order(self, epoch: int) -> npt.NDArray[np.int64]:
        """The shuffled order of all examples, the same on every rank."""
        return np.random.default_rng((self.seed, _EPOCH_STREAM, epoch)).permutation(
            self.num_examples
        )

    def batch(
        self, order: npt.NDArray[np.int64], step_in_epoch: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """This rank's examples of a step.

        The last batch of an epoch is filled up by repeating examples that count for nothing.

        Returns:
            `[batch_size]` example positions, and `[batch_size]` whether each one counts.
        """
        first = (step_in_epoch * self.world_size + self.rank) * self.batch_size
        positions = np.arange(first, first + self.batch_size)
        return order[positions % self.num_examples], positions < self.num_examples


@dataclass(frozen=True)
class CatalogueSampler:
    """Catalogue items drawn uniformly, without duplicates inside a global batch.

    Attributes:
        num_items: items in the catalogue.
        sample_size: items a rank and step; fewer where the catalogue is smaller.
        world_size: ranks.
        rank: this one.
        seed: of the draw.
    """

    num_items: int
    sample_size: int
    world_size: int
    rank: int
    seed: int

    @property
    def size(self) -> int:
        """Items that a rank really draws a step."""
        return min(self.sample_size, self.num_items // self.world_size)

    def draw(self, step: int) -> npt.NDArray[np.int64]:
        """`[size]` positions in the catalogue, distinct over all ranks of the step."""
        generator = np.random.default_rng((self.seed, _CATALOGUE_STREAM, step))
        drawn = generator.choice(self.num_items, self.size * self.world_size, replace=False)
        return drawn[self.rank * self.size : (self.rank + 1) * self.size]


def dropout_generator(seed: int, step: int, rank: int) -> np.random.Generator:
    """The random numbers of value dropout: its own stream a step and rank."""
    return np.random.default_rng((seed, _DROPOUT_STREAM, step, rank))


def mask_generator(seed: int, step: int) -> np.random.Generator:
    """The random numbers of the mask: one mask a step, the same on every rank."""
    return np.random.default_rng((seed, _MASK_STREAM, step))
