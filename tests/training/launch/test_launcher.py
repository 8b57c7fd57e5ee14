"""The launcher with real torchrun processes."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
import yaml

from longtail.artifacts import RunPaths, VersionPaths, read_json
from longtail.config import Config, load_config
from longtail.dataset.training_set import load_training_set
from longtail.encoder.torch_encoder import load_encoder
from longtail.errors import InputError, LongtailError
from longtail.training.launch.launcher import train
from longtail.training.launch.version_name import version_name
from tests.evaluation.small_project import make_day
from tests.uncorrelated import write_correlations

DAY = date(2023, 6, 10)


def write_config(folder: Path, **training: object) -> Path:
    file = folder / "longtail.yaml"
    settings = {
        "feature_repo": ".",
        "model": {"hidden": [16], "output_dim": 8},
        "training": {"batch_size": 32, "num_epochs": 2, "threads_per_rank": 1, **training},
    }
    file.write_text(yaml.safe_dump(settings))
    return file


def prepare(config: Config) -> None:
    make_day(config, DAY, 40)
    run = RunPaths(config, DAY)
    names = ["item_id", "section", "tags"]
    write_correlations(run.correlations, names)


@pytest.fixture(autouse=True)
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)


def test_two_ranks_train_a_whole_version(tmp_path: Path) -> None:
    file = write_config(tmp_path)
    config = load_config(file)
    prepare(config)
    progress: list[dict[str, object]] = []
    result = train(file, DAY, num_ranks=2, on_progress=progress.append)
    training_set = load_training_set(RunPaths(config, DAY).training_set)
    steps = -(-len(training_set.train) // 64)
    assert result["num_ranks"] == 2
    assert result["num_steps"] == 2 * steps == progress[-1]["step"]
    assert result["version"] == version_name(config, DAY)
    assert read_json(RunPaths(config, DAY).model) == result
    encoder = load_encoder(VersionPaths(config, result["version"]).folder)
    vectors = encoder.encode("item", training_set.item_rows)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)

    # The same inputs are not trained again, even at another number of ranks.
    assert train(file, DAY, num_ranks=1) == result


def test_a_failed_run_says_why_and_where_its_log_is(tmp_path: Path) -> None:
    file = write_config(tmp_path, tower_learning_rate=1e30, max_restarts=0)
    config = load_config(file)
    prepare(config)
    with pytest.raises(LongtailError, match=r"the loss of step \d+ is not finite") as caught:
        train(file, DAY)
    assert "training.log" in str(caught.value)
    assert "There is no checkpoint yet" in str(caught.value)
    assert not RunPaths(config, DAY).model.exists()


def test_correlated_masking_without_features_to_mask_is_refused(tmp_path: Path) -> None:
    file = write_config(tmp_path)
    config = load_config(file)
    prepare(config)
    write_correlations(RunPaths(config, DAY).correlations, ["item_id", "section", "tags"], {})
    with pytest.raises(InputError, match="needs two item features"):
        train(file, DAY)
    assert not VersionPaths(config, version_name(config, DAY)).folder.exists()


def test_a_metric_that_does_not_exist_is_wrong_configuration(tmp_path: Path) -> None:
    file = write_config(tmp_path)
    settings = yaml.safe_load(file.read_text())
    settings["checkpoints"] = {"best_by": "longtail.evaluation.validatoin:recall_at_50"}
    file.write_text(yaml.safe_dump(settings))
    prepare(load_config(file))
    with pytest.raises(InputError, match=r"checkpoints\.best_by"):
        train(file, DAY)
