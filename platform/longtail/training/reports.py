"""Writes the records of a run: as JSON lines, and to TensorBoard on request."""

import importlib.util
import json
import logging
from pathlib import Path
from typing import Any, Protocol

from longtail.artifacts import replaced_file
from longtail.errors import InputError

log = logging.getLogger("longtail.training")

Record = dict[str, Any]
_NOT_CHARTED = ("step", "num_steps", "epoch", "seconds_left")


class Reports(Protocol):
    """Takes the records of a run."""

    def begin(self, step: int) -> Record:
        """Note that the run goes on after this step.

        Returns:
            The last record up to this step, or `{}`.
        """
        ...

    def write(self, record: Record) -> None:
        """Take the record of an interval."""
        ...

    def warn(self, step: int, message: str) -> None:
        """Take a message that people should act on while the run goes on."""
        ...

    def close(self) -> None:
        """Note that nothing more comes."""
        ...


class NoReports:
    """Drops all records. Every rank but the first has this."""

    def begin(self, step: int) -> Record:
        """Return `{}`."""
        del step
        return {}

    def write(self, record: Record) -> None:
        """Do nothing."""

    def warn(self, step: int, message: str) -> None:
        """Do nothing, since the first rank warns of the same."""

    def close(self) -> None:
        """Do nothing."""


class JsonLines:
    """Writes each record as a JSON object on a line of its own.

    Args:
        file: the training log. A run that goes on continues it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def begin(self, step: int) -> Record:
        """Remove the records of later steps, which are done again, and a half written last line.

        If the run goes on after a step, the line `{"step", "resumed": true}` says so.

        Returns:
            The last record of losses that is left, or `{}`.
        """
        kept: list[Record] = []
        if self._file.is_file():
            for line in self._file.read_bytes().splitlines():
                try:
                    record = json.loads(line)
                except ValueError:  # the process that wrote it was killed
                    continue
                if record["step"] <= step:
                    kept.append(record)
        last = next((record for record in reversed(kept) if "loss" in record), {})
        if step > 0:
            kept.append({"step": step, "resumed": True})
        with replaced_file(self._file) as temporary:
            lines = "".join(json.dumps(record) + "\n" for record in kept)
            temporary.write_text(lines, encoding="utf-8")
        return last

    def write(self, record: Record) -> None:
        """Append a line. A full disk does not end the run, since there may be room again later."""
        try:
            with self._file.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(record) + "\n")
        except OSError as error:
            log.warning("the record of step %d is lost: %s", record["step"], error)

    def warn(self, step: int, message: str) -> None:
        """Append a line `{"step", "warning"}`, for the process that follows the run."""
        log.warning("%s", message)
        self.write({"step": step, "warning": message})

    def close(self) -> None:
        """Do nothing, since the file is only open while a line is written."""


class TensorBoard:
    """Shows every figure as a chart over steps.

    Args:
        folder: this run's folder. `tensorboard --logdir` takes it, or its parent for many runs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, step: int) -> Record:
        """Open the folder, and hide the points of later steps. Return `{}`."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(self._folder), purge_step=step + 1)
        return {}

    def write(self, record: Record) -> None:
        """Add a point to every chart."""
        for name, value in record.items():
            if name not in _NOT_CHARTED:
                self._writer.add_scalar(name, value, record["step"])
        self._writer.flush()

    def warn(self, step: int, message: str) -> None:
        """Add a text beside the charts."""
        self._writer.add_text("warning", message, step)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


class Several:
    """Passes records on to several reports.

    Args:
        reports: the first one must know the records of earlier starts.
    """

    def __init__(self, *reports: Reports) -> None:
        self._reports = reports

    def begin(self, step: int) -> Record:
        """Begin all. Return the first one's last record."""
        records = [reports.begin(step) for reports in self._reports]
        return records[0]

    def write(self, record: Record) -> None:
        """Write to all of them."""
        for reports in self._reports:
            reports.write(record)

    def warn(self, step: int, message: str) -> None:
        """Warn in all of them."""
        for reports in self._reports:
            reports.warn(step, message)

    def close(self) -> None:
        """Close all of them."""
        for reports in self._reports:
            reports.close()


def require_tensorboard() -> None:
    """Check that the package tensorboard is there.

    Raises:
        InputError: it is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise InputError(
            "`reporting.tensorboard` is on, but the package tensorboard is not installed: "
            "pip install tensorboard, or switch it off in the configuration"
        )
