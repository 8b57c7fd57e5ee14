"""Following the records that rank 0 writes, from another process."""

import json
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

log = logging.getLogger("longtail.training")

_REPORT_SECONDS = 5.0
PROGRESS_LINE = re.compile(r"step (\d+) of (\d+), (.*)")
"""What `progress_line` writes: the step, the number of steps, the rest."""


class LogTail:
    """Passes on each new record of a training log.

    Args:
        file: JSON lines; it may not be there yet, and a run that resumes writes it anew.
        on_progress: called with each record of losses. Without it, one every few seconds is
            logged. Warnings are logged in any case.
    """

    def __init__(self, file: Path, on_progress: Callable[[dict[str, Any]], None] | None) -> None:
        self._file = file
        self._on_progress = on_progress
        self._position = file.stat().st_size if file.exists() else 0
        self._reported = 0.0

    def report(self, *, last: bool = False) -> None:
        """Pass on what is new.

        Args:
            last: the run has ended: log its last record, however soon after the one before.
        """
        if not self._file.exists():
            return
        self._position = min(self._position, self._file.stat().st_size)
        with self._file.open("rb") as handle:
            handle.seek(self._position)
            content = handle.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._position += len(whole)
        told = [json.loads(line) for line in whole.splitlines()]
        for record in told:
            if "warning" in record:
                log.warning("%s", record["warning"])
        records = [record for record in told if "loss" in record]
        if self._on_progress is not None:
            for record in records:
                self._on_progress(record)
        elif records and (last or time.monotonic() - self._reported > _REPORT_SECONDS):
            self._reported = time.monotonic()
            log.info("%s", progress_line(records[-1]))


def progress_line(record: dict[str, Any]) -> str:
    """A record as people read it."""
    return (
        f"step {record['step']} of {record['num_steps']}, loss {record['loss']:.3f} "
        f"(main {record['main_loss']:.3f}, self-supervised {record['self_supervised_loss']:.3f}), "
        f"{record['examples_per_second']:.0f} examples/s, {record['seconds_left']:.0f} s left"
    )
