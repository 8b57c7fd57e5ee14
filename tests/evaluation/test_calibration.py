"""Learned and calibrated biases in an evaluation, against plain loops over its pairs."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from longtail.artifacts import RunPaths, VersionPaths, published_pointer, read_json, write_json
from longtail.cli.tables import result_tables
from longtail.config import CalibrationConfig, Config, EvaluationConfig, GateConfig
from longtail.dataset.training_set import load_training_set
from longtail.encoder.torch_encoder import load_encoder
from longtail.evaluation.calibration import BETAS, best_beta
from longtail.evaluation.evaluate import evaluate_version
from longtail.evaluation.held_out import HeldOut, held_out_pairs
from longtail.evaluation.objective import objective
from tests.evaluation.small_project import make_config, make_day, make_version

FIRST, SECOND = date(2023, 6, 10), date(2025, 8, 9)


def settings(folder: Path, item_bias: str, popularity: Any = "off") -> Config:
    config = make_config(folder)
    return config.model_copy(
        update={
            "model": config.model.model_copy(update={"item_bias": item_bias}),
            "calibration": CalibrationConfig(popularity=popularity),
            "gate": GateConfig(baselines="off"),
        }
    )


def looped_ranks(
    config: Config, version: str, part: Any, beta: float
) -> tuple[np.ndarray, HeldOut, np.ndarray]:
    """Rank each pair by cosine / tau + b + beta * log(count + 1/2), item by item."""
    training_set = load_training_set(RunPaths(config, FIRST).training_set)
    questions = held_out_pairs(training_set, part)
    encoder = load_encoder(VersionPaths(config, version).folder)
    items = encoder.encode_scored(
        "item", training_set.item_rows.take(training_set.catalogue_row[questions.candidate])
    )
    queries = encoder.encode("query", training_set.query_rows.take(questions.query_row))
    count = training_set.train_count[questions.candidate]
    tau, dim = config.loss.temperature, encoder.output_dim
    ranks = []
    for query, item in zip(questions.pair_query, questions.pair_item, strict=True):
        hidden = questions.excluded_item[
            questions.excluded_offsets[query] : questions.excluded_offsets[query + 1]
        ]
        scores = []
        for candidate in range(questions.num_candidates):
            cosine = float(queries[query].astype(float) @ items[candidate, :dim].astype(float))
            learned = float(items[candidate, dim]) / tau if items.shape[1] > dim else 0.0
            score = cosine / tau + learned + beta * float(np.log(count[candidate] + 0.5))
            scores.append(-np.inf if candidate in hidden else score)
        ranks.append(1 + sum(score > scores[item] for score in scores))
    return np.array(ranks), questions, count


@pytest.mark.parametrize("item_bias", ["none", "learned"])
def test_the_curve_is_that_of_loops_over_the_validation_part(
    tmp_path: Path, item_bias: str
) -> None:
    config = settings(tmp_path, item_bias, 0.3)
    day = make_day(config, FIRST, 70)
    version = make_version(config, day, seed=1)
    document = evaluate_version(config, version)
    found = document["calibration"]
    assert found["beta"] == 0.3
    assert [point["beta"] for point in found["curve"]] == sorted([*BETAS, 0.3])
    for beta in (-0.5, 0.0, 0.3, 1.0):
        ranks, questions, count = looped_ranks(config, version, "validation", beta)
        (point,) = [each for each in found["curve"] if each["beta"] == beta]
        metrics = point["metrics"]
        assert metrics["overall"]["num_pairs"] == len(ranks)
        assert metrics["overall"]["recall@10"] == pytest.approx(float((ranks <= 10).mean()))
        cold = count[questions.pair_item] == 0
        assert metrics["cold"]["num_pairs"] == cold.sum()
        expected = objective(
            ranks, questions, count, config.evaluation.objective, head_fraction=0.1
        )
        assert point["objective"] == pytest.approx(expected)
    # The scores of the test part have the version's own beta.
    ranks, _, _ = looped_ranks(config, version, "test", 0.3)
    assert document["metrics"]["overall"]["recall@10"] == pytest.approx(float((ranks <= 10).mean()))
    # More weight of popularity finds more of the head.
    first, last = found["curve"][0]["metrics"], found["curve"][-1]["metrics"]
    assert last["head"]["recall@10"] > first["head"]["recall@10"]
    assert (VersionPaths(config, version).folder / "calibration.png").stat().st_size > 1_000
    # Health is that of the unit vectors.
    assert document["health"]["dim"] == config.model.output_dim


def test_fitted_takes_the_best_of_the_validation_part_and_off_nothing(tmp_path: Path) -> None:
    off = settings(tmp_path, "none")
    version = make_version(off, make_day(off, FIRST, 70), seed=1)
    plain = evaluate_version(off, version)
    assert plain["calibration"]["beta"] == 0.0
    wanted = EvaluationConfig(objective={"head map@50": 1.0})
    fitted = settings(tmp_path, "none", "fitted").model_copy(update={"evaluation": wanted})
    document = evaluate_version(fitted, version)
    calibration = document["calibration"]
    pairs = zip(calibration["curve"], plain["calibration"]["curve"], strict=True)
    assert all(own["metrics"] == other["metrics"] for own, other in pairs)
    most = max(point["objective"] for point in calibration["curve"])
    (own,) = [point for point in calibration["curve"] if point["beta"] == calibration["beta"]]
    assert own["objective"] == most
    assert calibration["beta"] == 1.0
    assert document["metrics"] != plain["metrics"]
    stored = read_json(VersionPaths(fitted, version).metrics)
    assert stored["calibration"] == calibration


def test_of_equal_betas_the_one_nearest_to_zero_is_taken() -> None:
    def curve(*points: tuple[float, float]) -> Any:
        return [{"beta": beta, "objective": value, "metrics": {}} for beta, value in points]

    assert best_beta(curve((-0.5, 0.2), (0.0, 0.2), (0.5, 0.2))) == 0.0
    assert best_beta(curve((-0.5, 0.2), (0.0, 0.1), (0.25, 0.2), (1.0, 0.1))) == 0.25


def test_the_served_version_is_measured_with_its_own_calibration(tmp_path: Path) -> None:
    config = settings(tmp_path, "learned", 0.5)
    served = make_version(config, make_day(config, FIRST, 70), seed=1)
    evaluate_version(config, served)
    paths = VersionPaths(config, served)
    ids = pq.read_table(RunPaths(config, FIRST).catalogue / "items.parquet", columns=["item_id"])
    pq.write_table(ids, paths.embeddings)
    write_json(paths.manifest, {"version": served, "score": "cosine_plus_bias", "beta": 0.5})
    write_json(published_pointer(config), {"version": served})
    # The next day has the same data, and its version the same weights: so the figures are equal.
    day = make_day(config, SECOND, 70)
    version = make_version(config, day, seed=1)
    against: Any = evaluate_version(config, version)["against_served"]
    assert against["version"] == served
    assert against["metrics"] == against["served_metrics"]
    off = settings(tmp_path, "learned", 0.0)
    against = evaluate_version(off, version)["against_served"]
    assert against["metrics"] != against["served_metrics"]


def test_the_table_shows_the_curve_and_marks_the_versions_own_beta(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    config = settings(tmp_path, "none", 0.25)
    version = make_version(config, make_day(config, FIRST, 70), seed=1)
    document = evaluate_version(config, version)
    Console(width=100).print(result_tables.metrics(document))
    text = capsys.readouterr().out
    assert "Weight of popularity" in text
    (point,) = [each for each in document["calibration"]["curve"] if each["beta"] == 0.25]
    assert f"{point['metrics']['overall']['recall@50']:.4f}" in text
    assert f"{point['objective']:.4f}" in text
