"""`longtail run`: the whole flow, through Dagster in a child process."""

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
from longtail.embeddings.refresh.withdrawn import sentence, withdrawal
from longtail.errors import GateRefusedError, InputError, LongtailError

_ENDING = (signal.SIGINT, signal.SIGTERM)
ERRORS = {error.exit_code: error for error in (LongtailError, InputError, GateRefusedError)}


def run(config: ConfigOption = None, as_of: AsOfOption = None, as_json: JsonOption = False) -> None:
    """Run the whole flow: from the raw tables to served embeddings."""
    with output(as_json) as out:
        project = load_config(config)
        out.progress.print("Checking configuration and data")
        # The child sends an event a line. Training's own records are only of use to a bar.
        with (
            training_bar(out.progress, wanted=not as_json) as bar,
            _Child(config_file(config), as_of, progress=bar is not None) as child,
        ):
            outcome = _Outcome(out.progress, bar)
            for line in child.lines():
                outcome.handle(json.loads(line))
        if child.interrupted:
            raise LongtailError(
                "interrupted; the served version has not changed. The same command goes on where "
                "this one stopped"
            )
        # The child always sends `finished` last, unless it was killed.
        finished = outcome.finished
        if finished is None:
            raise LongtailError(
                f"the run ended with exit code {child.exit_code} and did not say why; "
                f"its log: {outcome.log or 'none yet'}"
            )
        # A model that the gate refuses has metrics, too: they are shown before the error.
        failure = outcome.failure()
        if failure is None or isinstance(failure, GateRefusedError):
            document = _summary(project, outcome, failure)
            out.result(document, tables.metrics(document), _verdict(document))
        if failure is not None:
            raise failure


class _Child:
    """Runs Dagster in a session of its own, so that Ctrl-C reaches it once, from this process.

    After a first Ctrl-C it may take the time that it needs to end training. A second one kills it.

    Args:
        config: the configuration file.
        as_of: the day. None: the newest one of the data.
        progress: whether the child sends the records of training.
    """

    def __init__(self, config: Path, as_of: date | None, *, progress: bool) -> None:
        # -P keeps a folder named `assets` in the current directory from shadowing ours.
        self._command = [sys.executable, "-P", "-m", "assets.run", f"--config={config}"]
        self._command += [f"--as-of={as_of}"] if as_of else []
        self._command += ["--progress"] if progress else []
        self._num_interruptions = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._handlers = {number: signal.signal(number, self._interrupt) for number in _ENDING}
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:  # this process failed, or the child is about to end
            self._process.kill()
            self._process.wait()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    @property
    def interrupted(self) -> bool:
        """Return whether the child ended because this command was asked to end."""
        return self._num_interruptions > 0 and self.exit_code != 0

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    def lines(self) -> Iterator[str]:
        """Yield the child's lines until it has ended."""
        assert self._process.stdout is not None
        yield from self._process.stdout
        self._process.wait()

    def _interrupt(self, signum: int, frame: FrameType | None) -> None:
        self._num_interruptions += 1
        first = self._num_interruptions == 1
        self._process.send_signal(signal.SIGINT if first else signal.SIGKILL)


class _Outcome:
    """Shows the child's events, which `assets.run.Progress` lists, and keeps how the run ended.

    Attributes:
        log: the file of Dagster's log, once the run has started.
        as_of: the day that is refreshed, once the run has started.
        finished: the last event, once it has come.
    """

    def __init__(self, console: Console, bar: TrainingBar | None) -> None:
        self._console = console
        self._bar = bar
        self._num_stages = 0
        self.log: str | None = None
        self.as_of: date | None = None
        self.finished: dict[str, Any] | None = None

    def handle(self, event: dict[str, Any]) -> None:
        """Show one event."""
        kind = event["event"]
        # The bar is training's: whatever stage ends, there is nothing to show in it any more.
        if self._bar is not None and kind in ("done", "finished"):
            self._bar.end()
        if kind == "progress" and self._bar is not None:
            self._bar.record(event["record"])
        elif kind == "started":
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
            words = f" ({event['description']})" if event.get("description") else ""
            self._console.print(Text(f"  check failed on {asset}: {check}{words}", style="yellow"))
        elif kind == "finished":
            self.finished = event

    def failure(self) -> LongtailError | None:
        """Return the error that the run ended with, or None if it succeeded."""
        assert self.finished is not None
        code, stage, error = (self.finished[key] for key in ("exit_code", "stage", "error"))
        if code == 0:
            return None
        # The words of a refusal, and of wrong input, name their cause without the stage.
        if stage is None or code == GateRefusedError.exit_code:
            return ERRORS.get(code, LongtailError)(
                error or f"the run was stopped; its log: {self.log}"
            )
        return ERRORS.get(code, LongtailError)(f"{stage} failed: {error} (log: {self.log})")


def _summary(project: Config, outcome: _Outcome, refusal: LongtailError | None) -> dict[str, Any]:
    """Return what `longtail run --json` prints."""
    assert outcome.as_of is not None
    assert outcome.finished is not None
    version = read_json(RunPaths(project, outcome.as_of).model)["version"]
    metrics = read_json(VersionPaths(project, version).metrics)
    pointer = published_pointer(project)
    served = read_json(pointer) if pointer.is_file() else {"version": None, "as_of": None}
    withdrawn = withdrawal(project, version)
    return {
        "as_of": outcome.as_of.isoformat(),
        "version": version,
        "approved": refusal is None,
        "published": served["version"] == version,
        "served": {key: served[key] for key in ("version", "as_of")},
        "metrics": metrics["metrics"],
        # Of a version that was rolled back, and so was not published.
        **({"withdrawn": withdrawn} if withdrawn else {}),
        # An evaluation of an older release has no memory.
        **({"memory": metrics["memory"]} if "memory" in metrics else {}),
        "baselines": metrics["baselines"],
        "seconds": outcome.finished["seconds"],
        "log": outcome.log,
    }


def _verdict(document: Mapping[str, Any]) -> Text:
    """Return the last line that a person sees: which version is served now, and why."""
    version, served = document["version"], document["served"]
    if document["published"]:
        return Text(f"Version {version} is served, as of {document['as_of']}.", style="bold green")
    if document["approved"] and "withdrawn" in document:
        return Text(f"Not served: {sentence(document['withdrawn'])}.", style="yellow")
    if document["approved"]:
        return Text(
            f"Version {version} is good, but not served: {served['version']} is of a newer day, "
            f"{served['as_of']}. To serve it anyway: longtail rollback {version}",
            style="yellow",
        )
    return Text(f"Still served: {served['version'] or 'nothing'}.", style="yellow")
