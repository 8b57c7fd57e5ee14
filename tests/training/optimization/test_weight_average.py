"""The mean weights of several epochs: as they are scored, published, kept and resumed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from longtail.artifacts import RunPaths, VersionPaths, read_json
from longtail.config import CheckpointsConfig, Config
from longtail.dataset.training_set import TrainingSet
from longtail.encoder.torch_encoder import Encoder, load_encoder
from longtail.training.checkpoint import Checkpointer
from longtail.training.checkpoint_files import PROGRESS, checkpoints, read_tensors, stored_tensors
from longtail.training.checkpoint_selection import chosen_checkpoints
from longtail.training.encoder_bundle import read_encoder, write_encoder
from longtail.training.optimization.weight_average import average
from longtail.training.run_progress import Progress
from tests.training.small_run import DAY, Run

NAME = "20230610-0000000"


def averaging(config: Config, num_epochs: int, *, tables: bool = True, **sections: Any) -> Config:
    settings = {
        "average_epochs": num_epochs,
        "average_tables": tables,
        "checkpoint_every_steps": 2,
    }
    training = config.training.model_copy(update=settings)
    return config.model_copy(update={"training": training, **sections})


def test_the_mean_is_that_of_numpy() -> None:
    generator = np.random.default_rng(1)
    values = generator.normal(size=(3, 4, 2)).astype(np.float32)
    states = [{"a": torch.from_numpy(v), "b": torch.from_numpy(v).half()} for v in values]
    found = average(iter(states))
    np.testing.assert_allclose(found["a"], values.mean(axis=0), rtol=1e-6)
    halves = values.astype(np.float16).astype(np.float32)
    np.testing.assert_allclose(found["b"], halves.mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(states[0]["a"], values[0])  # left as it was


def model_tensors(checkpoint: Path) -> dict[str, np.ndarray]:
    names = [name for name in stored_tensors(checkpoint) if name.startswith("model.")]
    return {
        name.removeprefix("model."): tensor.double().numpy()
        for name, tensor in read_tensors(checkpoint, names).items()
    }


@pytest.mark.usefixtures("one_rank")
@pytest.mark.parametrize("tables", [True, False])
def test_the_bundle_has_the_mean_of_the_last_epochs(tables: bool, config: Config) -> None:
    plain = Run(config, f"{NAME}1")
    averaged = Run(averaging(config, 3, tables=tables), f"{NAME}2")
    plain.train(4)
    averaged.train(4)
    assert averaged.losses() == plain.losses()  # training itself is as it was
    ends = [number * plain.builder.steps_per_epoch for number in (2, 3, 4)]
    chosen = chosen_checkpoints(averaged.paths, averaged.config)
    assert [folder.name for folder in chosen] == [f"step-{step}" for step in ends]
    write_encoder(averaged.paths, averaged.config, *chosen)
    encoder = load_encoder(averaged.paths.folder)
    states = [model_tensors(folder) for folder in chosen]
    found = {**encoder.state_dict()}
    for table, weights in encoder._tables.items():
        found[f"embedding_bags.embedding_bags.{table}.weight"] = weights
    assert found.keys() == states[0].keys()
    for name, tensor in found.items():
        if name.startswith("embedding_bags.") and not tables:
            np.testing.assert_array_equal(tensor.numpy(), states[-1][name])
            continue
        wanted = np.mean([state[name] for state in states], axis=0)
        np.testing.assert_allclose(tensor.numpy(), wanted, rtol=1e-5, atol=1e-7)
        if not name.endswith("_tower.default"):  # nearly every feature has a value
            assert not np.allclose(tensor.numpy(), states[-1][name], atol=1e-6)


def sum_of_vectors(encoder: Encoder, training_set: TrainingSet, config: Config) -> float:
    return float(encoder.encode("item", training_set.item_rows).sum())


@pytest.mark.usefixtures("one_rank")
def test_only_epoch_ends_are_scored_and_by_their_means(config: Config) -> None:
    best_by = CheckpointsConfig(best_by=f"{__name__}:sum_of_vectors")
    config = averaging(config, 2, checkpoints=best_by)
    run = Run(config, f"{NAME}1")
    run.train(3)
    per_epoch = run.builder.steps_per_epoch
    folders = {
        step: run.paths.checkpoints / f"step-{step}" for step in checkpoints(run.paths.checkpoints)
    }
    assert any(step % per_epoch for step in folders)
    scores = {}
    for step, folder in folders.items():
        written = read_json(folder / PROGRESS)["score"]
        if step % per_epoch:
            assert written is None
            continue
        made_of = [folders[s] for s in (step - per_epoch, step) if s > 0]
        encoder = read_encoder(run.training_set.schema, config, *made_of)
        scores[step] = sum_of_vectors(encoder, run.training_set, config)
        assert written == scores[step]
    assert len(set(scores.values())) == 3
    best = max(scores, key=lambda step: scores[step])
    wanted = [f"step-{step}" for step in (best - per_epoch, best) if step > 0]
    assert [folder.name for folder in chosen_checkpoints(run.paths, config)] == wanted


@pytest.mark.usefixtures("one_rank")
def test_what_the_best_and_the_newest_model_are_made_of_is_kept(config: Config) -> None:
    scores = iter([1.0, 2.0, 9.0, 4.0, 5.0, 6.0, 7.0])
    run = Run(config, f"{NAME}1")
    asked: list[list[str]] = []

    def score(folders: Any, loss: float) -> float:
        asked.append([folder.name for folder in folders])
        return next(scores)

    checkpointer = Checkpointer(
        run.paths.checkpoints,
        run.model,
        run.optimizer,
        keep=1,
        score=score,
        average_epochs=3,
        only_epoch_ends=True,
    )
    kept = []
    for step in range(1, 15):  # two steps an epoch
        checkpointer.save(Progress(step, step // 2, 64 * (step % 2)), loss=1.0)
        checkpointer.wait()
        kept.append(checkpoints(run.paths.checkpoints))
    assert asked[0] == [".step-2.tmp"]
    assert asked[3] == ["step-4", "step-6", ".step-8.tmp"]
    # The best one is that of step 6, the third epoch.
    assert kept[5] == [2, 4, 6]
    assert kept[6] == [2, 4, 6, 7]
    assert kept[9] == [2, 4, 6, 8, 10]
    assert kept[13] == [2, 4, 6, 10, 12, 14]
    assert checkpointer.best() == Progress(6, 3, 0)


@pytest.mark.usefixtures("one_rank")
def test_reading_an_encoder_draws_no_random_number(config: Config) -> None:
    """Checkpoints are scored beside training, where dropout draws its numbers."""
    run = Run(config, f"{NAME}1")
    run.train(1)
    before = torch.get_rng_state()
    folder = chosen_checkpoints(run.paths, config)
    encoder = read_encoder(run.training_set.schema, config, *folder)
    write_encoder(run.paths, run.config, *folder)
    load_encoder(VersionPaths(config, f"{NAME}1").folder)
    assert torch.equal(torch.get_rng_state(), before)
    assert not encoder.training
    assert RunPaths(config, DAY).training_set.is_dir()
