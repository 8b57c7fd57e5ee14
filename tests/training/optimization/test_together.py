"""All of dropout, decays, mean weights and early stopping at once, and resumed."""

import shutil

import numpy as np
import pytest
import safetensors.numpy

from longtail.config import CheckpointsConfig, Config
from longtail.training.checkpoint_files import checkpoints
from longtail.training.checkpoint_selection import chosen_checkpoints
from longtail.training.encoder_bundle import write_encoder
from longtail.training.optimization.schedule import Schedule
from longtail.training.run_progress import Progress
from tests.training.small_run import Run

NAME = "20230610-0000000"
TRAINING = {
    "learning_rate_decay": "cosine",
    "weight_decay": 0.2,
    "table_weight_decay": 0.1,
    "average_epochs": 2,
}
NUM_EPOCHS = 6


def everything(config: Config, **more: object) -> Config:
    training = {**TRAINING, "checkpoint_every_steps": 2, **more}
    return config.model_copy(
        update={
            "training": config.training.model_copy(update=training),
            "model": config.model.model_copy(update={"dropout": 0.3}),
        }
    )


def finished(run: Run) -> dict[str, np.ndarray]:
    """Train a run to its end, and return its encoder bundle."""
    run.train(NUM_EPOCHS)
    write_encoder(run.paths, run.config, *chosen_checkpoints(run.paths, run.config))
    return dict(safetensors.numpy.load_file(run.paths.encoder))


@pytest.mark.usefixtures("one_rank")
def test_a_resumed_run_equals_an_uninterrupted_one(config: Config) -> None:
    best_by = CheckpointsConfig(best_by="longtail.evaluation.validation:map_at_50")
    config = everything(config, early_stopping_epochs=2).model_copy(update={"checkpoints": best_by})
    whole = Run(config, f"{NAME}1")
    wanted = finished(whole)
    steps = checkpoints(whole.paths.checkpoints)
    assert any(step % whole.builder.steps_per_epoch for step in steps)
    for number, step in enumerate(steps[:4]):
        killed = Run(config, f"{NAME}{number + 2}")
        for earlier in steps[: number + 1]:
            name = f"step-{earlier}"
            shutil.copytree(whole.paths.checkpoints / name, killed.paths.checkpoints / name)
        shutil.copy(whole.paths.training_log, killed.paths.training_log)
        found = finished(killed)
        assert killed.losses() == whole.losses(), step
        assert found.keys() == wanted.keys()
        for name, tensor in wanted.items():
            np.testing.assert_array_equal(found[name], tensor, err_msg=f"{name}, step {step}")


@pytest.mark.usefixtures("one_rank")
def test_each_setting_changes_what_is_learned(config: Config) -> None:
    plain = Run(config, f"{NAME}1")
    plain.train(2)
    losses = [plain.losses()]
    for number, setting in enumerate(["dropout", *TRAINING][:4]):
        if setting == "dropout":
            update = {"model": config.model.model_copy(update={"dropout": 0.3})}
        else:
            value = {setting: TRAINING[setting]}
            update = {"training": config.training.model_copy(update=value)}
        run = Run(config.model_copy(update=update), f"{NAME}{number + 2}")
        run.train(2)
        losses.append(run.losses())
    assert len({loss[-1] for loss in losses}) == 5


@pytest.mark.usefixtures("one_rank")
@pytest.mark.parametrize(("examples", "wanted"), [(0, [1, 2]), (32, [2])])
def test_an_epoch_that_was_begun_by_more_ranks_is_not_begun_again(
    examples: int, wanted: list[int], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tables have shrunk, though the first whole step of this rank is the epoch's first."""
    run = Run(config, f"{NAME}1")
    assert 0 < 32 < run.builder.examples.batch_size
    run.checkpointer.save(Progress(9, 1, examples), loss=1.0)
    run.checkpointer.wait()
    begun: list[int] = []
    monkeypatch.setattr(Schedule, "begin_epoch", lambda _, progress: begun.append(progress.epoch))
    run.train(3)
    assert begun == wanted
