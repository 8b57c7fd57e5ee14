"""The work of the processes in `test_workers.py`, which import it by name."""

import os
import sys
import time
from typing import Any

from longtail.errors import LongtailError


def do(task: tuple[str, Any]) -> Any:
    kind, value = task
    if kind == "square":
        return value * value
    if kind == "environment":
        return os.environ.get(value), "torch" in sys.modules
    if kind == "process":
        return os.getpid()
    if kind == "sleep":
        time.sleep(value)
        return os.getpid()
    if kind == "die":
        os._exit(value)
    if kind == "refuse":
        raise LongtailError(value)
    raise ValueError(value)
