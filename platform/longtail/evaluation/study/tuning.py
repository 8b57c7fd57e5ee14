"""Choosing hyper-parameters: one axis after the other, on the validation part alone."""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longtail.config import Config, StudyConfig
from longtail.evaluation.study.cells import Cell, Document
from longtail.evaluation.study.variants import BASELINE, VARIANTS, setting, with_settings

# Asks for cells; is sent their documents, None for one that failed; returns at the end.
Steps = Generator[list[Cell], list[Document | None], Any]

LEARNING_RATES = ("training.table_learning_rate", "training.tower_learning_rate")
WEIGHT = "self_supervision.weight"
VALUE_DROPOUT = "self_supervision.value_dropout"
FEATURE_DROPOUT = "self_supervision.feature_dropout"
TEMPERATURE = "loss.temperature"


@dataclass(frozen=True)
class Axis:
    """Values to try while everything else stays.

    Attributes:
        keys: dotted keys that move together.
        values: what they become, or what they are multiplied by.
        scale: multiply the values in hand.
    """

    keys: tuple[str, ...]
    values: tuple[float, ...]
    scale: bool = False

    def settings(self, config: Config, value: float) -> dict[str, float]:
        """The keys with one of the values, `config` being what is in hand."""
        return {key: value * setting(config, key) if self.scale else value for key in self.keys}


@dataclass(frozen=True)
class Choice:
    """What a variant's reported cells are trained with.

    Attributes:
        settings: by dotted key; those inherited from the baseline included.
        num_epochs: passes over the training part.
        score: the validation figure that it was chosen by; None where nothing was tried.
        trials: file names of the trials.
    """

    settings: dict[str, Any]
    num_epochs: int
    score: float | None = None
    trials: tuple[str, ...] = ()


def axes(variant: str, base: Config) -> list[Axis]:
    """What is tried for a variant, in this order.

    By default a variant with self-supervision, and feature dropout, has 6 trials of its own, after
    those of the baseline, whose learning rates and temperature it starts from; the baseline has
    14, as many as any other has with what it inherits.
    """
    config, study = VARIANTS[variant](base), base.study
    ssl = config.self_supervision
    if ssl.augmentation == "feature_dropout":
        return [Axis((FEATURE_DROPOUT,), study.feature_dropouts)]
    if not ssl.contrasts:
        return [
            Axis(LEARNING_RATES, study.learning_rate_scales, scale=True),
            Axis((TEMPERATURE,), study.temperatures),
            Axis(LEARNING_RATES[1:], (0.25, 0.5, 2.0, 4.0), scale=True),
            Axis(LEARNING_RATES, (0.7, 1.4), scale=True),
        ]
    if ssl.augmentation == "spread_out" or ssl.value_dropout == 0.0:
        return [Axis((WEIGHT,), study.weights), Axis((WEIGHT,), (0.55, 1.8), scale=True)]
    return [Axis((WEIGHT,), study.weights), Axis((VALUE_DROPOUT,), study.value_dropouts)]


def num_trials(variant: str, base: Config) -> int:
    """Trials of a variant: all values of its axes, none twice."""
    config = VARIANTS[variant](base)
    total = 0
    for number, axis in enumerate(axes(variant, base)):
        in_hand = number > 0 and not axis.scale and setting(config, axis.keys[0]) in axis.values
        total += len(axis.values) - (1 if in_hand else 0)
    return total


def score(metrics: Mapping[str, Mapping[str, float]], study: StudyConfig) -> float:
    """The figure that is chosen by."""
    return float(metrics[study.metric_slice][study.metric])


def best_epoch(trial: Document, study: StudyConfig) -> tuple[float, int]:
    """A trial's best figure, and after which epoch it was reached; the earlier among equals."""
    reached = [(score(entry["metrics"], study), -entry["epoch"]) for entry in trial["curve"]]
    figure, negated = max(reached)
    return figure, -negated


def search(
    variant: str,
    base: Config,
    inherited: Mapping[str, Any],
    make_trial: Callable[[dict[str, Any]], Cell],
) -> Steps:
    """Try the values of each axis in turn, and keep the best before the next.

    Args:
        variant: whose axes are tried.
        base: the study's configuration.
        inherited: settings to start from.
        make_trial: makes the cell of some settings; its part is the validation part.

    Returns:
        The `Choice`; None where every trial failed.
    """
    study = base.study
    settings = dict(inherited)
    best: tuple[float, int] = (-math.inf, 0)
    names: list[str] = []
    for axis in axes(variant, base):
        config = with_settings(VARIANTS[variant](base), settings)
        tried: Sequence[dict[str, Any]] = [
            {**settings, **axis.settings(config, value)} for value in axis.values
        ]
        trials = [make_trial(candidate) for candidate in tried]
        fresh = [number for number, trial in enumerate(trials) if trial.name not in names]
        names += [trials[number].name for number in fresh]
        documents = yield [trials[number] for number in fresh]
        for number, document in zip(fresh, documents, strict=True):
            if document is None or not document.get("curve"):
                continue
            figure, epoch = best_epoch(document, study)
            if figure > best[0]:
                best, settings = (figure, epoch), dict(tried[number])
    if best[1] == 0:
        return None
    return Choice(settings, best[1], best[0], tuple(names))


def inherits(choice: Choice | None) -> dict[str, Any]:
    """What other variants take over from the baseline's choice."""
    kept = {*LEARNING_RATES, TEMPERATURE}
    return {k: v for k, v in choice.settings.items() if k in kept} if choice else {}


def waits_for_baseline(variant: str, variants: Sequence[str], *, tune: bool) -> bool:
    """Whether a variant can only begin when the baseline's hyper-parameters are chosen."""
    return tune and variant != BASELINE and BASELINE in variants
