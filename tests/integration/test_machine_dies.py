"""A machine that dies during a refresh: everything is killed at once, and started again."""

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from tests.blocks import QUICK
from tests.integration.test_dagster_dev import (
    DAY,
    PUBLISHED_WITHIN_SECONDS,
    RUNS,
    DagsterDev,
)
from tests.integration.test_interruption import MARK

FOUND_WITHIN_SECONDS = 60.0
# Long enough to be killed in the middle of it, also on a fast machine.
LONG = {**QUICK["training"], "num_epochs": 150, "checkpoint_every_steps": 20}


def kill_all(mark: str) -> None:
    """Kill every process with a mark in its environment, so that none can tell what happened."""
    for _ in range(3):  # a child may start while its parent is killed
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                environment = (folder / "environ").read_bytes().split(b"\0")
                if f"{MARK}={mark}".encode() in environment:
                    os.kill(int(folder.name), signal.SIGKILL)
        time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_run_whose_machine_died_is_found_and_its_day_starts_again(tmp_path: Path) -> None:
    mark = f"{os.getpid()}-{tmp_path.name}"
    dev = DagsterDev(tmp_path, mark, training=LONG)
    try:
        dead = dev.launch(dev.wait_for("code location", dev.repository, 300))
        logs = tmp_path / ".longtail" / "versions"
        dev.wait_for("checkpoint", lambda: [*logs.glob("*/checkpoints/*")], 300)
    finally:
        kill_all(mark)
        dev.stop()
    # The machine comes back. Nobody does anything but start Dagster.
    again = DagsterDev(tmp_path, mark)
    try:
        again.wait_for("code location", again.repository, 300)

        def runs() -> dict[str, dict[str, str]]:
            found = again.ask(RUNS)["runsOrError"]["results"]
            return {
                run["runId"]: {
                    "status": run["status"],
                    **{tag["key"]: tag["value"] for tag in run["tags"]},
                }
                for run in found
            }

        again.wait_for(
            "end of the dead run",
            lambda: runs()[dead]["status"] == "FAILURE",
            FOUND_WITHIN_SECONDS,
        )
        served = again.wait_for("publication", again.served_day, 2 * PUBLISHED_WITHIN_SECONDS)
        assert served == DAY
        (second,) = [run for run in runs() if run != dead]
        assert runs()[second]["dagster/parent_run_id"] == dead
        assert runs()[second]["dagster/partition"] == DAY
        words = again.ask(
            "query Log($run: ID!) { logsForRun(runId: $run) { ... on EventConnection { "
            "events { ... on RunFailureEvent { message } } } } }",
            run=dead,
        )["logsForRun"]["events"]
        said = [event["message"] for event in words if event]
        assert any("the process of the run is gone" in message for message in said), said
    finally:
        again.stop()
        kill_all(mark)
