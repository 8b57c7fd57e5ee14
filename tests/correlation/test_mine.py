import json
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import mutual_info_score

from longtail.artifacts import RunPaths, write_json
from longtail.config import Config, CorrelationConfig
from longtail.correlation.mine import mine_correlations
from longtail.errors import InputError, LongtailError
from longtail.features.schema import Feature, Schema

DAY = date(2025, 8, 9)


def feature(name: str, kind: str = "single", is_id: bool = False) -> Feature:
    return Feature(name, "item", kind, "string", f"item_{name}", 8, is_id=is_id)  # type: ignore[arg-type]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = Config(
        feature_repo=tmp_path,
        home=tmp_path / "home",
        correlation=CorrelationConfig(measure="mutual_information"),
    )
    catalogue = RunPaths(config, DAY).catalogue
    catalogue.mkdir(parents=True)
    item = (feature("item_id", is_id=True), feature("section"), feature("tags", "multi"))
    query = Feature("query_id", "query", "single", "string", "query_query_id", 8, is_id=True)
    write_json(catalogue / "schema.json", Schema((query,), item).to_json())
    table = pa.table(
        {
            "item_id": ["a", "b", "c", "d"],
            "section": ["net", "net", "web", None],
            "tags": pa.array([["x"], ["x", "y"], None, ["y"]], pa.list_(pa.string())),
            "event_timestamp": pa.array([0] * 4, pa.timestamp("us", "UTC")),
        }
    )
    pq.write_table(table, catalogue / "items.parquet")
    write_json(catalogue / "stamp.json", {"fingerprint": "one"})
    return config


def test_mines_the_catalogue_and_plans_with_the_id_as_a_feature(config: Config) -> None:
    document = mine_correlations(config, DAY)
    folder = RunPaths(config, DAY).correlations
    assert document["measure"] == "mutual_information"
    assert document["features"] == ["item_id", "section", "tags"]  # but not the timestamp
    expected = mutual_info_score(["a", "b", "c", "d"], ["net", "net", "web", "missing"])
    assert document["matrix"][0][1] == pytest.approx(expected, abs=1e-9)
    assert set(document["plan"]) == {"item_id", "section", "tags"}
    assert all(len(masked) == 2 for masked in document["plan"].values())
    assert json.loads((folder / "correlations.json").read_text()) == document
    assert (folder / "heat_map.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_is_done_once_for_the_same_catalogue(config: Config) -> None:
    mine_correlations(config, DAY)
    folder = RunPaths(config, DAY).correlations
    written = (folder / "correlations.json").stat().st_mtime_ns
    assert mine_correlations(config, DAY)["features"] == ["item_id", "section", "tags"]
    assert (folder / "correlations.json").stat().st_mtime_ns == written
    write_json(RunPaths(config, DAY).catalogue / "stamp.json", {"fingerprint": "two"})
    mine_correlations(config, DAY)
    assert (folder / "correlations.json").stat().st_mtime_ns != written


def test_another_measure_stands_beside_the_one_that_training_follows(config: Config) -> None:
    shown = mine_correlations(config, DAY, measure="normalized")
    assert shown["measure"] == "normalized"
    assert shown["matrix"][0][1] == pytest.approx(1.0)
    paths = RunPaths(config, DAY)
    assert not paths.correlations.exists()
    beside = paths.correlations_by("normalized") / "correlations.json"
    written = beside.stat().st_mtime_ns
    assert mine_correlations(config, DAY, measure="normalized") == shown
    assert beside.stat().st_mtime_ns == written
    assert mine_correlations(config, DAY)["measure"] == config.correlation.measure
    assert beside.stat().st_mtime_ns == written


def test_says_what_to_run_first(config: Config) -> None:
    with pytest.raises(LongtailError, match="longtail run"):
        mine_correlations(config, date(2025, 8, 10))


def test_overrides_come_from_the_configuration(config: Config) -> None:
    groups = (("item_id", "tags"),)
    settings = config.correlation.model_copy(update={"always_together": groups})
    document = mine_correlations(config.model_copy(update={"correlation": settings}), DAY)
    assert document["plan"]["tags"] == ["tags", "item_id"]
    assert document["plan"]["section"] == [
        "section"
    ]  # masking the group too would leave nothing to see


def test_overrides_that_cannot_be_done_are_refused_before_anything_is_read(config: Config) -> None:
    (RunPaths(config, DAY).catalogue / "items.parquet").unlink()
    for update in ({"never_mask": ("sections",)}, {"always_together": (("section", "tag"),)}):
        settings = config.correlation.model_copy(update=update)
        with pytest.raises(InputError, match=f"correlation.{next(iter(update))}"):
            mine_correlations(config.model_copy(update={"correlation": settings}), DAY)
    assert not RunPaths(config, DAY).correlations.exists()


def test_associations_are_kept_with_the_figures(config: Config) -> None:
    pairs = {
        tuple(each["features"]): each for each in mine_correlations(config, DAY)["associations"]
    }
    assert list(pairs) == [("item_id", "section"), ("item_id", "tags"), ("section", "tags")]
    assert pairs["item_id", "tags"]["near_unique"][0] == "item_id"
