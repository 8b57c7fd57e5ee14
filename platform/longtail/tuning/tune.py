"""Tunes a project: trial after trial until the time is up, then the best against the present."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from optuna.trial import Trial, TrialState

from longtail.config import Config
from longtail.config.changes import with_settings
from longtail.tuning.axes import Axis, axes_of, present_values, settings_of
from longtail.tuning.choice import Choice, best_candidate, choose, present_candidate
from longtail.tuning.next_trial import NUM_TRIALS_BEFORE_TPE, ask_given, ask_tpe, near
from longtail.tuning.trial import Ended, Epoch, Trained, TuningData, candidate_epoch, run_trial
from longtail.tuning.trials import Finished, Trials, identity_of, trials_folder

log = logging.getLogger("longtail.tuning")

_ATTEMPTS = 200


@dataclass(frozen=True)
class Event:
    """What is reported while trials run.

    Attributes:
        number: the trial, from 1.
        settings: its settings.
        present: the settings of the present configuration.
        trained: the result; None while it runs.
        chosen: the epoch of the result that could become the configuration, if there is one.
        epoch: the epochs done.
        objective: the newest figure; None before the first.
        best: the best figure of all trials so far; None before the first.
    """

    number: int
    settings: dict[str, Any]
    present: dict[str, Any]
    trained: Trained | None
    chosen: Epoch | None
    epoch: int
    objective: float | None
    best: float | None


class Tuning:
    """The trials of a day.

    Args:
        config: the project.
        as_of: the day; its training set and correlations must be made.
        names: the keys to tune; None: `tuning.parameters`, or all.
        on_event: called when a trial begins, after each of its epochs, and when it ends.
        clock: returns seconds, for the limit of time.

    Attributes:
        axes: what is tuned.
        trials: the finished trials.
    """

    def __init__(
        self,
        config: Config,
        as_of: date,
        *,
        names: tuple[str, ...] | None = None,
        on_event: Callable[[Event], None] = lambda event: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.axes: list[Axis] = axes_of(config, names or config.tuning.parameters)
        self._data = TuningData.of_day(config, as_of)
        identity = identity_of(config, self.axes, self._data.identity)
        self.trials = Trials(trials_folder(config, as_of), identity)
        self.present_settings = settings_of(self.axes, config, present_values(self.axes, config))
        self._on_event = on_event
        self._clock = clock

    def run(self, *, minutes: float | None = None, num_trials: int | None = None) -> Choice | None:
        """Run trials until the time is up or there are enough.

        The present configuration is tried first, whatever the time: without its figures there is
        nothing to compare with. A trial that the time ends is kept as far as it came.

        Args:
            minutes: the time for trials of this call.
            num_trials: the number of finished trials, those of earlier calls included.

        Returns:
            The best of all trials, see `choose`; None if the present configuration has no figures.

        Raises:
            LongtailError: another process is at work on the same trials.
        """
        deadline = None if minutes is None else self._clock() + 60.0 * minutes
        with self.trials.alone():
            # The present configuration, unless an earlier call has tried it.
            finished = self.trials.finished()
            if self._present(finished) is None:
                values = present_values(self.axes, self.config)
                trial = ask_given(self.trials.study, self.axes, values)
                self._run(trial, self.present_settings, deadline, is_present=True)
            while True:
                finished = self.trials.finished()
                if num_trials is not None and len(finished) >= num_trials:
                    break
                if deadline is not None and self._clock() >= deadline:
                    break
                if self._present(finished) is None:
                    break  # it failed
                following = self._next(finished)
                if following is None:
                    log.info("every combination of values has been tried")
                    break
                self._run(*following, deadline)
            return choose(self.trials, self._data.resampled, self.present_settings, self.config)

    def _present(self, finished: list[Finished]) -> object:
        return present_candidate(finished, self.present_settings, self.config)

    def _next(self, finished: list[Finished]) -> tuple[Trial, dict[str, Any]] | None:
        """Begin the next trial, with settings that none has had. They follow from those before.

        Returns:
            The trial and its settings; None if no other settings are found.
        """
        tried = [trial.settings for trial in finished]
        study, count = self.trials.study, len(finished)
        seed = (self.config.tuning.seed % 2**32, count)
        if count >= NUM_TRIALS_BEFORE_TPE and count % 2 == 0:
            trial = ask_tpe(study, self.axes, seed)
            settings = settings_of(self.axes, self.config, trial.params)
            if settings not in tried:
                return trial, settings
            study.tell(trial, state=TrialState.FAIL)
        best = best_candidate(finished, self.config)
        values = best.trial.values if best else present_values(self.axes, self.config)
        # A change may have no effect, such as that of a weight whose loss is off: then another one.
        for attempt in range(_ATTEMPTS):
            values_near = near(self.axes, values, (*seed, attempt))
            settings = settings_of(self.axes, self.config, values_near)
            if settings not in tried:
                return ask_given(study, self.axes, values_near), settings
        return None

    def _run(
        self,
        trial: Trial,
        settings: dict[str, Any],
        deadline: float | None,
        *,
        is_present: bool = False,
    ) -> None:
        """Train with some settings and keep what comes of it; an interruption leaves nothing."""
        config = with_settings(self.config, settings)
        decays = config.training.learning_rate_decay != "none"
        own_epochs = self.config.training.num_epochs
        least = own_epochs if is_present else 1
        most = max(self.config.tuning.max_epochs, own_epochs)
        max_epochs = config.training.num_epochs if decays else most
        started = self._clock()
        finished = self.trials.finished()
        best_before = best_candidate(finished, self.config)
        number = len(finished) + 1

        def report(epoch: int, objective: float | None, trained: Trained | None) -> None:
            best = best_before.objective if best_before else None
            chosen = None
            if trained is not None:
                chosen = candidate_epoch(trained.curve, settings, self.config)
            present = self.present_settings
            self._on_event(
                Event(number, settings, present, trained, chosen, epoch, objective, best)
            )

        def stops(epoch: int, objective: float) -> Ended | None:
            report(epoch, objective, None)
            trial.report(objective, epoch)
            if is_present and epoch < least:
                return None
            # An epoch that would end after the deadline is not begun.
            now = self._clock()
            if deadline is not None and now + (now - started) / epoch > deadline:
                return "out of time"
            return "pruned" if not is_present and trial.should_prune() else None

        report(0, None, None)
        try:
            trained = run_trial(
                self._data, config, max_epochs=max_epochs, min_epochs=least, stops=stops
            )
        except BaseException:
            self.trials.study.tell(trial, state=TrialState.FAIL)
            raise
        self.trials.finish(trial, settings, trained)
        report(len(trained.curve), None, trained)

    def why_nothing(self) -> str:
        """Return why `run` has returned nothing."""
        for trial in reversed(self.trials.finished()):
            if trial.settings == self.present_settings and trial.error:
                return f"the present configuration cannot be trained: {trial.error}"
        return "there is no trial of the present configuration: run the command again"
