"""The reason why the ranks decided to end a run early. A rank writes it, and the launcher reads it.

torchrun restarts a group if one of its ranks ends with an exit code other than zero. But a run that
was told to stop, or that has diverged, must not be restarted. So its ranks end with zero, and leave
this file behind.
"""

from pathlib import Path
from typing import Any

from longtail.artifacts import read_json, write_json
from longtail.errors import LongtailError
from longtail.training.interruption import TrainingInterruptedError

_FILE = "outcome.json"


def clear_outcome(folder: Path) -> None:
    """Remove the outcome of an earlier start of the run in this folder."""
    (folder / _FILE).unlink(missing_ok=True)


def write_outcome(folder: Path, error: LongtailError) -> None:
    """Write the reason why the run in this folder ended early."""
    interrupted = isinstance(error, TrainingInterruptedError)
    write_json(folder / _FILE, {"interrupted": interrupted, "message": str(error)})


def read_outcome(folder: Path) -> dict[str, Any] | None:
    """Return `{"interrupted", "message"}`, or None if the ranks did not decide to end the run."""
    file = folder / _FILE
    return read_json(file) if file.is_file() else None
