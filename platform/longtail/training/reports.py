"""Where the records of a run go: JSON lines, and TensorBoard on request."""

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
        """The run goes on after this step; returns the last record that still holds, or `{}`."""
        ...

    def write(self, record: Record) -> None:
        """Take the record of an interval."""
        ...

    def warn(self, step: int, message: str) -> None:
        """Take what people should act upon while the run goes on."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


class NoReports:
    """Of the ranks but the first."""

    def begin(self, step: int) -> Record:
        """Nothing was told."""
        del step
        return {}

    def write(self, record: Record) -> None:
        """Nothing is told."""

    def warn(self, step: int, message: str) -> None:
        """Nothing is told: the first rank knows the same."""

    def close(self) -> None:
        """Nothing is held open."""


class JsonLines:
    """One JSON object a line.

    Args:
        file: a run that goes on continues it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def begin(self, step: int) -> Record:
        """Leave out what was told of later steps, which are done again, and half a last line.

        Where the run goes on, the line `{"step", "resumed": true}` says so.
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
        """Append a line. A disk that is full must not end the run: there may be room again."""
        try:
            with self._file.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(record) + "\n")
        except OSError as error:
            log.warning("the record of step %d is lost: %s", record["step"], error)

    def warn(self, step: int, message: str) -> None:
        """A line of its own kind, `{"step", "warning"}`, for whoever follows the run."""
        log.warning("%s", message)
        self.write({"step": step, "warning": message})

    def close(self) -> None:
        """Nothing is held open."""


class TensorBoard:
    """Every figure as a chart over steps.

    Args:
        folder: of this run; `tensorboard --logdir` takes it, or the one above for many runs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, step: int) -> Record:
        """Open the folder; what it shows of later steps is hidden."""
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
        """A text beside the charts."""
        self._writer.add_text("warning", message, step)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


class Several:
    """Passes records on to all of several.

    Args:
        reports: the first one remembers what was told before.
    """

    def __init__(self, *reports: Reports) -> None:
        self._reports = reports

    def begin(self, step: int) -> Record:
        """Begin all; the first one's last record."""
        records = [reports.begin(step) for reports in self._reports]
        return records[0]

    def write(self, record: Record) -> None:
        """Write to all."""
        for reports in self._reports:
            reports.write(record)

    def warn(self, step: int, message: str) -> None:
        """Warn everywhere."""
        for reports in self._reports:
            reports.warn(step, message)

    def close(self) -> None:
        """Close all."""
        for reports in self._reports:
            reports.close()


def require_tensorboard() -> None:
    """Refuse a run that asks for TensorBoard where it cannot be written.

    Raises:
        InputError: the package is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise InputError(
            "`reporting.tensorboard` is on, and the package tensorboard is not installed: "
            "pip install tensorboard, or switch it off in the configuration"
        )
