"""Starting the ranks, watching over them, and telling them to stop."""

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

_POLL_SECONDS = 0.5
# How long ranks that were told to stop may take for their step and its checkpoint. Whoever told us
# to stop has a limit of its own, and kills us, and with us the ranks.
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

    A first SIGTERM or SIGINT stops the run at the next step, with a checkpoint; a second one kills
    it. (Signals are heard in the main thread only.)

    Args:
        config: training section is read.
        config_path: its file.
        as_of: the day.
        paths: of the version.
        num_ranks: processes.
        parent: the version of a warm start.
        on_poll: called again and again while the ranks work.

    Raises:
        TrainingInterruptedError: told to stop, and stopped.
        LongtailError: training failed; the message says why and where its log stands.
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
            start_new_session=True,  # Ctrl-C reaches the ranks once, from us
        )
        try:
            with _forwarding_signals(process) as told:
                while process.poll() is None:
                    time.sleep(_POLL_SECONDS)
                    on_poll()
        finally:
            if process.poll() is None:  # we fail ourselves
                process.kill()
                process.wait()
    outcome = read_outcome(paths.folder)
    clear_outcome(paths.folder)
    if paths.training.is_file():
        return
    if told or (outcome is not None and outcome["interrupted"]):
        raise TrainingInterruptedError(_interruption(paths))
    cause = outcome["message"] if outcome is not None else _cause(output)
    again = "" if outcome is not None else "; run it again to go on from the newest checkpoint"
    raise LongtailError(f"training of {paths.version} failed: {cause}. Its log is {output}{again}")


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Keep two runs from writing the same checkpoints.

    The lock ends with its process, however that ends.

    Raises:
        LongtailError: another process holds it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LongtailError(
                f"{lock.stem} is being trained by another process, which holds {lock}: wait for it"
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
    # -P: a folder named `longtail` where the command runs must not shadow ours.
    command = [
        sys.executable,
        "-P",
        "-m",
        "longtail.training.launch.torchrun_agent",
        "--standalone",
    ]
    command += [f"--nproc-per-node={num_ranks}", f"--max-restarts={config.training.max_restarts}"]
    command += [f"--shutdown-timeout={_STOP_SECONDS}"]
    command += ["-m", "longtail.training.worker", f"--as-of={as_of}", f"--version={version}"]
    command += [f"--config={config_path}"] if config_path else []
    command += [f"--parent={parent}"] if parent else []
    return command


def _environment(config: Config, num_ranks: int) -> dict[str, str]:
    threads = config.training.threads_per_rank or max(1, (os.cpu_count() or 1) // num_ranks)
    return {
        **os.environ,
        **child_environment(),
        "LONGTAIL_HOME": str(config.home),
        "OMP_NUM_THREADS": str(threads),
        **waiting(os.environ),
        # A restarted group hangs in its rendezvous while the store is shared (torch 2.13).
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    }


@contextmanager
def _forwarding_signals(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Pass on what we are told; yields the list of the signals that came.

    Both are set explicitly: a background shell hands on an ignored SIGINT, and Dagster gives
    SIGTERM whatever handler SIGINT has.
    """
    told: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        told.append(number)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM if len(told) == 1 else signal.SIGKILL)

    if threading.current_thread() is not threading.main_thread():
        yield told
        return
    before = {number: signal.signal(number, forward) for number in STOP_SIGNALS}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interruption(paths: VersionPaths) -> str:
    steps = checkpoints(paths.checkpoints)
    again = (
        f"goes on after step {steps[-1]}" if steps else "begins anew, for there is no checkpoint"
    )
    return f"training of {paths.version} was told to stop: the same command {again}"


def _cause(output: Path) -> str:
    """The last error that a rank itself printed, not torchrun's report of it."""
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = (line for line in reversed(lines) if re.search(r"[Ee]rror:", line))
    return next((line.strip() for line in errors if "ChildFailedError" not in line), "see the log")
