"""Training in this process repeats bit by bit, and equals a launched run of one rank."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import yaml

from longtail.artifacts import RunPaths, VersionPaths, read_json
from longtail.augmentation.masking_plan import masking_plan
from longtail.config import Config, LossConfig, SelfSupervisionConfig, TrainingConfig, load_config
from longtail.dataset.training_set import Examples, TrainingSet, load_training_set
from longtail.encoder.torch_encoder import Encoder, load_encoder
from longtail.errors import LongtailError
from longtail.training.launch.launcher import train
from longtail.training.train_in_process import train_in_process
from tests.evaluation.small_project import make_config, make_day
from tests.uncorrelated import write_correlations

DAY = date(2023, 6, 10)
PLAN = masking_plan(["item_id", "section", "tags"], np.eye(3))


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    made = make_config(tmp_path_factory.mktemp("home")).model_copy(
        update={
            "training": TrainingConfig(
                batch_size=64, table_learning_rate=0.05, tower_learning_rate=0.025, seed=7
            ),
            "self_supervision": SelfSupervisionConfig(sample_size=20),
        }
    )
    make_day(made, DAY, 40)
    return made


def run(
    config: Config,
    num_epochs: int = 2,
    *,
    training_set: TrainingSet | None = None,
    **options: object,
) -> Encoder:
    paths = RunPaths(config, DAY)
    return train_in_process(
        training_set or load_training_set(paths.training_set),
        config,
        num_rows=read_json(paths.vocabularies / "stamp.json")["num_rows"],
        plan=PLAN,
        num_epochs=num_epochs,
        **options,
    )


def vectors(encoder: Encoder, config: Config) -> np.ndarray:
    """Return the vectors of all items, then those of all queries."""
    training_set = load_training_set(RunPaths(config, DAY).training_set)
    items = encoder.encode("item", training_set.item_rows)
    return np.concatenate([items, encoder.encode("query", training_set.query_rows)])


def tensors(encoder: Encoder) -> dict[str, torch.Tensor]:
    return {**encoder.state_dict(), **encoder._tables}


def assert_same_bits(left: Encoder, right: Encoder) -> None:
    of_left, of_right = tensors(left), tensors(right)
    assert of_left.keys() == of_right.keys()
    for name, tensor in of_left.items():
        assert torch.equal(tensor, of_right[name]), name


@pytest.mark.parametrize(
    ("augmentation", "logq"),
    [
        ("correlated_masking", "exact"),
        ("independent_masking", "streaming"),
        ("feature_dropout", "none"),
    ],
)
def test_the_same_seed_gives_the_same_bits(config: Config, augmentation: str, logq: str) -> None:
    ssl = SelfSupervisionConfig(sample_size=20, augmentation=augmentation)
    config = config.model_copy(update={"self_supervision": ssl, "loss": LossConfig(logq=logq)})
    first = run(config)
    assert_same_bits(first, run(config))
    training = config.training.model_copy(update={"seed": 8})
    other = run(config.model_copy(update={"training": training}))
    assert not np.allclose(vectors(first, config), vectors(other, config), atol=1e-3)


REGULARIZED = {
    "learning_rate_decay": "linear",
    "weight_decay": 0.2,
    "table_weight_decay": 0.1,
    "average_epochs": 2,
}


@pytest.mark.parametrize(
    ("training", "dropout"),
    [({}, 0.0), pytest.param(REGULARIZED, 0.3, marks=pytest.mark.slow)],  # a launch of 10 s each
)
def test_it_is_what_a_launched_run_of_one_rank_trains(
    training: dict[str, object], dropout: float, tmp_path: Path
) -> None:
    file = tmp_path / "longtail.yaml"
    own = {"batch_size": 32, "num_epochs": 2, "threads_per_rank": 1, "seed": 5}
    settings = {
        "feature_repo": ".",
        "model": {"hidden": [16], "output_dim": 8, "dropout": dropout},
        "training": {**own, **training},
    }
    file.write_text(yaml.safe_dump(settings))
    launched = load_config(file)
    make_day(launched, DAY, 40)
    correlations = RunPaths(launched, DAY).correlations
    features = ["item_id", "section", "tags"]
    write_correlations(correlations, features)
    version = train(file, DAY, num_ranks=1)["version"]
    paths = VersionPaths(launched, version)
    assert_same_bits(load_encoder(paths.folder), run(launched))
    result = read_json(paths.training)
    steps = [result["num_steps"] // 2, result["num_steps"]] if training else [result["num_steps"]]
    assert result["model_steps"] == steps
    assert (result["model_epoch"], result["model_score"]) == (2, None)
    assert result["ended"] == "all 2 epochs are done"


def test_after_epoch_sees_the_encoder_of_that_epoch(config: Config) -> None:
    seen: list[tuple[int, np.ndarray]] = []
    last = run(config, 3, after_epoch=lambda epoch, now: seen.append((epoch, vectors(now, config))))
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    for epoch, found in seen:
        np.testing.assert_array_equal(found, vectors(run(config, epoch), config))
    np.testing.assert_array_equal(seen[-1][1], vectors(last, config))
    assert not np.allclose(seen[0][1], seen[1][1], atol=1e-3)


def test_it_trains_on_what_it_is_given(config: Config) -> None:
    whole = load_training_set(RunPaths(config, DAY).training_set)
    half = whole.fraction(0.5)
    kept = np.isin(
        whole.train.query_row.astype(np.int64) * 1000 + whole.train.item_row,
        half.train.query_row.astype(np.int64) * 1000 + half.train.item_row,
    )
    assert 0.45 < kept.mean() < 0.55
    by_hand = replace(
        whole,
        train=Examples(*(column[kept] for column in vars(whole.train).values())),
        train_count=np.bincount(whole.train.item_row[kept], minlength=40),
    )
    encoder = run(config, training_set=half)
    assert_same_bits(encoder, run(config, training_set=by_hand))
    assert not np.allclose(vectors(encoder, config), vectors(run(config), config), atol=1e-3)


def test_a_loss_that_is_not_finite_names_the_cure(config: Config) -> None:
    training = config.training.model_copy(update={"tower_learning_rate": 1e30})
    broken = config.model_copy(update={"training": training})
    called: list[int] = []
    with pytest.raises(LongtailError, match=r"loss of epoch 1 .* lower the learning rates"):
        run(broken, after_epoch=lambda epoch, _: called.append(epoch))
    assert called == []
    assert not dist.is_initialized()  # and the next training of this process works
    assert np.isfinite(vectors(run(config, 1), config)).all()


@pytest.mark.parametrize("deterministic", [True, False])
def test_the_process_is_left_as_it_was(config: Config, deterministic: bool) -> None:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(deterministic)
    try:
        encoder = run(config, 1)
        assert torch.are_deterministic_algorithms_enabled() == deterministic
    finally:
        torch.use_deterministic_algorithms(before)
    assert not dist.is_initialized()
    assert not encoder.training


@pytest.mark.parametrize("tables", [True, False])
def test_after_epoch_sees_mean_weights(tables: bool, config: Config) -> None:
    """The mean of the last two epochs, here by the encoders of a run without a mean."""
    settings = {"average_epochs": 2, "average_tables": tables}
    training = config.training.model_copy(update=settings)
    averaging = config.model_copy(update={"training": training})
    plain: list[dict[str, torch.Tensor]] = []

    def keep(into: list[dict[str, torch.Tensor]], encoder: Encoder) -> None:
        into.append({name: tensor.clone() for name, tensor in tensors(encoder).items()})

    found: list[dict[str, torch.Tensor]] = []
    run(config, 3, after_epoch=lambda _, encoder: keep(plain, encoder))
    last = run(averaging, 3, after_epoch=lambda _, encoder: keep(found, encoder))
    for name, first in plain[0].items():
        assert torch.equal(found[0][name], first)
        for epoch in (1, 2):
            mean = (plain[epoch - 1][name] + plain[epoch][name]) / 2
            if name in ("package", "section", "item_tags") and not tables:
                mean = plain[epoch][name]
            torch.testing.assert_close(found[epoch][name], mean, rtol=1e-6, atol=1e-8)
        assert torch.equal(tensors(last)[name], found[2][name])
