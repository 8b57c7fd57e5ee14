"""Settings that cannot work are refused before a rank starts, with what to do."""

from pathlib import Path
from typing import Any

import pytest

from longtail.artifacts import RunPaths, read_json, write_json
from longtail.config import CheckpointsConfig, Config, ShardingConfig
from longtail.errors import InputError
from longtail.training.launch.setting_checks import check_settings
from tests.training.launch.launched import DAY
from tests.training.small_run import make_run_config


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return make_run_config(tmp_path / "home")


def with_training(config: Config, **settings: Any) -> Config:
    return config.model_copy(update={"training": config.training.model_copy(update=settings)})


def test_early_stopping_needs_validation_pairs(config: Config) -> None:
    run = RunPaths(config, DAY)
    stopping = with_training(config, early_stopping_epochs=2)
    check_settings(stopping, run)
    stamp = run.training_set / "stamp.json"
    write_json(stamp, {**read_json(stamp), "num_validation": 0})
    with pytest.raises(InputError, match=r"is empty: raise `dataset\.validation_fraction`"):
        check_settings(stopping, run)
    check_settings(config, run)


def test_the_training_loss_does_not_stop_training(config: Config) -> None:
    stopping = with_training(config, early_stopping_epochs=2)
    by_loss = CheckpointsConfig(best_by="training_loss")
    with pytest.raises(InputError, match="needs a validation figure"):
        check_settings(stopping.model_copy(update={"checkpoints": by_loss}), RunPaths(config, DAY))


@pytest.mark.parametrize("place", ["default", "package"])
def test_cached_tables_have_no_weight_decay(place: str, config: Config) -> None:
    cached = {"compute_kernels": ["fused_uvm_caching"]}
    settings = {"default": cached} if place == "default" else {"tables": {place: cached}}
    sharding = ShardingConfig.model_validate(settings)
    decaying = with_training(config, table_weight_decay=0.1)
    check_settings(decaying, RunPaths(config, DAY))
    with pytest.raises(InputError, match=f"lets table {place} be cached"):
        check_settings(decaying.model_copy(update={"sharding": sharding}), RunPaths(config, DAY))
    check_settings(config.model_copy(update={"sharding": sharding}), RunPaths(config, DAY))
