"""The result of a tuning as a JSON document, and in words."""

from datetime import date
from typing import Any

from longtail.config import Config
from longtail.config.changes import setting
from longtail.tuning.choice import Candidate, Choice
from longtail.tuning.trial import candidate_epoch
from longtail.tuning.trials import Finished, Trials
from longtail.tuning.yaml_file import SIGNATURE

DOCUMENT = "trials.json"
PLOT = "trials.png"


def document_of(choice: Choice, trials: Trials, config: Config, as_of: date) -> dict[str, Any]:
    """Return the trials, the present configuration, the best trial, and what it changes.

    Returns:
        `as_of`, `folder`, `objective` (the weights of its terms), `present` and `best` (a trial
        with the `metrics` by slice), `gain`, `interval`, `better`, `changes` (`present` and `best`
        by key), and `trials`. A trial has `number` (from 1), `settings`, `objective` and `epoch`
        (None if no epoch of it could be chosen), `num_epochs`, `ended`, `seconds` and `curve`, the
        objective after each epoch.
    """
    return {
        "as_of": as_of.isoformat(),
        "folder": str(trials.folder),
        "objective": dict(config.evaluation.objective),
        "present": _candidate(choice.present),
        "best": _candidate(choice.best),
        "gain": choice.gain,
        "interval": list(choice.interval),
        "better": choice.is_better,
        "changes": {
            key: {"present": setting(config, key), "best": value}
            for key, value in choice.changes.items()
        },
        "trials": [_row(trial, config) for trial in trials.finished()],
    }


def figures_of(trials: Trials, config: Config) -> dict[int, float]:
    """Return the objective of each trial that could be chosen, by its number in the journal."""
    found = {
        trial.number: candidate_epoch(trial.curve, trial.settings, config)
        for trial in trials.finished()
    }
    return {number: epoch["objective"] for number, epoch in found.items() if epoch is not None}


def comment_of(choice: Choice, num_trials: int, day: date) -> str:
    """Return the comment behind each value that is written into the configuration."""
    return (
        f"{SIGNATURE} {day.isoformat()}: validation objective {choice.present.objective:.4f} -> "
        f"{choice.best.objective:.4f}, {num_trials} trials"
    )


def verdict(choice: Choice) -> str:
    """Return in a sentence whether the best trial is better than the present configuration."""
    low, high = choice.interval
    if not choice.changes:
        return "Nothing is better than the present configuration."
    found = (
        f"{choice.present.objective:.4f} -> {choice.best.objective:.4f}, a gain of "
        f"{choice.gain:.4f} (95% of samples of the queries: {low:+.4f} to {high:+.4f})"
    )
    if choice.is_better:
        return f"The best trial is better than the present configuration: {found}."
    return f"Nothing is better than the present configuration beyond chance: {found}."


def _candidate(candidate: Candidate) -> dict[str, Any]:
    trial, epoch = candidate.trial, candidate.epoch
    return {
        "number": trial.order,
        "settings": trial.settings,
        "epoch": epoch["epoch"],
        "objective": epoch["objective"],
        "metrics": epoch["metrics"],
    }


def _row(trial: Finished, config: Config) -> dict[str, Any]:
    epoch = candidate_epoch(trial.curve, trial.settings, config)
    return {
        "number": trial.order,
        "settings": trial.settings,
        "objective": epoch and epoch["objective"],
        "epoch": epoch and epoch["epoch"],
        "num_epochs": len(trial.curve),
        "ended": trial.ended,
        "seconds": trial.seconds,
        "curve": [entry["objective"] for entry in trial.curve],
    }
