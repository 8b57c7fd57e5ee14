"""Finds runs whose process is gone: after a reboot, a power cut, `kill -9`.

Dagster's default launcher cannot tell them from runs that are under way: they stay STARTED for as
long as `max_runtime_seconds`, and hold the queue. So each of our runs holds a lock on a file of its
own. The kernel frees the lock when the process ends, however it ends. `dagster.yaml` names
`CheckedRunLauncher`, and the daemon asks it every few seconds (`run_monitoring`).
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dagster import DagsterEventType, DagsterInstance, DagsterRun
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._utils import process_is_alive

_FOLDER = "run_locks"


class CheckedRunLauncher(DefaultRunLauncher):
    """Dagster's own launcher, and an answer to whether the process of a run still exists."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Return True: run monitoring then asks `check_run_worker_health` about every run."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return `NOT_FOUND`, with a word for the page of the run, if its process is gone."""
        if process_exists(self._instance, run.run_id):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(
            WorkerStatus.NOT_FOUND,
            "the process of the run is gone: the machine was switched off, or something killed it. "
            "What was served is served still. A run that Dagster launched starts again by itself",
        )


@contextmanager
def held_by_this_process(instance: DagsterInstance, run_id: str) -> Iterator[None]:
    """Hold the lock of a run while the block runs."""
    file = _lock_file(instance, run_id)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as handle:
        # Shared, because an executor with a process per step opens the resources in each.
        fcntl.flock(handle, fcntl.LOCK_SH)
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def process_exists(instance: DagsterInstance, run_id: str) -> bool:
    """Return whether the process of a run that Dagster calls started still exists.

    The file of a lock outlives its process only if that did not end by itself. A run without the
    file is at its beginning or its end, or of another code location: then the number of its process
    decides. In doubt it exists.
    """
    try:
        with _lock_file(instance, run_id).open("r+", encoding="utf-8") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except FileNotFoundError:
        number = _process_number(instance, run_id)
        return number is None or process_is_alive(number)


def _lock_file(instance: DagsterInstance, run_id: str) -> Path:
    return Path(instance.root_directory) / _FOLDER / run_id


def _process_number(instance: DagsterInstance, run_id: str) -> int | None:
    """Return the process id that a run has written into its event log, or None."""
    for entry in instance.all_logs(run_id, of_type=DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        if event is not None and event.engine_event_data is not None:
            stated = event.engine_event_data.metadata.get("pid")
            if stated is not None and str(stated.value).isdigit():
                return int(str(stated.value))
    return None
