"""How the ranks ended, where they ended by their own decision; the launcher reads it.

torchrun restarts a group of which one rank ended with an exit code other than zero. A run that was
told to stop, or whose loss diverged, must not be restarted: its ranks end with zero, and rank 0
leaves this file behind.
"""

from pathlib import Path
from typing import Any

from longtail.artifacts import read_json, write_json
from longtail.errors import LongtailError
from longtail.training.interruption import TrainingInterruptedError

_FILE = "outcome.json"


def clear_outcome(folder: Path) -> None:
    """Forget how an earlier start of the run in this folder ended."""
    (folder / _FILE).unlink(missing_ok=True)


def write_outcome(folder: Path, error: LongtailError) -> None:
    """Say why the run in this folder has ended before its end."""
    interrupted = isinstance(error, TrainingInterruptedError)
    write_json(folder / _FILE, {"interrupted": interrupted, "message": str(error)})


def read_outcome(folder: Path) -> dict[str, Any] | None:
    """`{"interrupted", "message"}`, or None where no rank has decided to end."""
    file = folder / _FILE
    return read_json(file) if file.is_file() else None
