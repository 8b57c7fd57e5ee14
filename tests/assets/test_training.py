"""The model's asset: Dagster starts a launcher that was told to stop again."""

import os
import signal
import threading
import time
from pathlib import Path

import dagster as dg
import pytest

from assets.resources import Project as ProjectResource
from assets.resources import resources
from assets.training import TOLD_TO_STOP, two_tower_model
from longtail.training.interruption import TrainingInterruptedError
from tests.training.launch.launched import DAY, Project


def test_the_exit_code_is_that_of_the_launcher() -> None:
    assert TrainingInterruptedError.exit_code == TOLD_TO_STOP


# Dagster's own Pipes client calls what Dagster deprecates and previews (1.13.27).
@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_a_launcher_that_was_told_to_stop_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)
    training = {"num_epochs": 80, "checkpoint_every_steps": 100_000}
    project = Project(tmp_path, training=training)
    told: list[int] = []

    # SIGTERM in the middle of training, as on a node that is taken away.
    def take_the_node_away() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            records = project.records()
            if records and records[-1]["step"] >= 20:
                told.extend(launchers(str(project.file)))
                os.kill(told[0], signal.SIGTERM)
                return
            time.sleep(0.05)

    preemption = threading.Thread(target=take_the_node_away)
    preemption.start()
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [two_tower_model],
            partition_key=DAY.isoformat(),
            resources={**resources(), "project": ProjectResource(config_file=str(project.file))},
            instance=instance,
            raise_on_error=False,
        )
    preemption.join()
    assert result.success
    assert len(told) == 1
    kinds = [event.event_type for event in result.all_events]
    assert kinds.count(dg.DagsterEventType.STEP_UP_FOR_RETRY) == 1
    assert project.result["num_steps"] == 400
    assert len(project.losses()) == 400
    log = (project.paths.folder / "training.log").read_text()
    assert log.count("resumed from the checkpoint of step") == 1


def launchers(config_file: str) -> list[int]:
    """Return the process ids of the launchers of a configuration."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
        except (OSError, UnicodeDecodeError):
            continue
        if "longtail.training.launch" in words and config_file in words:
            found.append(int(folder.name))
    return found
