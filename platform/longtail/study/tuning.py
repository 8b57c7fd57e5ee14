"""Chooses hyper-parameters: one axis after the other, on the validation part alone."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from longtail.config import Config, StudyConfig
from longtail.config.changes import setting, with_settings
from longtail.study.cells import Cell, Document
from longtail.study.search_axes import Axis, axes
from longtail.study.variants import VARIANTS

# A generator that yields cells to run, is sent their documents (None for a cell that failed), and
# returns at the end.
Steps = Generator[list[Cell], list[Document | None], Any]


@dataclass(frozen=True)
class Choice:
    """The hyper-parameters that a variant's reported cells are trained with.

    Attributes:
        settings: settings by dotted key, with those inherited from the baseline.
        num_epochs: passes over the training part.
        score: the validation figure that it was chosen by; None if nothing was tried.
        trials: file names of the trials.
    """

    settings: dict[str, Any]
    num_epochs: int
    score: float | None = None
    trials: tuple[str, ...] = ()


def score(metrics: Mapping[str, Mapping[str, float]], study: StudyConfig) -> float:
    """Return the figure that settings are chosen by."""
    return float(metrics[study.metric_slice][study.metric])


def best_epoch(curve: Sequence[Mapping[str, Any]], study: StudyConfig) -> tuple[float, int]:
    """Return a trial's best figure and the epoch that reached it, the first among equals."""
    reached = [(score(entry["metrics"], study), -entry["epoch"]) for entry in curve]
    figure, negated = max(reached)
    return figure, -negated


class Search:
    """A coordinate sweep: each axis is searched from the best settings so far.

    Args:
        variant: the variant; its axes are tried.
        base: the study's configuration.
        inherited: settings to start from.
        make_trial: makes the cell for some settings; its part must be the validation part.

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
        # All trials name every key that any axis tries, so that they can be compared.
        config = VARIANTS[variant](base)
        keys = [key for axis in axes(variant, base) for key in axis.keys]
        self._start = {**{key: setting(config, key) for key in keys}, **inherited}
        self._make_trial = make_trial
        self._reached: dict[str, tuple[float, int] | None] = {}
        self.choice: Choice | None = None

    def steps(self) -> Steps:
        """Try all axes; afterwards `choice` holds the best settings."""
        for axis in axes(self._variant, self._base):
            current = self.choice.settings if self.choice else self._start
            tried: dict[float, float | None] = {}
            values: list[float] = list(axis.values)
            while values:
                tried |= yield from self._try(axis, current, values)
                # The best value may be the last one tried: then one more beyond it is tried.
                figures = {value: figure for value, figure in tried.items() if figure is not None}
                best = max(figures, key=lambda value: figures[value], default=None)
                beyond = None if best is None else axis.beyond(list(tried), best)
                values = [] if beyond is None else [beyond]

    def _try(
        self, axis: Axis, current: Mapping[str, Any], values: Sequence[float]
    ) -> Generator[list[Cell], list[Document | None], dict[float, float | None]]:
        """Run the trials that were not run yet, and return the figure of each value, or None."""
        config = with_settings(VARIANTS[self._variant](self._base), current)
        settings = [{**current, **axis.settings(config, value)} for value in values]
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
