"""Starts the ranks with torchrun, watches them, and tells them to stop."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import FrameType

from longtail.artifacts import VersionPaths
from longtail.config import Config
from longtail.errors import LongtailError
from longtail.training.checkpoint_files import checkpoints
from longtail.training.interruption import STOP_SIGNALS, TrainingInterruptedError
from longtail.training.launch.openmp_threads import waiting
from longtail.training.launch.run_outcome import clear_outcome, read_outcome
from longtail.training.launch.torchrun_agent import child_environment
from longtail.training.torch_releases import shutdown_timeout

_POLL_SECONDS = 0.5
# Seconds that the ranks may take to stop: for their step and its checkpoint. It is generous, since
# the sender of the signal has a limit of its own. It kills this process, and the ranks with it.
_STOP_SECONDS = 3600


def run_ranks(
    config: Config,
    config_path: Path | None,
    as_of: date,
    paths: VersionPaths,
    *,
    num_ranks: int,
    parent: str | None,
    on_poll: Callable[[], None],
) -> None:
    """Train on this machine with torchrun, until the result is there.

    A first SIGTERM or SIGINT stops the run after its step, with a checkpoint. A second one kills
    it. Only the main thread can receive them.

    Args:
        config: the section `training` is read.
        config_path: the configuration's file. None: the default one.
        as_of: the day.
        paths: the paths of the version.
        num_ranks: the number of processes.
        parent: the version of a warm start. None: a cold start.
        on_poll: called twice a second while the ranks work.

    Raises:
        TrainingInterruptedError: a signal stopped the run.
        LongtailError: training failed. The message says why, and names its log.
    """
    clear_outcome(paths.folder)
    command = _command(config, config_path, as_of, paths.version, num_ranks, parent)
    output = paths.folder / "training.log"
    with output.open("ab") as handle:
        process = subprocess.Popen(
            command,
            env=_environment(config, num_ranks),
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that Ctrl-C reaches the ranks once, from this process
        )
        try:
            with _forwarding_signals(process) as received:
                while process.poll() is None:
                    time.sleep(_POLL_SECONDS)
                    on_poll()
        finally:
            if process.poll() is None:  # this process fails
                process.kill()
                process.wait()
    # The result counts, whatever else happened: a signal may come just after the last step.
    outcome = read_outcome(paths.folder)
    clear_outcome(paths.folder)
    if paths.training.is_file():
        return
    if received or (outcome is not None and outcome["interrupted"]):
        raise TrainingInterruptedError(_interruption(paths))
    # A decision of the ranks has words of its own. Otherwise the log has the error.
    cause = outcome["message"] if outcome is not None else _cause(output)
    again = "" if outcome is not None else "; run it again to go on from the newest checkpoint"
    raise LongtailError(f"training of {paths.version} failed: {cause}. Its log is {output}{again}")


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Hold a lock while the block runs, so that no other process writes the same checkpoints.

    The system releases the lock when the process ends, in whatever way.

    Args:
        lock: a file, with the name of what it protects.

    Raises:
        LongtailError: another process holds the lock.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LongtailError(
                f"{lock.stem} is being trained by another process, which holds {lock}: wait until "
                "it has ended"
            ) from error
        yield


def _command(
    config: Config,
    config_path: Path | None,
    as_of: date,
    version: str,
    num_ranks: int,
    parent: str | None,
) -> list[str]:
    """Return the command line of torchrun."""
    # -P keeps a folder named `longtail` in the current directory from shadowing ours.
    command = [
        sys.executable,
        "-P",
        "-m",
        "longtail.training.launch.torchrun_agent",
        "--standalone",
    ]
    command += [f"--nproc-per-node={num_ranks}", f"--max-restarts={config.training.max_restarts}"]
    command += shutdown_timeout(_STOP_SECONDS)
    command += ["-m", "longtail.training.worker", f"--as-of={as_of}", f"--version={version}"]
    command += [f"--config={config_path}"] if config_path else []
    command += [f"--parent={parent}"] if parent else []
    return command


def _environment(config: Config, num_ranks: int) -> dict[str, str]:
    """Return the environment of torchrun and its ranks."""
    threads = config.training.threads_per_rank or max(1, (os.cpu_count() or 1) // num_ranks)
    return {
        **os.environ,
        **child_environment(),
        "LONGTAIL_HOME": str(config.home),
        "OMP_NUM_THREADS": str(threads),
        **waiting(os.environ),
        # With a shared store a restarted group hangs in its rendezvous (torch 2.13).
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    }


@contextmanager
def _forwarding_signals(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Pass signals on to a process while the block runs: the first as SIGTERM, others as SIGKILL.

    Both handlers are set explicitly. A background shell passes SIGINT on as ignored, and Dagster
    gives SIGTERM the handler that SIGINT has.

    Yields:
        The signals that have come so far.
    """
    received: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM if len(received) == 1 else signal.SIGKILL)

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.signal(number, forward) for number in STOP_SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interruption(paths: VersionPaths) -> str:
    """Return the message of a run that was told to stop."""
    steps = checkpoints(paths.checkpoints)
    again = (
        f"goes on after step {steps[-1]}"
        if steps
        else "starts from the beginning, because there is no checkpoint"
    )
    return f"training of {paths.version} was told to stop: the same command {again}"


def _cause(output: Path) -> str:
    """Return the last error that a rank itself printed, rather than torchrun's report of it."""
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = (line for line in reversed(lines) if re.search(r"[Ee]rror:", line))
    return next((line.strip() for line in errors if "ChildFailedError" not in line), "see the log")
