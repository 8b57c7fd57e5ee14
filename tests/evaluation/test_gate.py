"""The rules of the release gate, on figures that are written by hand."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from longtail.artifacts import RunPaths, VersionPaths, published_pointer, read_json, write_json
from longtail.config import Config, GateConfig
from longtail.embeddings.export import export_catalogue
from longtail.embeddings.index import build_index
from longtail.errors import GateRefusedError, LongtailError
from longtail.evaluation import gate
from longtail.evaluation.gate import approve

DAY = date(2025, 8, 9)
NEW, OLD = "20250809-00000002", "20230610-00000001"


def recall(
    overall: float, tail: float, num_pairs: int = 100, order: float = 0.5
) -> dict[str, dict[str, float]]:
    return {
        "overall": {"recall@50": overall, "map@10": order, "num_pairs": num_pairs},
        "tail": {"recall@50": tail, "map@10": order, "num_pairs": num_pairs},
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
    orders: tuple[float, float] = (0.5, 0.5),
) -> None:
    """Write the files of training and evaluation; with `on_common` there is a served version."""
    against: dict[str, Any] | None = None
    if on_common is not None:
        write_json(published_pointer(config), {"version": OLD, "as_of": "2023-06-10"})
        against = {
            "version": OLD,
            "num_common_items": 60_000,
            "metrics": recall(*on_common, order=orders[0]),
            "served_metrics": recall(*served, order=orders[1]),
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
        # An untrained model of 240 items: recall@50 hardly sees it.
        (
            {"on_common": (0.883, 0.2), "served": (0.918, 0.2), "orders": (0.127, 0.172)},
            ["the first ten in as good an order", "0.1270", "0.1720", "0.75 of it", OLD],
        ),
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
    assert refusal.value.version == NEW
    failed = [ruling["rule"] for ruling in refusal.value.rulings if not ruling["passed"]]
    assert [rule in str(refusal.value) for rule in failed] == [True] * len(failed)
    assert failed
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
    assert len(approve(lenient, DAY)["reasons"]) == 4
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


@pytest.fixture
def measured_again(monkeypatch: pytest.MonkeyPatch) -> Callable[[Config, str, float], None]:
    """Give the reference its files, and its comparison with the next version its figures."""

    def prepare_reference(config: Config, reference: str, own: float) -> None:
        paths = VersionPaths(config, reference)
        paths.folder.mkdir(parents=True, exist_ok=True)
        paths.encoder.touch()
        paths.embeddings.touch()
        against = {
            "version": reference,
            "num_common_items": 60_000,
            "metrics": recall(own, 0.2),
            "served_metrics": recall(0.7, 0.2),
        }
        monkeypatch.setattr(gate, "compare_with_reference", lambda *_: against)

    return prepare_reference


def test_small_losses_against_the_version_before_do_not_add_up(
    config: Config, measured_again: Callable[[Config, str, float], None]
) -> None:
    """Each version may lose 5% against the one before; the first one is asked again every time."""
    first = OLD
    for number, (own, before, is_good) in enumerate(
        [(0.68, 0.70, True), (0.67, 0.68, True), (0.66, 0.67, False)]
    ):
        version = f"2025080{9 - number}-0000000{number}"
        prepare(config, on_common=(own, 0.2), served=(before, 0.2), version=version)
        served = f"20240101-0000000{number}" if number else first
        write_json(published_pointer(config), {"version": served, "as_of": "2024-01-01"})
        metrics = read_json(VersionPaths(config, version).metrics)
        metrics["against_served"]["version"] = served
        write_json(VersionPaths(config, version).metrics, metrics)
        if number:
            measured_again(config, first, own)
        if is_good:
            assert approve(config, DAY)["reference"] == first
        else:
            with pytest.raises(GateRefusedError) as refusal:
                approve(config, DAY)
            failed = [each["rule"] for each in refusal.value.rulings if not each["passed"]]
            assert failed == ["overall as good as the reference"]
            assert "0.6600, reference 20230610-00000001 0.7000" in str(refusal.value)
            assert "remove `gate_reference.json`" in str(refusal.value)
    # Whoever accepts the loss takes the reference away; the served version follows it.
    (config.home / "gate_reference.json").unlink()
    assert approve(config, DAY)["reference"] == served
