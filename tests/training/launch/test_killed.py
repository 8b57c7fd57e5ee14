"""`kill -9` of any process of a run loses nothing: the run ends as it would have without it."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from tests.training.launch.launched import Launched, Project

NUM_STEPS = 200
FORTY_EPOCHS = {"num_epochs": 40, "checkpoint_every_steps": 25, "max_restarts": 100}
RESUMED = "resumed from the checkpoint of step"


@pytest.fixture(autouse=True)
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)


def finish(project: Project, *, num_ranks: int = 1) -> None:
    with Launched(project, num_ranks=num_ranks) as run:
        code, output = run.end()
        assert code == 0, output


def assert_same_run(left: Project, right: Project) -> None:
    np.testing.assert_allclose(left.losses(), right.losses(), rtol=0, atol=1e-6)
    tensors = safetensors.numpy.load_file(left.paths.encoder)
    for name, value in safetensors.numpy.load_file(right.paths.encoder).items():
        np.testing.assert_allclose(tensors[name], value, rtol=0, atol=1e-6, err_msg=name)
    for key in ("num_steps", "final_loss"):
        assert left.result[key] == pytest.approx(right.result[key], abs=1e-6)


@pytest.mark.slow
def test_a_killed_run_equals_one_that_was_not(tmp_path: Path) -> None:
    # Streaming logQ has a state that grows with the steps, which must come back as well.
    settings = {"training": FORTY_EPOCHS, "loss": {"logq": "streaming"}}
    whole, killed = (Project(tmp_path / name, **settings) for name in ("whole", "killed"))
    finish(whole)
    assert len(whole.losses()) == NUM_STEPS
    with Launched(killed) as run:
        run.wait_for_checkpoint()
        (rank,) = run.ranks()
        os.kill(rank, signal.SIGKILL)  # torchrun starts another one
        run.wait_for_message(RESUMED)
        run.wait_for_step(100)
        assert run.ranks() != [rank]
        run.process.kill()
    assert not killed.paths.training.exists()
    finish(killed)
    assert_same_run(whole, killed)
    log = (killed.paths.folder / "training.log").read_text()
    assert log.count(RESUMED) == 2


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("num_ranks", [1, 2])
def test_all_that_depends_on_progress_survives_kills(num_ranks: int, tmp_path: Path) -> None:
    """Dropout, both decays, mean weights and early stopping, which ends the run."""
    settings = {
        "model": {"hidden": [16], "output_dim": 8, "dropout": 0.2},
        "checkpoints": {"best_by": "longtail.evaluation.validation:map_at_50"},
        "training": {
            "num_epochs": 400,
            "checkpoint_every_steps": 7,
            "max_restarts": 100,
            "learning_rate_decay": "cosine",
            "weight_decay": 0.1,
            "table_weight_decay": 0.01,
            "average_epochs": 3,
            "average_tables": True,
            "early_stopping_epochs": 20,
        },
    }
    whole, killed = (Project(tmp_path / name, **settings) for name in ("whole", "killed"))
    finish(whole, num_ranks=num_ranks)
    result = whole.result
    steps_per_epoch = {1: 5, 2: 3}[num_ranks]
    assert result["ended"].startswith("the validation figure of epoch")
    ended_after = result["num_steps"] // steps_per_epoch
    assert ended_after == result["model_epoch"] + 20 < 400
    assert result["model_steps"][-1] == result["model_epoch"] * steps_per_epoch
    run = Launched(killed, num_ranks=num_ranks)
    try:
        for step in (12, 33, 51):
            run.wait_for_step(step)
            os.kill(run.ranks()[-1], signal.SIGKILL)
        run.wait_for_step(60)
        run.process.kill()
        run.__exit__()
        run = Launched(killed, num_ranks=num_ranks)
        code, output = run.end()
        assert code == 0, output
        assert f"training ended: {result['ended']}" in output
    finally:
        run.__exit__()
    assert_same_run(whole, killed)
    for key in ("ended", "model_steps", "model_epoch", "num_steps"):
        assert killed.result[key] == result[key]
    assert killed.result["model_score"] == pytest.approx(result["model_score"], abs=1e-9)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("num_ranks", "num_kills"), [(1, 12), (2, 10)])
def test_many_kills_at_random_steps_lose_nothing(
    num_ranks: int, num_kills: int, tmp_path: Path
) -> None:
    generator = np.random.default_rng(num_ranks)
    training = {**FORTY_EPOCHS, "num_epochs": 100 * num_ranks, "checkpoint_every_steps": 20}
    whole, killed = (Project(tmp_path / name, training=training) for name in ("whole", "killed"))
    finish(whole, num_ranks=num_ranks)
    # The kills come at random steps, in order, and none in the last 20 steps.
    num_steps = whole.result["num_steps"]
    steps = np.sort(generator.choice(np.arange(5, num_steps - 20), num_kills, replace=False))
    victims = generator.permuted(["rank", "rank", "launcher", "torchrun"] * num_kills)[:num_kills]
    run = Launched(killed, num_ranks=num_ranks)
    try:
        for step, victim in zip(steps.tolist(), victims.tolist(), strict=True):
            run.wait_for_step(step)
            if victim == "rank":
                os.kill(generator.choice(run.ranks()), signal.SIGKILL)
                continue
            os.kill(run.process.pid if victim == "launcher" else run.torchrun(), signal.SIGKILL)
            run.__exit__()
            run = Launched(killed, num_ranks=num_ranks)
        code, output = run.end()
        assert code == 0, output
    finally:
        run.__exit__()
    log = (killed.paths.folder / "training.log").read_text()
    assert log.count(RESUMED) >= num_kills * num_ranks // 2
    assert_same_run(whole, killed)
