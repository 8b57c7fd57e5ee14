"""Following the records that rank 0 writes, from another process."""

import json
import logging
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Self

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
        # Kept open, so that no other file can have the same number while we compare.
        self._handle: BinaryIO | None = None
        if file.exists():
            self._handle = file.open("rb")
            self._handle.seek(0, os.SEEK_END)  # what stands there already is old
        self._reported = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            self._handle.close()

    def report(self, *, last: bool = False) -> None:
        """Pass on what is new.

        Args:
            last: the run has ended: log its last record, however soon after the one before.
        """
        told = self._new_records()
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

    def _new_records(self) -> list[dict[str, Any]]:
        written_anew = self._reopen()
        if self._handle is None:
            return []
        position = self._handle.tell()
        content = self._handle.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._handle.seek(position + len(whole))
        records: list[dict[str, Any]] = [json.loads(line) for line in whole.splitlines()]
        if written_anew:  # what stands before the place where it went on was told before
            starts = [place for place, record in enumerate(records) if "resumed" in record]
            records = records[starts[-1] :] if starts else records
        return records

    def _reopen(self) -> bool:
        """Turn to the file that now has the name; whether it is another one than before."""
        try:
            now = self._file.open("rb")
        except FileNotFoundError:
            return False
        if self._handle is not None:
            if os.path.sameopenfile(now.fileno(), self._handle.fileno()):
                now.close()
                return False
            self._handle.close()
        self._handle = now
        return True


def progress_line(record: dict[str, Any]) -> str:
    """A record as people read it."""
    return (
        f"step {record['step']} of {record['num_steps']}, loss {record['loss']:.3f} "
        f"(main {record['main_loss']:.3f}, self-supervised {record['self_supervised_loss']:.3f}), "
        f"{record['examples_per_second']:.0f} examples/s, {record['seconds_left']:.0f} s left"
    )
