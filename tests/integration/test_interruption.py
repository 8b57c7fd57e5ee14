"""Ctrl-C during training: everything ends, and nothing is served that was not before."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.blocks import QUICK, write_blocks
from tests.integration.conftest import child_environment

MARK = "LONGTAIL_TEST_RUN"


def processes_of(run: str) -> list[str]:
    """The command lines of live processes that inherited a mark in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if f"{MARK}={run}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # it ended meanwhile, or is somebody else's
            continue
    return found


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)]
)
def test_an_interrupted_run_leaves_no_process_behind(
    number: signal.Signals, tmp_path: Path
) -> None:
    forever = {**QUICK["training"], "num_epochs": 100_000}
    file = write_blocks(tmp_path, training=forever)
    run = f"{os.getpid()}-{tmp_path.name}"
    command = subprocess.Popen(
        [sys.executable, "-m", "longtail.cli", "run", "--as-of=2024-01-05", f"--config={file}"],
        env=child_environment(**{MARK: run}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert command.stderr is not None
        lines = []
        for line in command.stderr:
            lines.append(line)
            if line.strip().startswith("step "):
                break
        assert len(processes_of(run)) >= 4, lines  # command, Dagster, launcher, torchrun, rank
        command.send_signal(number)
        _, rest = command.communicate(timeout=60)
        if number == signal.SIGINT:
            assert command.returncode == 1
            last = rest.splitlines()[-1]
            assert last.startswith("Error: interrupted; the served version has not changed")
        deadline = time.monotonic() + 60
        while processes_of(run) and time.monotonic() < deadline:
            time.sleep(0.5)
        assert processes_of(run) == []
        assert not (tmp_path / ".longtail" / "published.json").exists()
    finally:
        command.kill()
