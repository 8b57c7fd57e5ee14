"""The best trial, against the present configuration."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from longtail.config import Config
from longtail.config.changes import setting
from longtail.tuning.axes import NUM_EPOCHS
from longtail.tuning.resampling import ResampledObjective
from longtail.tuning.trial import Epoch, best_epoch, candidate_epoch
from longtail.tuning.trials import Finished, Trials

_CHOOSE_EPOCHS = ("training.early_stopping_epochs", "checkpoints.best_by")


@dataclass(frozen=True)
class Candidate:
    """A trial and the epoch of it that counts.

    Attributes:
        trial: the trial.
        epoch: its epoch, with the figures of the validation part.
    """

    trial: Finished
    epoch: Epoch

    @property
    def objective(self) -> float:
        """The objective after that epoch."""
        return self.epoch["objective"]


@dataclass(frozen=True)
class Choice:
    """The best trial and the present configuration.

    Attributes:
        present: the present configuration, after the epochs that it trains.
        best: the best of all trials.
        gain: the difference of their objectives.
        interval: its 95% interval, by a paired bootstrap of the validation queries.
        changes: what to change in the configuration, by dotted key; empty if nothing is better.
    """

    present: Candidate
    best: Candidate
    gain: float
    interval: tuple[float, float]
    changes: dict[str, Any]

    @property
    def is_better(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.interval[0] > 0.0


def best_candidate(finished: Sequence[Finished], config: Config) -> Candidate | None:
    """Return the best epoch of all trials, the first among equals; None without any."""
    candidates = [
        Candidate(trial, epoch)
        for trial in finished
        if (epoch := candidate_epoch(trial.curve, trial.settings, config)) is not None
    ]
    return max(candidates, key=lambda each: each.objective, default=None)


def present_candidate(
    finished: Sequence[Finished], settings: dict[str, Any], config: Config
) -> Candidate | None:
    """Return the trial of the present configuration, after as many epochs as it trains.

    Where the configuration chooses the epoch itself, that is the best one up to `num_epochs`.

    Args:
        finished: the trials.
        settings: those of the present configuration.
        config: the present configuration.
    """
    num_epochs = config.training.num_epochs
    for trial in finished:
        if trial.settings == settings and (
            len(trial.curve) >= num_epochs or (_chooses(config) and trial.ended == "no rise")
        ):
            trained = trial.curve[:num_epochs]
            return Candidate(trial, best_epoch(trained) if _chooses(config) else trained[-1])
    return None


def choose(
    trials: Trials, resampled: ResampledObjective, settings: dict[str, Any], config: Config
) -> Choice | None:
    """Return the best trial against the present configuration; None before both have figures.

    Args:
        trials: the finished trials.
        resampled: the objective of the validation part.
        settings: those of the present configuration.
        config: the present configuration.
    """
    finished = trials.finished()
    present = present_candidate(finished, settings, config)
    best = best_candidate(finished, config)
    if present is None or best is None:
        return None
    if best.objective <= present.objective:
        best = present
    interval = resampled.gain_interval(
        trials.ranks(best.trial.number, best.epoch["epoch"]),
        trials.ranks(present.trial.number, present.epoch["epoch"]),
        seed=config.tuning.seed,
    )
    gain = best.objective - present.objective
    changes = {} if best is present else changes_to(best, config)
    return Choice(present, best, gain, interval, changes)


def changes_to(best: Candidate, config: Config) -> dict[str, Any]:
    """Return the keys of the configuration that have to change, with their new values.

    `num_epochs` becomes the epoch that was best, so nothing is left to choose on the way: rules
    that choose a checkpoint are switched off.
    """
    wanted = {**best.trial.settings, NUM_EPOCHS: best.epoch["epoch"]}
    wanted |= {key: None for key in _CHOOSE_EPOCHS if setting(config, key) is not None}
    return {key: value for key, value in wanted.items() if value != _plain(setting(config, key))}


def _chooses(config: Config) -> bool:
    return config.checkpoints.measure(config.training) is not None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
