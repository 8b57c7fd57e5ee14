"""A run that gets SIGTERM writes a checkpoint first, and the same command goes on from there."""

import os
import signal
import time
from pathlib import Path

import pytest

from longtail.artifacts import read_json
from longtail.training.checkpoint_files import PROGRESS, checkpoint_folder, checkpoints
from tests.training.launch.launched import Launched, Project

FOREVER = {"num_epochs": 100_000, "checkpoint_every_steps": 100_000}
TOLD_TO_STOP = 75


@pytest.fixture(autouse=True)
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)


@pytest.mark.slow
def test_sigterm_stops_both_ranks_at_one_step_and_the_same_command_goes_on(tmp_path: Path) -> None:
    project = Project(tmp_path, training=FOREVER)
    with Launched(project, num_ranks=2, ignoring=(signal.SIGINT, signal.SIGTERM)) as run:
        run.wait_for_step(10)
        run.process.send_signal(signal.SIGTERM)
        code, output = run.end()
        assert code == TOLD_TO_STOP, output
        assert run.others() == []
    (step,) = checkpoints(project.paths.checkpoints)
    assert step == project.records()[-1]["step"] > 10
    assert f"was told to stop: the same command goes on after step {step}" in output
    progress = read_json(checkpoint_folder(project.paths.checkpoints, step) / PROGRESS)
    # 2 ranks take 32 examples each in a step, so the step gives the place in the data.
    steps_per_epoch = progress["step"] // progress["epoch"]
    assert progress["examples"] == 64 * (step - steps_per_epoch * progress["epoch"])

    # The run goes on with one rank. This time only the rank gets the signal, and its parent has
    # SIGINT ignored.
    with Launched(project, ignoring=(signal.SIGINT,)) as run:
        run.wait_for_step(step + 10)
        os.kill(run.ranks()[0], signal.SIGTERM)
        code, output = run.end()
        assert code == TOLD_TO_STOP, output
        assert f"going on after step {step}" in output
    later = checkpoints(project.paths.checkpoints)[-1]
    assert later == project.records()[-1]["step"] >= step + 10
    assert project.losses()  # every step once, in order


@pytest.mark.slow
@pytest.mark.parametrize("who", ["launcher", "torchrun"])
def test_other_ways_to_be_told(who: str, tmp_path: Path) -> None:
    project = Project(tmp_path, training=FOREVER)
    with Launched(project, num_ranks=2, ignoring=(signal.SIGINT,)) as run:
        run.wait_for_step(5)
        if who == "launcher":
            run.process.send_signal(signal.SIGINT)
        else:
            os.kill(run.torchrun(), signal.SIGTERM)
        code, output = run.end()
        assert code == TOLD_TO_STOP, output
    assert checkpoints(project.paths.checkpoints) == [project.records()[-1]["step"]]


@pytest.mark.slow
def test_a_second_signal_kills(tmp_path: Path) -> None:
    project = Project(tmp_path, training=FOREVER)
    with Launched(project) as run:
        run.wait_for_step(5)
        (rank,) = run.ranks()
        os.kill(rank, signal.SIGSTOP)  # a rank that hangs
        run.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        assert run.process.poll() is None
        run.process.send_signal(signal.SIGTERM)
        code, output = run.end()
        assert code == TOLD_TO_STOP, output
        assert "the same command starts from the beginning" in output
        gone(run)


@pytest.mark.parametrize("who", ["launcher", pytest.param("torchrun", marks=pytest.mark.slow)])
def test_nobody_trains_on_without_a_launcher(who: str, tmp_path: Path) -> None:
    project = Project(tmp_path, training=FOREVER)
    with Launched(project, num_ranks=2) as run:
        run.wait_for_step(5)
        os.kill(run.process.pid if who == "launcher" else run.torchrun(), signal.SIGKILL)
        if who == "torchrun":
            assert run.end()[0] == 1
        gone(run)


def gone(run: Launched) -> None:
    deadline = time.monotonic() + 10
    while run.others() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert run.others() == []
