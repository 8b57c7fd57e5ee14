"""`python -m assets.run`: one refresh in this process, told line by line to the command that asked.

`longtail run` starts it. Standard output carries one JSON document a line (`Progress` names
them); everything else that anybody prints goes to a log file, once the data are known to be good.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from datetime import UTC, date, datetime
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from longtail.cli.output import hide_warnings
from longtail.config import Config, config_file, load_config
from longtail.errors import InputError, LongtailError

INSTANCE_SETTINGS = """\
# Written by `longtail run` where there was none; yours to edit.
telemetry:
  enabled: false
# A backfill trains one day at a time; another machine may do more at once.
concurrency:
  runs:
    max_concurrent_runs: 1
# A run whose process was killed must not hold the queue for ever.
run_monitoring:
  enabled: true
  max_runtime_seconds: 86400
"""


class Progress:
    """The line protocol: `started`, `stage`, `log`, `done`, `check`, and `finished`, the last."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, event: str, **details: Any) -> None:
        """Write one event. When nobody reads any more, the refresh is interrupted."""
        with self._lock:
            try:
                print(json.dumps({"event": event, **details}), file=self._stream, flush=True)
            except BrokenPipeError:
                os.kill(os.getpid(), signal.SIGINT)


def main() -> None:
    """Refresh one day; the exit code is that of the error table in `longtail.errors`."""
    parser = argparse.ArgumentParser(prog="python -m assets.run", description=__doc__)
    parser.add_argument("--config", type=Path, default=None)
    parser.add_argument("--as-of", type=date.fromisoformat, default=None)
    arguments = parser.parse_args()
    # Libraries print to standard output; from here on that is standard error.
    progress = Progress(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    # `assets.definitions` reads its configuration from there, and so does the training launcher.
    os.environ["LONGTAIL_CONFIG"] = str(config_file(arguments.config))
    signal.signal(signal.SIGTERM, _interrupt)
    hide_warnings()
    from longtail.checks.preflight import check_project

    try:
        config = load_config()
        report = check_project(config, arguments.as_of)
        as_of = report.require()
        check_day(config, as_of, today=datetime.now(UTC).date())
    except LongtailError as error:
        progress.send("finished", exit_code=error.exit_code, stage=None, error=str(error))
        sys.exit(error.exit_code)
    for notice in report.notices():
        progress.send("log", level="WARNING", message=notice)
    sys.exit(_refresh(config, as_of, progress))


def check_day(config: Config, as_of: date, *, today: date) -> None:
    """Refuse a day that is no partition.

    Raises:
        InputError: it is before the configured first day, or has not begun.
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


def _refresh(config: Config, as_of: date, progress: Progress) -> int:
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(config.home / "dagster")))
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        settings.write_text(INSTANCE_SETTINGS, encoding="utf-8")
    log = config.home / "logs" / f"run-{as_of}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as handle:
        os.dup2(handle.fileno(), 1)
        os.dup2(handle.fileno(), 2)

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
    """A polite end is an interrupt: Dagster ends the run, Pipes ends training."""
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main()
