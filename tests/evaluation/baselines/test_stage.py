"""The figures of a training set are measured once, for whichever version asks."""

from datetime import date
from pathlib import Path

import pytest

from longtail.artifacts import RunPaths, VersionPaths, read_json, write_json
from longtail.config import Config, GateConfig
from longtail.config.memory import MemoryConfig
from longtail.errors import LongtailError
from longtail.evaluation.baselines import measure
from longtail.evaluation.baselines.measure import measure_baselines
from longtail.evaluation.baselines.registry import TUNED
from longtail.evaluation.baselines.stage import tuned_baselines
from longtail.evaluation.evaluate import evaluate_version
from longtail.evaluation.gate import approve
from tests.evaluation.baselines.plain import DAY, small_training_set
from tests.evaluation.small_project import make_config, make_day, make_version

OFF = GateConfig(baselines="off", better_than_popularity=False)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return make_config(tmp_path)


def few(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Leave two baselines, and return a list that grows with each measurement."""
    kept = {name: TUNED[name] for name in ("item_knn", "tfidf_cosine")}
    monkeypatch.setattr("longtail.evaluation.baselines.registry.TUNED", kept)
    calls: list[int] = []

    def counted(*arguments: object, **options: object) -> object:
        calls.append(1)
        return measure_baselines(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(measure, "measure_baselines", counted)
    return calls


def test_two_versions_of_a_day_share_one_measurement(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = few(monkeypatch)
    day = make_day(config, DAY, 40)
    first, second = (make_version(config, day, seed=seed) for seed in (1, 2))
    found = [
        evaluate_version(config, version, baselines=True)["baselines"]["tuned"]
        for version in (first, second)
    ]
    assert len(calls) == 1
    assert found[0] == found[1] == tuned_baselines(config, DAY)
    assert read_json(VersionPaths(config, first).metrics)["baselines"]["tuned"] == found[0]
    assert set(found[0]) == {"item_knn", "tfidf_cosine"}


def test_figures_are_measured_anew_when_what_they_depend_on_changes(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = few(monkeypatch)
    make_day(config, DAY, 40)
    first = tuned_baselines(config, DAY)
    head = config.evaluation.model_copy(update={"head_fraction": 0.5})
    other = tuned_baselines(config.model_copy(update={"evaluation": head}), DAY)
    assert len(calls) == 2
    head_pairs = [
        one["item_knn"]["metrics"]["head"]["num_pairs"]  # type: ignore[typeddict-item]
        for one in (first, other)
    ]
    assert head_pairs[1] > head_pairs[0] > 0
    assert tuned_baselines(config, DAY) == first
    stamp = RunPaths(config, DAY).training_set / "stamp.json"
    write_json(stamp, {"fingerprint": "other data"})
    tuned_baselines(config, DAY)
    assert len(calls) == 4
    stamp.unlink()
    with pytest.raises(LongtailError, match="run `longtail dataset` first"):
        tuned_baselines(config, DAY)


def test_switched_off_they_are_not_measured(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = few(monkeypatch)
    # Without a memory, because the model alone is luckier than all baselines.
    config = config.model_copy(update={"memory": MemoryConfig(enabled=False)})
    off = config.model_copy(update={"gate": OFF})
    version = make_version(off, make_day(off, DAY, 120), seed=1)
    document = evaluate_version(off, version, baselines=True)
    assert set(document["baselines"]) == {"popularity_ranking", "random_ranking"}
    assert approve(off, DAY)["warnings"] == []
    assert not calls
    assert not RunPaths(off, DAY).baselines.exists()
    # Asked to refuse, the gate measures what the evaluation lacks.
    rules = GateConfig(baselines="warn", better_than_popularity=False)
    approve(config.model_copy(update={"gate": rules}), DAY)
    assert not calls
    rules = GateConfig(baselines="refuse", better_than_popularity=False)
    refusing = config.model_copy(update={"gate": rules})
    reasons = approve(refusing, DAY)["reasons"]
    assert len(calls) == 1
    tuned = read_json(VersionPaths(config, version).metrics)["baselines"]["tuned"]
    assert tuned == tuned_baselines(refusing, DAY)
    (reason,) = [each for each in reasons if each.startswith("as good as every baseline")]
    assert f"{document['metrics']['overall']['recall@50']:.4f}" in reason


def test_a_made_up_training_set_is_that_of_the_stage(config: Config) -> None:
    """`measure_baselines` of a loaded training set gives what the stage keeps."""
    training_set = small_training_set(config.home, 40)
    plain = measure_baselines(training_set, config, names=("item_knn",))
    assert tuned_baselines(config, date(2023, 6, 10))["item_knn"] == plain["item_knn"]
