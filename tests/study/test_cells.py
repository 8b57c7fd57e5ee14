"""The identity of a cell: settings that change it, and settings that must not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from longtail.artifacts import RunPaths, read_json, write_json
from longtail.config import Config, TrainingConfig
from longtail.config.changes import with_settings
from longtail.errors import LongtailError
from longtail.study.cells import Cell, CellStore, StudyData
from tests.study.tiny import AS_OF, make_project
from tests.uncorrelated import write_correlations

CONFIG = Config(feature_repo="/repo")
CELL = Cell("baseline", 0.1, 1, 5, "test", {"loss.temperature": 0.1}, CONFIG, "data")


def test_the_name_can_be_read() -> None:
    assert CELL.name.startswith("baseline-0.1-seed1-5epochs-")
    again = Cell("baseline", 0.1, 1, 5, "test", {"loss.temperature": 0.1}, CONFIG, "data")
    assert again.name == CELL.name


@pytest.mark.parametrize(
    "change",
    [
        {"variant": "spread_out"},
        {"fraction": 0.2},
        {"seed": 2},
        {"num_epochs": 6},
        {"part": "validation"},
        {"settings": {"loss.temperature": 0.2}},
        {"data": "other data"},
        {"base": with_settings(CONFIG, {"model.output_dim": 32})},
        {"base": with_settings(CONFIG, {"training.batch_size": 2048})},
        {"base": with_settings(CONFIG, {"evaluation.head_fraction": 0.2})},
    ],
)
def test_what_changes_the_figures_changes_the_name(change: dict[str, Any]) -> None:
    assert replace(CELL, **change).name != CELL.name


@pytest.mark.parametrize(
    "settings",
    [
        {"training.num_epochs": 99},
        {"training.num_ranks": 2},
        {"training.keep_checkpoints": 7},
        {"gate.min_recall_ratio": 0.5},
        {"study.weights": (1.0, 2.0)},
        {"study.patience": 9},
    ],
)
def test_what_a_cell_never_reads_does_not(settings: dict[str, Any]) -> None:
    assert replace(CELL, base=with_settings(CONFIG, settings)).name == CELL.name


def test_a_setting_that_came_later_is_in_the_identity_only_if_it_differs() -> None:
    """Otherwise the cells behind published tables would not be found any more."""
    before = {"loss.accidental_hits": "known_positives", "loss.unborn_negatives": False}
    cell = replace(CELL, base=with_settings(CONFIG, before))
    assert not {"accidental_hits", "unborn_negatives"} & set(cell.identity["loss"])
    now = replace(CELL, base=with_settings(CONFIG, {**before, "loss.unborn_negatives": True}))
    assert now.identity["loss"]["unborn_negatives"] is True
    assert now.name != cell.name


def test_a_history_is_in_the_identity_only_where_there_is_one() -> None:
    without = replace(CELL, base=with_settings(CONFIG, {"history.drop_history": 0.1}))
    assert without.name == CELL.name
    assert "history" not in CELL.identity
    with_one = replace(CELL, base=with_settings(CONFIG, {"history.length": 5}))
    assert with_one.identity["history"]["length"] == 5
    dropped = {"history.length": 5, "history.drop_history": 0.1}
    assert (
        len({with_one.name, CELL.name, replace(CELL, base=with_settings(CONFIG, dropped)).name})
        == 3
    )


def test_a_trial_depends_on_how_it_is_watched() -> None:
    trial = replace(CELL, part="validation")
    for settings in ({"study.patience": 9}, {"study.metric": "map@10"}):
        assert replace(trial, base=with_settings(CONFIG, settings)).name != trial.name


def test_settings_come_after_the_variant_and_the_seed_is_the_cells() -> None:
    cell = replace(CELL, base=Config(feature_repo="/repo", training=TrainingConfig(seed=77)))
    assert cell.config.self_supervision.augmentation == "none"
    assert cell.config.loss.temperature == 0.1
    assert cell.config.training.seed == 1


def test_data_made_again_with_the_same_content_are_the_same(tmp_path: Path) -> None:
    config = make_project(tmp_path)
    run = RunPaths(config, AS_OF)
    first = StudyData.of_day(config, AS_OF)
    write_json(run.training_set / "stamp.json", {"fingerprint": "made by other code"})
    assert StudyData.of_day(config, AS_OF).fingerprints == first.fingerprints
    content = (run.training_set / "train.arrow").read_bytes()
    (run.training_set / "train.arrow").write_bytes(content + b"\0")
    assert StudyData.of_day(config, AS_OF).fingerprints != first.fingerprints
    (run.training_set / "train.arrow").write_bytes(content)
    write_correlations(run.correlations, ["section"], {"section": ["section"]})
    assert StudyData.of_day(config, AS_OF).fingerprints != first.fingerprints
    (run.correlations / "stamp.json").unlink()
    with pytest.raises(LongtailError, match="run `longtail mine` first"):
        StudyData.of_day(config, AS_OF)


def test_each_measure_has_its_plan(tmp_path: Path) -> None:
    config = make_project(tmp_path)
    alone = StudyData.of_day(config, AS_OF)
    assert list(alone.plans) == ["normalized"]
    with pytest.raises(LongtailError, match="run `longtail mine` first"):
        StudyData.of_day(config, AS_OF, ["adjusted"])
    folder = RunPaths(config, AS_OF).correlations_by("adjusted")
    folder.mkdir()
    write_correlations(folder, ["section"], {"section": ["section"]})
    both = StudyData.of_day(config, AS_OF, ["adjusted"])
    assert both.plans["adjusted"].masks == {"section": ["section"]}
    assert both.plans["normalized"] == alone.plans["normalized"]
    # Cells with the configured measure stay valid when another one is mined.
    assert both.fingerprints["normalized"] == alone.fingerprints["normalized"]
    assert both.fingerprints["adjusted"] != both.fingerprints["normalized"]


def test_figures_are_kept_with_what_they_are_figures_of(tmp_path: Path) -> None:
    store = CellStore(tmp_path)
    assert store.read(CELL) is None
    store.write(CELL, {"metrics": {"overall": {"recall@50": 0.5}}})
    document = store.read(CELL)
    assert document is not None
    assert document["metrics"]["overall"]["recall@50"] == 0.5
    assert document["identity"]["loss"]["temperature"] == 0.1
    assert [file.name for file in (tmp_path / "cells").iterdir()] == [f"{CELL.name}.json"]
    trial = replace(CELL, part="validation")
    store.write(trial, {})
    assert read_json(tmp_path / "trials" / f"{trial.name}.json")["part"] == "validation"
