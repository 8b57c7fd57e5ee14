"""One trial: a model is trained in this process, and measured after every epoch."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal, Self, TypedDict

import numpy as np
import numpy.typing as npt

from longtail.artifacts import RunPaths, read_json
from longtail.augmentation.masking_plan import MaskingPlan
from longtail.config import Config
from longtail.dataset.training_set import TrainingSet, load_training_set
from longtail.encoder.torch_encoder import Encoder
from longtail.errors import InputError, LongtailError
from longtail.evaluation.encoder_ranks import encode_and_rank
from longtail.evaluation.held_out import (
    HeldOut,
    chosen_examples,
    fewer_queries,
    held_out_pairs,
)
from longtail.evaluation.metrics import metrics_by_slice
from longtail.evaluation.objective import objective
from longtail.evaluation.results import MetricsBySlice
from longtail.evaluation.slices import Slices, item_slices
from longtail.fingerprints import fingerprint, required_stamp
from longtail.training.train_in_process import train_in_process
from longtail.tuning.resampling import ResampledObjective

# A rank beyond this counts as this one: no metric looks so far, and a rank then takes one byte.
LAST_RANK = 255

Ended = Literal["no rise", "all epochs", "pruned", "out of time", "failed"]


class Epoch(TypedDict):
    """The figures of the validation part after an epoch."""

    epoch: int
    objective: float
    metrics: MetricsBySlice


class _EnoughError(Exception):
    """Ends a training before its last epoch."""


@dataclass(frozen=True)
class TuningData:
    """All that trials read: the training part, the validation part, and nothing of the test part.

    Attributes:
        training_set: without test examples.
        num_rows: rows of each embedding table.
        plan: the masking plan.
        questions: the validation pairs that are ranked.
        slices: of the candidates.
        resampled: the objective, for its interval.
        identity: a hash of the data.
    """

    training_set: TrainingSet
    num_rows: dict[str, int]
    plan: MaskingPlan
    questions: HeldOut
    slices: Slices
    resampled: ResampledObjective
    identity: str

    def objective(self, ranks: npt.NDArray[np.int64], config: Config) -> float:
        """Return the objective of the `[P]` ranks of the validation pairs."""
        evaluation = config.evaluation
        return objective(
            ranks,
            self.questions,
            self.training_set.train_count[self.questions.candidate],
            evaluation.objective,
            head_fraction=evaluation.head_fraction,
        )

    @classmethod
    def of_day(cls, config: Config, as_of: date) -> Self:
        """Return the data that the stages of a day have made.

        Raises:
            InputError: the validation part has no pair that can be ranked.
            LongtailError: a stage has not finished.
        """
        run = RunPaths(config, as_of)
        num_rows = required_stamp(run.vocabularies, made_by="dataset")["num_rows"]
        stamp = required_stamp(run.training_set, made_by="dataset")
        required_stamp(run.correlations, made_by="mine")
        plan = MaskingPlan.from_json(read_json(run.correlations / "correlations.json"))
        whole = load_training_set(run.training_set)
        # The test part is taken away before anything is computed.
        training_set = replace(whole, test=chosen_examples(whole.test, np.array([], np.int64)))
        asked = fewer_queries(training_set, config.tuning.max_validation_queries)
        questions = held_out_pairs(asked, "validation")
        if not len(questions.pair_item):
            raise InputError(
                "there is nothing to tune on: the validation part has no pair of a query and an "
                "item in the catalogue; raise `dataset.validation_fraction`"
            )
        train_count = training_set.train_count[questions.candidate]
        head = config.evaluation.head_fraction
        resampled = ResampledObjective(
            questions, train_count, config.evaluation.objective, head_fraction=head
        )
        return cls(
            training_set,
            num_rows,
            plan,
            questions,
            item_slices(train_count, head),
            resampled,
            fingerprint(stamp["fingerprint"], num_rows, plan.masks),
        )


@dataclass(frozen=True)
class Trained:
    """The result of a trial.

    Attributes:
        curve: the figures after each epoch that was trained.
        ranks: `[epochs, P]` uint8, the rank of each validation pair after each epoch, at most 255.
        ended: why it ended.
        error: what went wrong, if it failed.
        seconds: how long it took.
    """

    curve: list[Epoch]
    ranks: npt.NDArray[np.uint8]
    ended: Ended
    error: str | None
    seconds: float


def run_trial(
    data: TuningData,
    config: Config,
    *,
    max_epochs: int,
    min_epochs: int,
    stops: Callable[[int, float], Ended | None],
) -> Trained:
    """Train with a configuration, and measure the validation part after every epoch.

    Training ends when the objective has not risen for `tuning.patience` epochs. With a decay of the
    rates it runs to its last epoch, for which alone the rates were meant.

    Args:
        data: of the day.
        config: the configuration to try.
        max_epochs: passes over the training part, at most.
        min_epochs: passes before which a missing rise does not end it.
        stops: asked after each epoch, with its number and the objective, whether to end here, and
            why. Its answer goes before the number of epochs.
    """
    start = time.monotonic()
    curve: list[Epoch] = []
    ranks: list[npt.NDArray[np.uint8]] = []
    ended: Ended = "all epochs"
    decays = config.training.learning_rate_decay != "none"

    def after_epoch(epoch: int, encoder: Encoder) -> None:
        nonlocal ended
        found = encode_and_rank(
            encoder,
            data.training_set,
            data.questions,
            query_batch_size=config.evaluation.query_batch_size,
        )
        ranks.append(np.minimum(found, LAST_RANK).astype(np.uint8))
        figure = data.objective(found, config)
        metrics = metrics_by_slice(found, data.questions, data.slices)
        curve.append({"epoch": epoch, "objective": figure, "metrics": metrics})
        reason = stops(epoch, figure)
        rising = epoch - best_epoch(curve)["epoch"] < config.tuning.patience
        if reason is None and not (rising or decays or epoch < min_epochs):
            reason = "no rise"
        if reason is not None and epoch < max_epochs:
            ended = reason
            raise _EnoughError

    error = None
    try:
        with suppress(_EnoughError):
            train_in_process(
                data.training_set,
                config,
                num_rows=data.num_rows,
                plan=data.plan,
                num_epochs=max_epochs,
                after_epoch=after_epoch,
            )
    except LongtailError as caught:
        # Such as a loss that is not finite: these values are no good, others may be.
        ended, error = "failed", str(caught)
    none = np.empty((0, len(data.questions.pair_item)), np.uint8)
    return Trained(
        curve, np.stack(ranks) if ranks else none, ended, error, time.monotonic() - start
    )


def best_epoch(curve: list[Epoch]) -> Epoch:
    """Return the epoch with the best objective, the first among equals."""
    return max(curve, key=lambda entry: (entry["objective"], -entry["epoch"]))


def candidate_epoch(curve: list[Epoch], settings: dict[str, Any], config: Config) -> Epoch | None:
    """Return the epoch of a trial that could become the configuration, or None.

    Args:
        curve: of the trial.
        settings: of the trial.
        config: the present configuration; its decay counts where `settings` has none.
    """
    decay = settings.get("training.learning_rate_decay", config.training.learning_rate_decay)
    if not curve or decay == "none":
        return best_epoch(curve) if curve else None
    # The rates of the epochs before the last belong to the whole course.
    num_epochs = settings.get("training.num_epochs", config.training.num_epochs)
    return curve[-1] if curve[-1]["epoch"] == num_epochs else None
