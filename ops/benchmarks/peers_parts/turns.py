"""The worker's side of the protocol. It runs in a peer's interpreter, without our packages.

A worker reads one JSON document per line on stdin, and answers each with one on stdout:

    (at the start)          {"about": ...}
    {"steps": 30}           {"steps": 30, "seconds": ...} when the steps are done
    {"vectors": FILE}       {"vectors": FILE, "seconds": ...} when the file is written
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Arrays = dict[str, Any]


class Worker(Protocol):
    """A peer that trains.

    Attributes:
        about: versions and choices, for the report.
    """

    about: dict[str, Any]

    def run(self, num_steps: int) -> None:
        """Train for some steps, input included. The next call goes on where this one ended."""

    def vectors(self) -> Arrays:
        """Return `query` and `item`, `[n, output_dim]` float32, for the rows that are asked for."""


def serve(make: Callable[[Arrays, dict[str, Any], dict[str, Any]], Worker]) -> None:
    """Answer until stdin ends: `python -m MODULE FOLDER CHOICES`.

    Args:
        make: makes the worker from the arrays and settings of `export.py`, and the choices:
            `threads`, and the peer's own options.
    """
    # Libraries print to descriptor 1, so answers go to a copy of it, and it becomes stderr.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    folder, choices = Path(sys.argv[1]), json.loads(sys.argv[2])
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    with np.load(folder / "data.npz") as data:
        worker = make(dict(data), settings, choices)

    def answer(document: dict[str, Any]) -> None:
        print(json.dumps(document), file=answers, flush=True)

    answer({"about": worker.about})
    for line in sys.stdin:
        asked = json.loads(line)
        start = time.perf_counter()
        if "steps" in asked:
            worker.run(asked["steps"])
        else:
            np.savez(asked["vectors"], **worker.vectors())
        answer({**asked, "seconds": time.perf_counter() - start})
