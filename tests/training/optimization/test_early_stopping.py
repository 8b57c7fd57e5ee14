"""Training ends when validation no longer rises, and a resumed run ends at the same step."""

import shutil
from typing import Any

import pytest

from longtail.artifacts import read_json
from longtail.config import CheckpointsConfig, Config
from longtail.dataset.training_set import TrainingSet
from longtail.encoder.torch_encoder import Encoder
from longtail.training.checkpoint_files import PROGRESS, checkpoints
from longtail.training.checkpoint_selection import chosen_checkpoints
from longtail.training.interruption import StopRequest, TrainingInterruptedError
from tests.training.small_run import Run

NAME = "20230610-0000000"
# By epoch. The fourth only reaches the second again, which is no rise.
CURVE = [0.1, 0.3, 0.2, 0.3, 0.25, 0.9]
SCORED: list[float] = []


def scripted(encoder: Encoder, training_set: TrainingSet, config: Config) -> float:
    SCORED.append(CURVE[len(SCORED)])
    return SCORED[-1]


@pytest.fixture
def stopping(config: Config) -> Config:
    SCORED.clear()
    return patient(config, 2)


def patient(config: Config, num_epochs: int) -> Config:
    settings = {"early_stopping_epochs": num_epochs, "checkpoint_every_steps": 2}
    training = config.training.model_copy(update=settings)
    best_by = CheckpointsConfig(best_by=f"{__name__}:scripted")
    return config.model_copy(update={"training": training, "checkpoints": best_by})


@pytest.mark.usefixtures("one_rank")
def test_it_ends_when_the_figure_has_not_risen(stopping: Config) -> None:
    run = Run(stopping, f"{NAME}1", keep=1)
    result = run.train(6)
    per_epoch = run.builder.steps_per_epoch
    assert len(SCORED) == 4
    assert result["num_steps"] == len(run.losses()) == 4 * per_epoch
    assert result["ended"] == "the validation figure of epoch 2 was not passed in 2 more epoch(s)"
    chosen = chosen_checkpoints(run.paths, stopping)
    assert [folder.name for folder in chosen] == [f"step-{2 * per_epoch}"]
    assert read_json(chosen[0] / PROGRESS)["score"] == 0.3
    # The newest one and the best one are kept, and no checkpoint between epochs was scored.
    assert checkpoints(run.paths.checkpoints) == [2 * per_epoch, 4 * per_epoch]


@pytest.mark.usefixtures("one_rank")
def test_it_goes_on_while_the_figure_may_still_rise(stopping: Config) -> None:
    run = Run(patient(stopping, 4), f"{NAME}1")
    result = run.train(6)
    assert result["ended"] == "all 6 epochs are done"
    assert len(SCORED) == 6
    per_epoch = run.builder.steps_per_epoch
    assert result["num_steps"] == 6 * per_epoch
    assert chosen_checkpoints(run.paths, run.config)[0].name == f"step-{6 * per_epoch}"


@pytest.mark.usefixtures("one_rank")
@pytest.mark.parametrize("done", ["half an epoch", "two epochs", "all"])
def test_a_resumed_run_ends_at_the_same_step(done: str, stopping: Config) -> None:
    whole = Run(stopping, f"{NAME}1")
    wanted = whole.train(6)
    per_epoch = whole.builder.steps_per_epoch
    steps = checkpoints(whole.paths.checkpoints)
    last = {"half an epoch": per_epoch + 1, "two epochs": 2 * per_epoch, "all": 4 * per_epoch}
    found = [step for step in steps if step <= last[done]]
    killed = Run(stopping, f"{NAME}2")
    for step in found:
        name = f"step-{step}"
        shutil.copytree(whole.paths.checkpoints / name, killed.paths.checkpoints / name)
    shutil.copy(whole.paths.training_log, killed.paths.training_log)
    # The figures of the epochs that are done are in their checkpoints.
    del SCORED[sum(step % per_epoch == 0 for step in found) :]
    result = killed.train(6)
    assert len(SCORED) == 4
    for key in ("num_steps", "final_loss", "ended"):
        assert result[key] == wanted[key]
    assert killed.losses() == whole.losses()
    names = [
        [folder.name for folder in chosen_checkpoints(run.paths, stopping)]
        for run in (whole, killed)
    ]
    assert names[0] == names[1] == [f"step-{2 * per_epoch}"]


@pytest.mark.usefixtures("one_rank")
def test_a_run_that_is_told_to_stop_is_not_taken_for_ended(
    stopping: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(stopping, f"{NAME}1")
    per_epoch = run.builder.steps_per_epoch
    answers = iter(range(1, 100))
    # The signal comes in the last step of the epoch that would end the run.
    monkeypatch.setattr(StopRequest, "answer", lambda _: next(answers) == 4 * per_epoch)
    with pytest.raises(TrainingInterruptedError):
        run.train(6)
    monkeypatch.undo()
    again: dict[str, Any] = Run(stopping, f"{NAME}1").train(6)
    assert again["num_steps"] == 4 * per_epoch
    assert again["ended"].startswith("the validation figure of epoch 2")
    assert len(SCORED) == 4
