"""Follows the records that rank 0 writes, from another process.

Light to import: no torch.
"""

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Self

log = logging.getLogger("longtail.training")

PROGRESS_FILE = "LONGTAIL_PROGRESS_FILE"
"""The environment variable with the name of a file to which the launcher appends each record of
losses, one JSON object a line. The command that shows a bar sets it, and follows the file."""

_REPORT_SECONDS = 5.0


class LogTail:
    """Passes on each new record of a training log.

    Every few seconds it also logs the newest record as a line for people. Warnings are always
    logged.

    Args:
        file: JSON lines. It may not exist yet, and a run that resumes writes it anew.
        on_progress: called with each new record of losses. With it, the lines for people are
            logged as DEBUG instead of INFO, since the caller shows the same figures.
    """

    def __init__(self, file: Path, on_progress: Callable[[dict[str, Any]], None] | None) -> None:
        self._file = file
        self._on_progress = on_progress
        # The file stays open, so that its inode number cannot be reused while we compare files.
        self._handle: BinaryIO | None = None
        if file.exists():
            self._handle = file.open("rb")
            self._handle.seek(0, os.SEEK_END)  # an earlier start wrote these records
        self._reported = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            self._handle.close()

    def report(self, *, last: bool = False) -> None:
        """Pass on the records that are new since the last call.

        Args:
            last: the run has ended. The last record is logged even if a line was logged a moment
                ago.
        """
        new = self._new_records()
        for record in new:
            if "warning" in record:
                log.warning("%s", record["warning"])
        records = [record for record in new if "loss" in record]
        if self._on_progress is not None:
            for record in records:
                self._on_progress(record)
        level = logging.INFO if self._on_progress is None else logging.DEBUG
        is_due = last or time.monotonic() - self._reported > _REPORT_SECONDS
        if records and is_due and log.isEnabledFor(level):
            self._reported = time.monotonic()
            log.log(level, "%s", progress_line(records[-1]))

    def _new_records(self) -> list[dict[str, Any]]:
        written_anew = self._reopen()
        if self._handle is None:
            return []
        position = self._handle.tell()
        content = self._handle.read()
        # The last line may be half written: leave it for the next call.
        whole = content[: content.rfind(b"\n") + 1]
        self._handle.seek(position + len(whole))
        records: list[dict[str, Any]] = [json.loads(line) for line in whole.splitlines()]
        # A run that resumes copies its earlier records, and they were passed on before.
        if written_anew:
            starts = [place for place, record in enumerate(records) if "resumed" in record]
            records = records[starts[-1] :] if starts else records
        return records

    def _reopen(self) -> bool:
        """Open the file again if another one has its name now. Return whether that was so."""
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
    """Return a record of losses as a line for people."""
    return (
        f"step {record['step']} of {record['num_steps']}, loss {record['loss']:.3f} "
        f"(main {record['main_loss']:.3f}, self-supervised {record['self_supervised_loss']:.3f}), "
        f"{record['examples_per_second']:.0f} examples/s, {record['seconds_left']:.0f} s left"
    )
