"""Choosing hyper-parameters: one axis after the other, on the validation part alone."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from longtail.config import Config, StudyConfig
from longtail.study.cells import Cell, Document
from longtail.study.search_axes import Axis, axes
from longtail.study.variants import VARIANTS, setting, with_settings

# Asks for cells; is sent their documents, None for one that failed; returns at the end.
Steps = Generator[list[Cell], list[Document | None], Any]


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


def score(metrics: Mapping[str, Mapping[str, float]], study: StudyConfig) -> float:
    """The figure that is chosen by."""
    return float(metrics[study.metric_slice][study.metric])


def best_epoch(curve: Sequence[Mapping[str, Any]], study: StudyConfig) -> tuple[float, int]:
    """A trial's best figure, and after which epoch it was reached; the earlier among equals."""
    reached = [(score(entry["metrics"], study), -entry["epoch"]) for entry in curve]
    figure, negated = max(reached)
    return figure, -negated


class Search:
    """A coordinate sweep.

    Args:
        variant: whose axes are tried.
        base: the study's configuration.
        inherited: settings to start from.
        make_trial: makes the cell of some settings; its part is the validation part.

    Attributes:
        choice: the best so far; None before a trial has given a figure.
    """

    def __init__(
        self,
        variant: str,
        base: Config,
        inherited: Mapping[str, Any],
        make_trial: Callable[[dict[str, Any]], Cell],
    ) -> None:
        self._variant = variant
        self._base = base
        # Every key that is tried is named from the beginning, so that all trials can be compared.
        config = VARIANTS[variant](base)
        keys = [key for axis in axes(variant, base) for key in axis.keys]
        self._start = {**{key: setting(config, key) for key in keys}, **inherited}
        self._make_trial = make_trial
        self._reached: dict[str, tuple[float, int] | None] = {}
        self.choice: Choice | None = None

    def steps(self) -> Steps:
        """Try all axes; `choice` holds what came of it."""
        for axis in axes(self._variant, self._base):
            in_hand = self.choice.settings if self.choice else self._start
            tried: dict[float, float | None] = {}
            values: list[float] = list(axis.values)
            while values:
                tried |= yield from self._try(axis, in_hand, values)
                figures = {value: figure for value, figure in tried.items() if figure is not None}
                best = max(figures, key=lambda value: figures[value], default=None)
                further = None if best is None else axis.beyond(list(tried), best)
                values = [] if further is None else [further]

    def _try(
        self, axis: Axis, in_hand: Mapping[str, Any], values: Sequence[float]
    ) -> Generator[list[Cell], list[Document | None], dict[float, float | None]]:
        """Run the trials that were not run yet; returns the figure of each value, None if none."""
        config = with_settings(VARIANTS[self._variant](self._base), in_hand)
        settings = [{**in_hand, **axis.settings(config, value)} for value in values]
        trials = [self._make_trial(candidate) for candidate in settings]
        fresh = [trial for trial in trials if trial.name not in self._reached]
        documents = yield fresh
        for trial, document in zip(fresh, documents, strict=True):
            curve = document["curve"] if document else []
            self._reached[trial.name] = best_epoch(curve, self._base.study) if curve else None
        figures = {}
        for value, candidate, trial in zip(values, settings, trials, strict=True):
            reached = self._reached[trial.name]
            figures[value] = reached[0] if reached else None
            if reached and (self.choice is None or reached[0] > (self.choice.score or 0.0)):
                self.choice = Choice(candidate, reached[1], reached[0])
        if self.choice is not None:
            self.choice = replace(self.choice, trials=tuple(self._reached))
        return figures
