"""Runs each part in a process of its own, so that a crash or a hang ends that part alone.

A child imports torch and waits for its turn while the part before it runs, so importing costs no
time of the day. On a GPU each child is a new process: a process that has touched the driver must
not be forked. On a CPU the children are forked from one process that has imported everything.
"""

import importlib
import multiprocessing
import os
import sys
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from gpu_day_parts.day import Day, Failed, Part, Skipped

# Imports nearly all of torch, FBGEMM, TorchRec and longtail that any part needs.
_HEAVY = "gpu_day_parts.small_training"
_LAST_LINES = 12


class Child:
    """The process of one part. It is started at once, and waits until `run` is called.

    Args:
        part: what it runs.
        device_type: `cuda` or `cpu`.
        folder: gets the result, the log and the other files of the part.
        training_set: the folder of an encoded training set, or None.
    """

    def __init__(
        self, part: Part, device_type: str, folder: Path, training_set: Path | None
    ) -> None:
        self._part = part
        self._log = folder / f"{part.name}.log"
        context: Any = multiprocessing.get_context("spawn" if device_type == "cuda" else _forking())
        if device_type != "cuda":
            context.set_forkserver_preload([_HEAVY])
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_child,
            args=(theirs, part, device_type, folder, training_set),
            name=part.name,
            daemon=True,
        )
        self._process.start()
        theirs.close()  # so that the end of the child is the end of the pipe

    def run(self, seconds: float) -> dict[str, Any]:
        """Let the part run, and return its result.

        Args:
            seconds: its time. It is killed at the end of that.

        Returns:
            `part`, `status` (ok, skipped, failed or out of time), `seconds`, `figures`, and lines
            of text: `reason` of a skipped part, `error` of one that failed or ran out of time.
        """
        started = time.monotonic()
        ends = started + seconds
        figures: dict[str, Any] = {}
        status, error = "", list[str]()
        # Figures come as they are measured, so that those before a crash or the limit are kept.
        try:
            self._pipe.send(ends)
            while not status:
                if not self._pipe.poll(max(0.0, ends - time.monotonic())):
                    status, error = "out of time", [f"ended after {seconds:.0f} s"]
                    break
                kind, content = self._pipe.recv()
                if kind == "figures":
                    figures |= content
                else:
                    status, error = content
        except (EOFError, OSError):
            self._process.join(5)
            status = "failed"
            error = [f"the process ended with exit code {self._process.exitcode}"]
        self.end()
        result: dict[str, Any] = {
            "part": self._part.name,
            "status": status,
            "seconds": round(time.monotonic() - started, 2),
            "figures": figures,
        }
        if status in ("failed", "out of time"):
            error = [*error, *_last_lines(self._log)]
        if error:
            result["reason" if status == "skipped" else "error"] = error
        return result

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.join()
        self._pipe.close()
        if self._log.is_file() and not self._log.stat().st_size:
            self._log.unlink()


def _forking() -> str:
    """Return how children are made on a CPU."""
    return "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def _last_lines(log: Path) -> list[str]:
    if not log.is_file():
        return []
    return log.read_text(errors="replace").splitlines()[-_LAST_LINES:]


def _child(
    pipe: Connection, part: Part, device_type: str, folder: Path, training_set: Path | None
) -> None:
    """Run a part in this process, and tell the parent what came of it."""
    # Progress goes where the parent's goes. All that libraries print goes to the log, since the
    # last words of a crash in C++ are there.
    terminal = os.fdopen(os.dup(2), "w", buffering=1)
    with (folder / f"{part.name}.log").open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    # Single ranks need it (torchrun sets it), and without it FBGEMM's planner asks the machine.
    os.environ.setdefault("LOCAL_WORLD_SIZE", "1")
    status, error = "ok", list[str]()
    module: Any = None
    try:
        module = importlib.import_module(f"gpu_day_parts.{part.module}")
    except BaseException:
        status, error = "failed", traceback.format_exc().splitlines()[-_LAST_LINES:]
    try:
        ends = pipe.recv()
    except EOFError:  # the parent is gone, or needs this part no more
        os._exit(0)
    day = Day(
        device_type=device_type,
        folder=folder,
        training_set=training_set,
        ends=ends,
        send=lambda figures: pipe.send(("figures", figures)),
        say=lambda text: print(f"  {text}", file=terminal),
    )
    if module is not None:
        try:
            module.measure(day)
        except Skipped as reason:
            status, error = "skipped", [str(reason)]
        except Failed as reason:
            status, error = "failed", [str(reason)]
        except BaseException:
            status, error = "failed", traceback.format_exc().splitlines()[-_LAST_LINES:]
    sys.stdout.flush()
    sys.stderr.flush()
    pipe.send(("end", (status, error)))
    # Threads that still make batches, or wait for a device, would keep this process alive.
    os._exit(0)
