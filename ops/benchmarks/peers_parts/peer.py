"""Our side of a peer: starts a worker in the peer's interpreter, and asks it for steps."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_BENCHMARKS = Path(__file__).resolve().parents[1]


def require(python: Path, packages: Sequence[str], requirements: str) -> None:
    """Exit with a message unless an interpreter has the packages.

    Args:
        python: the interpreter.
        packages: import names; they are looked for, and not imported.
        requirements: the file in `ops/requirements` with the packages.
    """
    code = (
        "import importlib.util, sys\n"
        "print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name) is None])"
    )
    command = [str(python), "-c", code, *packages]
    try:
        found = subprocess.run(
            command, env=_environment(), capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"peers: {python} does not run as a Python interpreter: {error}")
    if missing := found.stdout.split():
        sys.exit(
            f"peers: {python} lacks {', '.join(missing)}: "
            f"{python} -m pip install -r ops/requirements/{requirements}"
        )


class Peer:
    """A peer, trained in a process of its own.

    Args:
        python: the peer's interpreter.
        module: the worker, a module of `peers_parts`.
        folder: the folder that `export.py` wrote.
        choices: options of the worker.

    Attributes:
        about: versions and choices, as the worker reports them.
    """

    def __init__(self, python: Path, module: str, folder: Path, **choices: Any) -> None:
        self._module = module
        self._process = subprocess.Popen(
            [str(python), "-m", f"peers_parts.{module}", str(folder), json.dumps(choices)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_environment(),
        )
        self.about: dict[str, Any] = self._answer()["about"]

    def run(self, num_steps: int) -> None:
        """Train for some steps."""
        self._ask({"steps": num_steps})

    def vectors(self, file: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return the vectors that the test part asks for: queries `[Q, dim]`, items `[C, dim]`.

        Args:
            file: a path ending in `.npz`, which the worker writes.
        """
        self._ask({"vectors": str(file)})
        with np.load(file) as made:
            return made["query"], made["item"]

    def end(self) -> None:
        """End the worker."""
        self._process.communicate()

    def _ask(self, document: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        print(json.dumps(document), file=self._process.stdin, flush=True)
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"peers: {self._module} ended: see its error above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _environment() -> dict[str, str]:
    """Return the environment of a worker, without the variables of our own Python."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {"TF_CPP_MIN_LOG_LEVEL": "2", **kept, "PYTHONPATH": str(_BENCHMARKS)}
