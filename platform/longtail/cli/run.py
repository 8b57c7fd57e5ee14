"""`run`: the whole flow, through Dagster in a child process."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Any, Self

from rich.console import Console
from rich.text import Text

from longtail.artifacts import RunPaths, VersionPaths, published_pointer, read_json
from longtail.cli.options import AsOfOption, ConfigOption, JsonOption
from longtail.cli.output import output, progress_line
from longtail.cli.tables import result_tables as tables
from longtail.cli.training_bar import TrainingBar, training_bar
from longtail.config import Config, config_file, load_config
from longtail.errors import GateRefusedError, InputError, LongtailError

_ENDING = (signal.SIGINT, signal.SIGTERM)
ERRORS = {error.exit_code: error for error in (LongtailError, InputError, GateRefusedError)}


def run(config: ConfigOption = None, as_of: AsOfOption = None, as_json: JsonOption = False) -> None:
    """The whole flow: from the raw tables to served embeddings."""
    with output(as_json) as out:
        project = load_config(config)
        out.progress.print("Checking configuration and data")
        with (
            training_bar(out.progress, wanted=not as_json) as bar,
            _Child(config_file(config), as_of) as child,
        ):
            outcome = _Outcome(out.progress, bar)
            for line in child.lines():
                outcome.handle(json.loads(line))
        if child.interrupted:
            raise LongtailError(
                "interrupted; what was served still is. The same command goes on where it stopped"
            )
        finished = outcome.finished
        if finished is None:
            raise LongtailError(
                f"the run ended with exit code {child.exit_code} and did not say why; "
                f"its log: {outcome.log or 'none yet'}"
            )
        failure = outcome.failure()
        if failure is None or isinstance(failure, GateRefusedError):
            document = _summary(project, outcome, failure)
            out.result(document, tables.metrics(document), _verdict(document))
        if failure is not None:
            raise failure


class _Child:
    """Dagster in a session of its own, so that Ctrl-C reaches it once, from us.

    It gets the time that it needs to end training; a second Ctrl-C kills it.
    """

    def __init__(self, config: Path, as_of: date | None) -> None:
        # -P: a folder named `assets` where the command runs must not shadow ours.
        self._command = [sys.executable, "-P", "-m", "assets.run", f"--config={config}"]
        self._command += [f"--as-of={as_of}"] if as_of else []
        self._num_interruptions = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._handlers = {number: signal.signal(number, self._interrupt) for number in _ENDING}
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:  # we fail ourselves, or it is about to end
            self._process.kill()
            self._process.wait()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    @property
    def interrupted(self) -> bool:
        """Whether it ended because we were asked to end."""
        return self._num_interruptions > 0 and self.exit_code != 0

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    def lines(self) -> Iterator[str]:
        """What it tells, until it has ended."""
        assert self._process.stdout is not None
        yield from self._process.stdout
        self._process.wait()

    def _interrupt(self, signum: int, frame: FrameType | None) -> None:
        self._num_interruptions += 1
        first = self._num_interruptions == 1
        self._process.send_signal(signal.SIGINT if first else signal.SIGKILL)


class _Outcome:
    """Shows the child's progress and remembers how it ended (events: see assets/run.py)."""

    def __init__(self, console: Console, bar: TrainingBar | None) -> None:
        self._console = console
        self._bar = bar
        self._num_stages = 0
        self.log: str | None = None
        self.as_of: date | None = None
        self.finished: dict[str, Any] | None = None

    def handle(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if self._bar is not None:
            if kind == "log" and self._bar.line(event["message"]):
                return
            if kind in ("done", "finished"):
                self._bar.end()
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
        "published": served["version"] == version,
        "served": {key: served[key] for key in ("version", "as_of")},
        "metrics": metrics["metrics"],
        "baselines": metrics["baselines"],
        "seconds": outcome.finished["seconds"],
        "log": outcome.log,
    }


def _verdict(document: Mapping[str, Any]) -> Text:
    version, served = document["version"], document["served"]
    if document["published"]:
        return Text(f"Version {version} is served, as of {document['as_of']}.", style="bold green")
    if document["approved"]:
        return Text(
            f"Version {version} is good, and not served: {served['version']} is of a newer day, "
            f"{served['as_of']}. To serve it all the same: longtail rollback {version}",
            style="yellow",
        )
    return Text(f"Served is still: {served['version'] or 'nothing'}.", style="yellow")
