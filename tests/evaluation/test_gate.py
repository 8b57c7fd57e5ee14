"""The rules of the release gate, on figures that are written by hand."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from longtail.artifacts import RunPaths, VersionPaths, published_pointer, read_json, write_json
from longtail.config import Config, GateConfig
from longtail.embeddings.export import export_catalogue
from longtail.embeddings.index import build_index
from longtail.errors import GateRefusedError, LongtailError
from longtail.evaluation.gate import approve

DAY = date(2025, 8, 9)
NEW, OLD = "20250809-00000002", "20230610-00000001"


def recall(overall: float, tail: float, num_pairs: int = 100) -> dict[str, dict[str, float]]:
    return {
        "overall": {"recall@50": overall, "num_pairs": num_pairs},
        "tail": {"recall@50": tail, "num_pairs": num_pairs},
    }


def prepare(
    config: Config,
    *,
    overall: float = 0.7,
    popularity: float = 0.4,
    on_common: tuple[float, float] | None = None,
    served: tuple[float, float] = (0.7, 0.2),
    version: str = NEW,
    num_pairs: int = 100,
) -> None:
    """Write the files of training and evaluation; with `on_common` there is a served version."""
    against: dict[str, Any] | None = None
    if on_common is not None:
        write_json(published_pointer(config), {"version": OLD, "as_of": "2023-06-10"})
        against = {
            "version": OLD,
            "num_common_items": 60_000,
            "metrics": recall(*on_common),
            "served_metrics": recall(*served),
        }
    write_json(RunPaths(config, DAY).model, {"version": version})
    write_json(
        VersionPaths(config, version).metrics,
        {
            "version": version,
            "metrics": recall(overall, 0.2, num_pairs),
            "baselines": {"popularity_ranking": recall(popularity, 0.0)},
            "against_served": against,
        },
    )


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(feature_repo=tmp_path, home=tmp_path)


def test_the_first_version_has_to_beat_the_popularity_ranking(config: Config) -> None:
    prepare(config)
    approved = approve(config, DAY)
    assert approved["version"] == NEW
    assert approved["as_of"] == "2025-08-09"
    assert approved["served"] is None
    assert any("0.7000" in reason and "0.4000" in reason for reason in approved["reasons"])
    assert read_json(RunPaths(config, DAY).approved) == approved


@pytest.mark.parametrize(
    ("figures", "named"),
    [
        ({"overall": 0.3}, ["better than the popularity ranking", "0.3000", "0.4000"]),
        ({"overall": 0.4}, ["better than the popularity ranking"]),
        ({"overall": float("nan")}, ["better than the popularity ranking", "nan"]),
        ({"num_pairs": 0}, ["held-out pairs", "dataset.test_fraction"]),
        ({"on_common": (0.66, 0.2)}, ["overall as good as", "0.6600", "0.7000", "0.95", OLD]),
        ({"on_common": (0.7, 0.18)}, ["tail as good as", "0.1800", "0.2000"]),
        (
            {"overall": 0.1, "on_common": (0.1, 0.1)},
            ["better than the popularity", "overall as good as", "tail as good as"],
        ),
    ],
)
def test_a_refusal_names_every_failed_rule_and_publishes_nothing(
    config: Config, figures: dict[str, Any], named: list[str]
) -> None:
    prepare(config, **figures)
    pointer = published_pointer(config)
    before = pointer.read_bytes() if pointer.is_file() else None
    with pytest.raises(GateRefusedError) as refusal:
        approve(config, DAY)
    assert refusal.value.exit_code == 3
    for words in [*named, NEW]:
        assert words in str(refusal.value)
    asked_of_tail = any("tail as good" in words for words in named)
    assert ("tail as good" in str(refusal.value)) == asked_of_tail
    assert not RunPaths(config, DAY).approved.exists()
    for stage in (export_catalogue, build_index):  # the stages after the gate refuse to start
        with pytest.raises(LongtailError, match="no version of 2025-08-09 is approved"):
            stage(config, DAY)
    assert not VersionPaths(config, NEW).embeddings.exists()
    assert not VersionPaths(config, NEW).manifest.exists()
    assert (pointer.read_bytes() if pointer.is_file() else None) == before


def test_a_little_worse_than_the_served_version_is_good_enough(config: Config) -> None:
    prepare(config, on_common=(0.666, 0.191))  # 0.95 of 0.7 and 0.2 are 0.665 and 0.19
    assert approve(config, DAY)["served"] == OLD


def test_a_refusal_withdraws_an_earlier_approval_of_the_day(config: Config) -> None:
    prepare(config, version="20250809-0000000a")
    approve(config, DAY)
    prepare(config, overall=0.2)
    with pytest.raises(GateRefusedError):
        approve(config, DAY)
    assert not RunPaths(config, DAY).approved.exists()


def test_an_evaluation_that_is_missing_withdraws_nothing_but_approves_nothing(
    config: Config,
) -> None:
    write_json(RunPaths(config, DAY).model, {"version": NEW})
    with pytest.raises(LongtailError, match=r"metrics\.json does not exist"):
        approve(config, DAY)
    assert not RunPaths(config, DAY).approved.exists()


def test_an_approval_is_kept_until_metrics_or_rules_change(config: Config) -> None:
    prepare(config)
    approve(config, DAY)
    approved = RunPaths(config, DAY).approved
    written = approved.stat().st_mtime_ns
    approve(config, DAY)
    # Once the version is served itself, it has no version to beat.
    write_json(published_pointer(config), {"version": NEW, "as_of": "2025-08-09"})
    approve(config, DAY)
    assert approved.stat().st_mtime_ns == written
    prepare(config, overall=0.8)
    approve(config, DAY)
    assert approved.stat().st_mtime_ns != written


def test_rules_follow_the_configuration(config: Config) -> None:
    prepare(config, overall=0.3, on_common=(0.5, 0.15))
    lenient = config.model_copy(
        update={"gate": GateConfig(better_than_popularity=False, min_recall_ratio=0.7)}
    )
    assert len(approve(lenient, DAY)["reasons"]) == 3
    with pytest.raises(GateRefusedError):
        approve(config, DAY)
    assert not RunPaths(config, DAY).approved.exists()


def test_a_later_day_is_no_measure_for_an_earlier_one(config: Config) -> None:
    prepare(config)
    write_json(published_pointer(config), {"version": "20260101-00000003", "as_of": "2026-01-01"})
    assert approve(config, DAY)["served"] is None


def test_a_served_version_that_cannot_be_asked_any_more_does_not_block(config: Config) -> None:
    prepare(config, on_common=(0.0, 0.0))
    file = VersionPaths(config, NEW).metrics
    metrics = read_json(file)
    metrics["against_served"] = {"version": OLD, "not_comparable": "item.section is gone"}
    write_json(file, metrics)
    assert any("item.section is gone" in reason for reason in approve(config, DAY)["reasons"])
