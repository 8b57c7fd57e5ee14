"""Sends a command's result to stdout, and everything else to stderr."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text


class Output:
    """The two streams that a command writes to.

    Attributes:
        as_json: whether the result is one JSON document.
        progress: the console for everything that is not the result.
    """

    def __init__(self, as_json: bool, stdout_descriptor: int) -> None:
        self.as_json = as_json
        self.progress = Console(stderr=True, highlight=False, soft_wrap=True)
        self._stdout = os.fdopen(stdout_descriptor, "w", encoding="utf-8", closefd=False)

    def result(self, document: Any, *renderables: RenderableType) -> None:
        """Print the result: the JSON document, or the renderables for people.

        Raises:
            ValueError: the document has a number that JSON does not have, such as NaN.
        """
        if self.as_json:
            print(json.dumps(document, allow_nan=False), file=self._stdout, flush=True)
            return
        console = Console(file=self._stdout, highlight=False)
        for renderable in renderables:
            console.print(renderable, soft_wrap=isinstance(renderable, str | Text))
        self._stdout.flush()


@contextmanager
def output(as_json: bool) -> Iterator[Output]:
    """Send everything that is printed meanwhile to stderr, by child processes as well.

    Log lines of `longtail` appear there as progress.
    """
    # Libraries and child processes print to descriptor 1, so it is the descriptor that must point
    # to stderr; the result goes through the copy that is made here.
    sys.stdout.flush()
    stdout_descriptor = os.dup(1)
    os.dup2(2, 1)
    out = Output(as_json, stdout_descriptor)
    hide_warnings()
    logger = logging.getLogger("longtail")
    handler = _ProgressHandler(out.progress)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        # Python's own stream as well: it need not write to descriptor 1.
        with redirect_stdout(sys.stderr):
            yield out
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        sys.stdout.flush()
        os.dup2(stdout_descriptor, 1)
        os.close(stdout_descriptor)


class _ProgressHandler(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(progress_line(record.getMessage(), record.levelname))


def progress_line(message: str, level: str = "INFO") -> Text:
    """Return a log line in the form that people see."""
    if level == "INFO":
        return Text(f"  {message}", style="dim")
    return Text(f"  {level.lower()}: {message}", style="yellow")


def complain(message: str) -> None:
    """Print an error as one line on stderr."""
    line = " ".join(message.split())
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        Text.assemble(("Error: ", "bold red"), line)
    )


def hide_warnings() -> None:
    """Keep the deprecation warnings of other libraries off the terminal.

    Feast switches them on for the whole process when it is imported.
    """
    logging.captureWarnings(True)
    warnings = logging.getLogger("py.warnings")
    warnings.addHandler(logging.NullHandler())
    # FBGEMM gives the root logger a handler when it is imported.
    warnings.propagate = False


def forget_connections() -> None:
    """Close the connection that Feast leaves open.

    Its DuckDB store keeps one in a global of ibis, which DuckDB reports as a leak at exit.
    """
    ibis = sys.modules.get("ibis")
    if ibis is not None:
        ibis.options.default_backend = None
