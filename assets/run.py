"""`python -m assets.run`: refreshes one day in this process, and reports it as JSON events.

`longtail run` starts it. Standard output carries one JSON document a line; `Progress` lists them.
Everything else that is printed goes to standard error, and to a log file once the data have been
checked.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from assets.instance_settings import write_settings
from longtail.cli.output import hide_warnings
from longtail.config import Config, config_file, load_config, local_path
from longtail.errors import InputError, LongtailError
from longtail.training.launch.training_log import PROGRESS_FILE, LogTail

_POLL_SECONDS = 0.5


class Progress:
    """Sends events to the process that reads this one's standard output.

    Each event is a JSON document on a line of its own, with the kind under `event`:

        started     as_of, log, run_id, num_stages
        stage       stage, number: it begins
        log         level, message
        progress    record: a record of losses from the training log (only with `--progress`)
        done        stage, seconds
        check       stage, check, severity, description if it has one: an asset check did not pass
        failed      stage, error
        finished    exit_code, stage, error, seconds: always the last

    Args:
        stream: where the lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._is_read = True

    def send(self, event: str, **details: Any) -> None:
        """Write one event. If its reader has gone, interrupt the refresh, once."""
        with self._lock:
            if not self._is_read:
                return
            try:
                print(json.dumps({"event": event, **details}), file=self._stream, flush=True)
            except BrokenPipeError:
                self._is_read = False
                os.kill(os.getpid(), signal.SIGINT)


def main() -> None:
    """Refresh one day. The exit code is that of the error, as `longtail.errors` lists them."""
    parser = argparse.ArgumentParser(prog="python -m assets.run", description=__doc__)
    parser.add_argument("--config", type=Path, default=None)
    parser.add_argument("--as-of", type=date.fromisoformat, default=None)
    parser.add_argument("--progress", action="store_true", help="send `progress` events")
    arguments = parser.parse_args()
    # Libraries print to standard output, which belongs to the events: send their text to stderr.
    progress = Progress(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    signal.signal(signal.SIGTERM, _interrupt)
    hide_warnings()
    try:
        # `assets.definitions` and the training launcher read the configuration that is named here,
        # and Dagster the folder.
        os.environ["LONGTAIL_CONFIG"] = str(config_file(arguments.config))
        config = load_config()
        os.environ["DAGSTER_HOME"] = str(dagster_home(config))
        # Imported late: Feast takes seconds, which would delay the answer to a wrong configuration.
        from longtail.checks.preflight import check_project

        report = check_project(config, arguments.as_of)
        as_of = report.require()
        check_day(config, as_of, today=datetime.now(UTC).date())
    except LongtailError as error:
        progress.send("finished", exit_code=error.exit_code, stage=None, error=str(error))
        sys.exit(error.exit_code)
    for notice in report.notices():
        progress.send("log", level="WARNING", message=notice)
    with followed_training(progress) if arguments.progress else nullcontext():
        exit_code = _refresh(config, as_of, progress)
    sys.exit(exit_code)


def check_day(config: Config, as_of: date, *, today: date) -> None:
    """Refuse a day that is no partition.

    Args:
        config: its `schedule.first_day` is the first partition.
        as_of: the day.
        today: the current day in UTC.

    Raises:
        InputError: the day is before the first one, or in the future.
    """
    first = config.schedule.first_day
    if as_of < first:
        raise InputError(
            f"as_of {as_of} is before {first}, the first day that can be refreshed: choose a later "
            "--as-of, or set `schedule.first_day` in the configuration"
        )
    if as_of > today:
        raise InputError(
            f"as_of {as_of} is in the future: it is {today} (UTC) now; choose an earlier --as-of"
        )


def dagster_home(config: Config) -> Path:
    """Return the folder of Dagster's runs: `DAGSTER_HOME`, else one in the project's home.

    Raises:
        InputError: `DAGSTER_HOME` is a URI.
    """
    named = os.environ.get("DAGSTER_HOME")
    # Absolute, because Dagster takes no other.
    return local_path(named, "DAGSTER_HOME").absolute() if named else config.home / "dagster"


@contextmanager
def followed_training(progress: Progress) -> Iterator[None]:
    """Send the records of training as `progress` events while the block runs.

    The launcher of training is a process of its own. It finds the name of a file in the
    environment, and appends its records there.
    """
    ended = threading.Event()

    def follow(file: Path) -> None:
        with LogTail(file, lambda record: progress.send("progress", record=record)) as tail:
            while not ended.wait(_POLL_SECONDS):
                tail.report()
            tail.report()

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "progress.jsonl"
        os.environ[PROGRESS_FILE] = str(file)
        thread = threading.Thread(target=follow, args=(file,), name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            del os.environ[PROGRESS_FILE]


def _refresh(config: Config, as_of: date, progress: Progress) -> int:
    """Run Dagster's job for one day in this process. Return the exit code."""
    write_settings(dagster_home(config))
    # From here on Dagster's text, and that of its child processes, goes to the log of this run.
    log = config.home / "logs" / f"run-{as_of}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as handle:
        os.dup2(handle.fileno(), 1)
        os.dup2(handle.fileno(), 2)

    # Imported late: `assets.definitions` reads LONGTAIL_CONFIG, and importing Dagster takes
    # seconds, which would delay the answer to a wrong configuration.
    from dagster import DagsterInstance

    from assets.definitions import defs
    from assets.jobs import refresh
    from assets.run_events import RunReporter

    job = defs.resolve_job_def(refresh.name)
    with DagsterInstance.get() as instance:
        reporter = RunReporter(job, progress.send)
        progress.send(
            "started",
            as_of=as_of.isoformat(),
            log=str(log),
            run_id=reporter.run_id,
            num_stages=reporter.num_stages,
        )
        instance.add_event_listener(reporter.run_id, reporter.report)
        start = time.monotonic()
        result = job.execute_in_process(
            instance=instance,
            partition_key=as_of.isoformat(),
            run_id=reporter.run_id,
            raise_on_error=False,
        )
    # A run that was stopped from outside has failed, although no stage has.
    failure = reporter.failure
    exit_code = 0 if result.success else (failure.exit_code if failure else 1)
    progress.send(
        "finished",
        exit_code=exit_code,
        stage=failure.stage if failure else None,
        error=failure.error if failure else None,
        seconds=time.monotonic() - start,
    )
    return exit_code


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """Turn SIGTERM into SIGINT, on which Dagster ends the run and Pipes ends training."""
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main()
