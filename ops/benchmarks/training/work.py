"""The data that the contenders train on, and the protocol of a contender."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from longtail.artifacts import RunPaths, read_json
from longtail.augmentation.masking_plan import MaskingPlan
from longtail.config import Config, load_config
from longtail.dataset.training_set import TrainingSet, load_training_set
from longtail.fingerprints import required_stamp


@dataclass(frozen=True)
class Work:
    """The data of a comparison.

    Attributes:
        training_set: the encoded training set.
        config: the configuration to train with.
        num_rows: number of rows by embedding table.
        plan: the masking plan.
    """

    training_set: TrainingSet
    config: Config
    num_rows: dict[str, int]
    plan: MaskingPlan


class Steps(Protocol):
    """A contender: a trainer that does a given number of steps, input included."""

    def run(self, num_steps: int) -> None:
        """Train for some steps. The next call goes on where this one ended."""


def demo(as_of: date | None) -> Work:
    """Return the demo's training set of a day, and make it first if needed."""
    from longtail.cli.earlier_stages import make_catalogue, make_correlations, make_training_set

    config = load_config()
    day = make_catalogue(config, as_of)
    make_training_set(config, day)
    make_correlations(config, day)
    run = RunPaths(config, day)
    return Work(
        load_training_set(run.training_set),
        config,
        required_stamp(run.vocabularies, made_by="dataset")["num_rows"],
        MaskingPlan.from_json(read_json(run.correlations / "correlations.json")),
    )


def with_settings(config: Config, **sections: dict[str, Any]) -> Config:
    """Return a configuration with some keys of some sections changed."""
    updates = {
        name: getattr(config, name).model_copy(update=keys) for name, keys in sections.items()
    }
    return config.model_copy(update=updates)


def endless(work: Work, config: Config, *, world_size: int = 1, rank: int = 0) -> Iterator[Any]:
    """Yield our batches, epoch after epoch."""
    from longtail.dataset.batch_builder import BatchBuilder

    builder = BatchBuilder(work.training_set, config, world_size=world_size, rank=rank)
    epoch = 0
    while True:
        yield from builder.epoch(epoch)
        epoch += 1
