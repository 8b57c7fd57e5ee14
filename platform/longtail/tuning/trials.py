"""The finished trials of a day on the disk, so that the same command goes on.

    <home>/tuning/<day>/<identity>/journal.log    Optuna's journal: values, objective by epoch
                                   ranks/         the ranks of the validation pairs, by epoch
                                   trials.json    the result as a document
                                   trials.png     the plot

The identity is a hash of the data, of the configuration but for what is tuned, of the axes, and of
the code that trains and measures. Trials of another identity are never mixed in.
"""

import fcntl
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from optuna.distributions import distribution_to_json
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from longtail.artifacts import replaced_file
from longtail.config import Config
from longtail.errors import LongtailError
from longtail.fingerprints import fingerprint, source_hash
from longtail.tuning.axes import NUM_EPOCHS, Axis
from longtail.tuning.trial import Epoch, Trained

log = logging.getLogger("longtail.tuning")

JOURNAL = "journal.log"
# The code that a figure depends on, and the registry that training takes its augmentation from.
SOURCES = (
    "longtail.tuning.trial",
    "longtail.training.train_in_process",
    "longtail.augmentation.registry",
)
# What a trial does not read: it has its own epochs, one rank, no checkpoint and no parent.
_UNREAD = {
    *("num_epochs", "early_stopping_epochs", "warm_start", "warm_start_epochs"),
    *("num_ranks", "threads_per_rank", "max_restarts"),
    *("checkpoint_every_steps", "keep_checkpoints", "log_every_steps"),
}


@dataclass(frozen=True)
class Finished:
    """A trial that has ended.

    Attributes:
        number: its number in the journal, in which interrupted trials have one, too.
        order: its place among those that have ended, from 1.
        values: by key of the axis.
        settings: the settings that it was trained with, of the axes that had an effect.
        curve: the figures after each epoch.
        ended: why it ended.
        error: what went wrong, if it failed.
        seconds: how long it took.
    """

    number: int
    order: int
    values: dict[str, Any]
    settings: dict[str, Any]
    curve: list[Epoch]
    ended: str
    error: str | None
    seconds: float


class Trials:
    """The trials of one identity.

    Args:
        folder: the folder of the day, `<home>/tuning/<day>`.
        identity: of the trials.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder / identity[:12]
        others = sorted(file.parent.name for file in folder.glob(f"*/{JOURNAL}"))
        if others and self.folder.name not in others:
            log.info(
                "data, code, axes or other settings have changed since the trials in %s: these are "
                "left there, and none of them counts",
                ", ".join(str(folder / other) for other in others),
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        with _warnings_to_log():
            self.study = optuna.create_study(
                study_name="longtail",
                storage=JournalStorage(JournalFileBackend(str(self.folder / JOURNAL))),
                direction="maximize",
                load_if_exists=True,
                # Completed trials alone count for the median, and the present configuration is one.
                pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=2),
            )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Refuse a second process, and give up trials that a killed process has left.

        Raises:
            LongtailError: another process runs trials here.
        """
        with (self.folder / "lock").open("w") as handle, _warnings_to_log():
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise LongtailError(
                    f"another `longtail tune` is at work in {self.folder}: wait for it, or end it"
                ) from error
            for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
                self.study.tell(trial.number, state=TrialState.FAIL)
            yield

    def finished(self) -> list[Finished]:
        """Return the trials that have ended, in their order; an interrupted one has not."""
        states = (TrialState.COMPLETE, TrialState.PRUNED)
        trials = self.study.get_trials(states=states)
        return [_read(trial, place + 1) for place, trial in enumerate(trials)]

    def finish(self, trial: optuna.Trial, settings: dict[str, Any], trained: Trained) -> None:
        """Write what a trial has found. Only then it counts."""
        with replaced_file(self._ranks(trial.number)) as temporary, temporary.open("wb") as handle:
            np.save(handle, trained.ranks, allow_pickle=False)
        for name, value in (
            ("settings", settings),
            ("curve", trained.curve),
            ("ended", trained.ended),
            ("error", trained.error),
            ("seconds", trained.seconds),
        ):
            trial.set_user_attr(name, value)
        if trained.ended in ("no rise", "all epochs"):
            best = max(entry["objective"] for entry in trained.curve)
            self.study.tell(trial, best)
        else:
            self.study.tell(trial, state=TrialState.PRUNED)

    def ranks(self, number: int, epoch: int) -> npt.NDArray[np.int64]:
        """Return the ranks of the validation pairs after an epoch of a trial, `[P]`."""
        every = np.load(self._ranks(number), allow_pickle=False)
        return np.asarray(every[epoch - 1], np.int64)

    def _ranks(self, number: int) -> Path:
        return self.folder / "ranks" / f"{number}.npy"


def identity_of(config: Config, axes: Sequence[Axis], data: str) -> str:
    """Return a hash of all that the figures of the trials depend on, and of what may be tried.

    Args:
        config: the present configuration.
        axes: what is tuned; the present values of these keys do not count.
        data: the identity of the data.
    """
    content = config.model_dump(mode="json")
    tuned = {axis.key for axis in axes}
    settings = {
        f"{section}.{name}": value
        for section in ("model", "loss", "self_supervision", "training", "history")
        for name, value in content[section].items()
        if f"{section}.{name}" not in tuned and not (section == "training" and name in _UNREAD)
    }
    # With a decay that is not tuned, the rates follow from the number of epochs.
    if NUM_EPOCHS not in tuned and config.training.learning_rate_decay != "none":
        settings[NUM_EPOCHS] = config.training.num_epochs
    tuning = {name: value for name, value in content["tuning"].items() if name != "parameters"}
    return fingerprint(
        data,
        settings,
        config.sharding.learned,
        content["compute"],
        content["evaluation"]["head_fraction"],
        content["evaluation"]["objective"],
        tuning,
        [(axis.key, distribution_to_json(axis.distribution)) for axis in axes],
        source_hash(*SOURCES),
    )


def trials_folder(config: Config, as_of: date) -> Path:
    """Return the folder of a day's trials."""
    return config.home / "tuning" / as_of.isoformat()


def _read(trial: FrozenTrial, order: int) -> Finished:
    attributes = trial.user_attrs
    return Finished(
        trial.number,
        order,
        trial.params,
        attributes["settings"],
        attributes["curve"],
        attributes["ended"],
        attributes["error"],
        attributes["seconds"],
    )


class _Forward(logging.Handler):
    """Hands the warnings of a library to the log of `longtail`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record of Optuna as one of ours."""
        log.log(record.levelno, "optuna: %s", record.getMessage())


@contextmanager
def _warnings_to_log() -> Iterator[None]:
    """Send Optuna's warnings to our log, and nothing of it to stderr."""
    logger = logging.getLogger("optuna")
    optuna.logging.disable_default_handler()
    optuna.logging.set_verbosity(logging.WARNING)
    handler = _Forward()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
