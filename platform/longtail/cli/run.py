"""`run`: the whole flow, through Dagster in a child process."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.text import Text

from longtail.artifacts import RunPaths, VersionPaths, published_pointer, read_json
from longtail.cli import tables
from longtail.cli.options import AsOfOption, ConfigOption, JsonOption
from longtail.cli.output import output, progress_line
from longtail.config import Config, config_file, load_config
from longtail.errors import GateRefusedError, InputError, LongtailError

ERRORS = {error.exit_code: error for error in (LongtailError, InputError, GateRefusedError)}


def run(config: ConfigOption = None, as_of: AsOfOption = None, as_json: JsonOption = False) -> None:
    """The whole flow: from the raw tables to served embeddings."""
    with output(as_json) as out:
        project = load_config(config)
        out.progress.print("Checking configuration and data")
        outcome = _Outcome(out.progress)
        with _child(config_file(config), as_of) as child:
            assert child.stdout is not None
            for line in child.stdout:
                outcome.handle(json.loads(line))
        finished = outcome.finished
        if finished is None:
            raise LongtailError(
                f"the run ended with exit code {child.returncode} and did not say why; "
                f"its log: {outcome.log or 'none yet'}"
            )
        failure = outcome.failure()
        if failure is None or isinstance(failure, GateRefusedError):
            document = _summary(project, outcome, failure)
            out.result(document, tables.metrics(document), _verdict(document))
        if failure is not None:
            raise failure


@contextmanager
def _child(config: Path, as_of: date | None) -> Iterator[subprocess.Popen[str]]:
    """Dagster in a session of its own, so that Ctrl-C reaches it once, from us.

    It gets the time that it needs to end training; a second Ctrl-C kills it.
    """
    # -P: a folder named `assets` where the command runs must not shadow ours.
    command = [sys.executable, "-P", "-m", "assets.run", f"--config={config}"]
    command += [f"--as-of={as_of}"] if as_of else []
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    interruptions = 0

    def interrupt(signum: int, frame: FrameType | None) -> None:
        nonlocal interruptions
        interruptions += 1
        child.send_signal(signal.SIGINT if interruptions == 1 else signal.SIGKILL)

    previous: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        previous = {number: signal.signal(number, interrupt) for number in _ENDING}
    try:
        yield child
        child.wait()
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        for number, handler in previous.items():
            signal.signal(number, handler)


_ENDING = (signal.SIGINT, signal.SIGTERM)


class _Outcome:
    """Shows the child's progress and remembers how it ended (events: see assets/run.py)."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._num_stages = 0
        self.log: str | None = None
        self.as_of: date | None = None
        self.finished: dict[str, Any] | None = None

    def handle(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "started":
            self.log, self._num_stages = event["log"], event["num_stages"]
            self.as_of = date.fromisoformat(event["as_of"])
            self._console.print(f"Refreshing {event['as_of']}; Dagster's log: {self.log}")
        elif kind == "stage":
            number = f"[{event['number']:>2}/{self._num_stages}]"
            name = event["stage"].replace("_", " ")
            self._console.print(Text.assemble((number, "cyan"), " ", (name, "bold")))
        elif kind == "log":
            self._console.print(progress_line(event["message"], event["level"]))
        elif kind == "done" and event["seconds"] >= 1.0:
            self._console.print(Text(f"  done in {event['seconds']:.1f} s", style="green"))
        elif kind == "check":
            check, asset = event["check"].replace("_", " "), event["stage"].replace("_", " ")
            self._console.print(Text(f"  check failed on {asset}: {check}", style="yellow"))
        elif kind == "finished":
            self.finished = event

    def failure(self) -> LongtailError | None:
        """The error that the run ended with."""
        assert self.finished is not None
        code, stage, error = (self.finished[key] for key in ("exit_code", "stage", "error"))
        if code == 0:
            return None
        if stage is None or code == GateRefusedError.exit_code:
            return ERRORS.get(code, LongtailError)(error or f"the run was ended; log: {self.log}")
        return ERRORS.get(code, LongtailError)(f"{stage} failed: {error} (log: {self.log})")


def _summary(project: Config, outcome: _Outcome, refusal: LongtailError | None) -> dict[str, Any]:
    assert outcome.as_of is not None
    assert outcome.finished is not None
    version = read_json(RunPaths(project, outcome.as_of).model)["version"]
    metrics = read_json(VersionPaths(project, version).metrics)
    pointer = published_pointer(project)
    served = read_json(pointer) if pointer.is_file() else {"version": None, "as_of": None}
    return {
        "as_of": outcome.as_of.isoformat(),
        "version": version,
        "approved": refusal is None,
        "served": {key: served[key] for key in ("version", "as_of")},
        "metrics": metrics["metrics"],
        "baselines": metrics["baselines"],
        "seconds": outcome.finished["seconds"],
        "log": outcome.log,
    }


def _verdict(document: Mapping[str, Any]) -> Text:
    version, served = document["version"], document["served"]
    if served["version"] == version:
        return Text(f"Version {version} is served, as of {document['as_of']}.", style="bold green")
    if document["approved"]:
        return Text(
            f"Version {version} is good, and not served: {served['version']} is of a newer day, "
            f"{served['as_of']}. To serve it all the same: longtail rollback {version}",
            style="yellow",
        )
    return Text(f"Served is still: {served['version'] or 'nothing'}.", style="yellow")
