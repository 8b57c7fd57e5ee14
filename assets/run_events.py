"""The part of Dagster's event log that a waiting person wants to see."""

import logging
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    DagsterEventType,
    EventLogEntry,
    JobDefinition,
)

# The beginning of one of our exceptions, as Dagster Pipes writes it down.
_OWN_ERROR = re.compile(r"^longtail\.errors\.\w+: ")


@dataclass(frozen=True)
class StageFailure:
    """A stage that failed, why it did, and the exit code that its error asks for."""

    stage: str
    error: str
    exit_code: int


class RunReporter:
    """Turns the events of one run into calls of `send(event, **details)`.

    Attributes:
        run_id: the id that the run must be started with.
        num_stages: the number of assets that the job makes.
        failure: the first stage that failed, or None.

    Args:
        job: the job that will run.
        send: called as `send(event, **details)`; `assets.run.Progress` lists the events.
    """

    def __init__(self, job: JobDefinition, send: Callable[..., None]) -> None:
        self.run_id = str(uuid.uuid4())
        self.failure: StageFailure | None = None
        self._stages = {key.to_python_identifier() for key in job.asset_layer.executable_asset_keys}
        self.num_stages = len(self._stages)
        self._started: set[str] = set()
        self._send = send
        self._causes: dict[str, str] = {}
        self._refusals: dict[str, list[str]] = {}

    def report(self, entry: EventLogEntry, *_: Any) -> None:
        """Handle one entry of the event log. Dagster calls this in the order of the entries."""
        event, step = entry.dagster_event, entry.step_key
        if step is None:
            return
        # An entry without an event is a log line.
        if event is None:
            self._report_line(step, entry)
            return
        kind = event.event_type
        if kind == DagsterEventType.STEP_START:
            self._started.add(step)
            if step in self._stages:
                self._send("stage", stage=step, number=len(self._started & self._stages))
        elif kind == DagsterEventType.STEP_SUCCESS and step in self._stages:
            seconds = event.step_success_data.duration_ms / 1000
            self._send("done", stage=step, seconds=seconds)
        elif kind == DagsterEventType.STEP_UP_FOR_RETRY:
            self._send("log", level="WARNING", message=f"{step} failed, and is tried again")
        elif kind == DagsterEventType.ENGINE_EVENT and event.engine_event_data.error:
            # A process on the other side of Dagster Pipes has ended with this error.
            message = event.engine_event_data.error.message.strip()
            self._causes[step] = _OWN_ERROR.sub("", message)
        elif kind == DagsterEventType.ASSET_CHECK_EVALUATION:
            evaluation = event.event_specific_data
            if isinstance(evaluation, AssetCheckEvaluation) and not evaluation.passed:
                # A blocking check makes its step fail, and the failure does not say why.
                if evaluation.blocking and evaluation.severity == AssetCheckSeverity.ERROR:
                    cause = f"{evaluation.check_name}: {evaluation.description}"
                    self._refusals.setdefault(step, []).append(cause)
                words = {"description": evaluation.description} if evaluation.description else {}
                self._send(
                    "check",
                    stage=evaluation.asset_key.to_user_string(),
                    check=evaluation.check_name,
                    severity=evaluation.severity.value,
                    **words,
                )
        elif kind == DagsterEventType.STEP_FAILURE:
            self._report_failure(step, entry)

    def _report_line(self, step: str, entry: EventLogEntry) -> None:
        """Pass a log line on.

        Details (DEBUG) stay in Dagster's log. So do the lines in which Pipes reports on itself,
        which begin with its name, and those of steps that are skipped.
        """
        level = int(entry.level)
        is_of_pipes = entry.user_message.startswith("[pipes]")
        if step in self._started and level > logging.DEBUG and not is_of_pipes:
            self._send("log", level=logging.getLevelName(level), message=entry.user_message)

    def _report_failure(self, step: str, entry: EventLogEntry) -> None:
        """Report a failed step, with the best cause that Dagster has of it."""
        assert entry.dagster_event is not None
        data = entry.dagster_event.step_failure_data
        failure = data.user_failure_data
        if step in self._refusals:
            # Blocking checks are of the data or the machine, so the code is that of `InputError`.
            found = StageFailure(step, "; ".join(self._refusals[step]), 2)
        elif failure is not None:
            # `assets.stage` raised this, with the exit code of a LongtailError in its metadata.
            stated = failure.metadata.get("exit_code")
            exit_code = int(stated.value) if stated is not None else 1  # type: ignore[arg-type]
            found = StageFailure(step, failure.description or failure.label, exit_code)
        else:
            error = data.error
            message = error.cause.message if error and error.cause else error and error.message
            found = StageFailure(step, self._causes.get(step) or (message or "").strip(), 1)
        self._send("failed", stage=step, error=found.error)
        self.failure = self.failure or found
