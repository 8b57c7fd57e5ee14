"""Cells over a few dozen packages that are really trained, against a ranking by loops."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from longtail.artifacts import RunPaths
from longtail.config import Config, StudyConfig, TrainingConfig
from longtail.dataset.training_set import (
    Examples,
    TrainingSet,
    load_training_set,
    write_training_set,
)
from longtail.evaluation.held_out import fewer_queries
from longtail.study.cell_measurement import train_and_measure
from longtail.study.cells import Cell, StudyData
from longtail.training.train_in_process import train_in_process
from tests.study.tiny import AS_OF, make_project

TRAINING = TrainingConfig(batch_size=64, table_learning_rate=0.1, tower_learning_rate=0.02)
STUDY = StudyConfig(patience=2, max_validation_queries=12)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return make_project(tmp_path_factory.mktemp("home"), training=TRAINING, study=STUDY)


@pytest.fixture(scope="module")
def data(config: Config) -> StudyData:
    return StudyData.of_day(config, AS_OF)


def cell(config: Config, **changes: object) -> Cell:
    made = Cell("correlated_masking", 1.0, 3, 2, "test", {}, config, "data")
    return replace(made, **changes)  # type: ignore[arg-type]


def recall_by_loops(training_set: TrainingSet, data: StudyData, trained: Cell, k: int) -> float:
    """Return recall@k of the test part, computed pair by pair."""
    s = training_set.fraction(trained.fraction) if trained.fraction < 1 else training_set
    plan = data.plans[trained.config.correlation.measure]
    encoder = train_in_process(
        s, trained.config, num_rows=data.num_rows, plan=plan, num_epochs=trained.num_epochs
    )
    items = encoder.encode("item", s.item_rows.take(np.arange(s.item_rows.num_rows)))
    queries = encoder.encode("query", s.query_rows.take(np.arange(s.query_rows.num_rows)))
    seen = set(zip(s.train.query_row.tolist(), s.train.item_row.tolist(), strict=True))
    found = total = 0
    for query, item in zip(s.test.query_row.tolist(), s.test.item_row.tolist(), strict=True):
        if s.catalogue_row[item] < 0 or s.item_ids[item].as_py() == s.query_ids[query].as_py():
            continue
        shown = [
            other
            for other in range(len(items))
            if s.catalogue_row[other] >= 0
            and (query, other) not in seen
            and s.item_ids[other].as_py() != s.query_ids[query].as_py()
        ]
        scores = {other: float(queries[query] @ items[other]) for other in shown}
        better = sum(scores[other] > scores[item] for other in shown)
        found, total = found + (better < k), total + 1
    return found / total


@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_a_reported_cell(config: Config, data: StudyData, fraction: float) -> None:
    trained = cell(config, fraction=fraction)
    figures = train_and_measure(data, trained)
    training_set = load_training_set(data.training_set)
    expected = recall_by_loops(training_set, data, trained, 10)
    assert figures["metrics"]["overall"]["recall@10"] == pytest.approx(expected, abs=1e-12)
    assert 0.1 < expected < 0.9
    deciles = figures["deciles"]
    overall = figures["metrics"]["overall"]
    assert sum(group["num_pairs"] for group in deciles) == overall["num_pairs"]
    hits = sum(group["num_pairs"] * group["recall@50"] for group in deciles)
    assert hits == pytest.approx(overall["num_pairs"] * overall["recall@50"])
    assert "curve" not in figures
    assert figures["environment"]["torch"]
    assert figures["environment"]["num_threads"] >= 1


def test_cells_repeat_and_seeds_differ(config: Config, data: StudyData) -> None:
    first, again, other = (
        train_and_measure(data, cell(config, seed=seed))["metrics"]["overall"] for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


def with_part(config: Config, data: StudyData, folder: Path, part: str) -> StudyData:
    """Return the same data with nonsense in one part: each query with each of the first items."""
    whole = load_training_set(data.training_set)
    query, item = (grid.ravel().astype(np.int32) for grid in np.mgrid[0:30, 0:9])
    ones, stamps = np.ones(len(query), np.float32), np.zeros(len(query), np.int64)
    folder.mkdir()
    write_training_set(folder, replace(whole, **{part: Examples(query, item, ones, stamps)}))
    return replace(data, training_set=folder)


def test_a_trial_never_sees_the_test_part(config: Config, data: StudyData, tmp_path: Path) -> None:
    trial = cell(config, part="validation", num_epochs=3)
    figures = train_and_measure(data, trial)
    without = train_and_measure(with_part(config, data, tmp_path / "a", "test"), trial)
    assert without["curve"] == figures["curve"]
    assert "deciles" not in figures
    # It does see the validation part, on which it is measured.
    other = train_and_measure(with_part(config, data, tmp_path / "b", "validation"), trial)
    assert other["curve"] != figures["curve"]


def test_a_reported_cell_never_sees_the_validation_part(
    config: Config, data: StudyData, tmp_path: Path
) -> None:
    figures = train_and_measure(data, cell(config))
    without = train_and_measure(with_part(config, data, tmp_path / "a", "validation"), cell(config))
    assert without["metrics"] == figures["metrics"]


def test_a_trial_ends_when_its_figure_has_not_risen(config: Config, data: StudyData) -> None:
    trial = cell(config, part="validation", num_epochs=40)
    figures = train_and_measure(data, trial)
    epochs = [entry["epoch"] for entry in figures["curve"]]
    levels = [entry["metrics"]["overall"]["recall@50"] for entry in figures["curve"]]
    assert epochs == list(range(1, len(epochs) + 1))
    assert len(epochs) < 40
    best = levels.index(max(levels)) + 1
    assert len(epochs) == best + 2
    assert figures["metrics"] == figures["curve"][-1]["metrics"]


def test_fewer_validation_queries(config: Config) -> None:
    training_set = load_training_set(RunPaths(config, AS_OF).training_set)
    fewer = fewer_queries(training_set, 12)
    kept = set(fewer.validation.query_row.tolist())
    assert len(kept) == 12
    # All pairs of those queries are kept, and the queries are the same every time.
    everything = training_set.validation.query_row.tolist()
    assert len(fewer.validation) == sum(query in kept for query in everything)
    again = fewer_queries(training_set, 12)
    assert again.validation.query_row.tolist() == fewer.validation.query_row.tolist()
    assert fewer_queries(training_set, 10_000) is training_set
