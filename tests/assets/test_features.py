"""The page of the feature correlations, materialized on a small catalogue."""

import base64
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from assets.features import feature_correlations
from assets.resources import Project
from longtail.artifacts import RunPaths, write_json
from longtail.config import load_config
from longtail.features.schema import Feature, Schema

DAY = "2025-08-09"


def materialized(folder: Path, items: pa.Table, **correlation: Any) -> dict[str, Any]:
    """Return the metadata that the asset shows for a catalogue of these items."""
    file = folder / "longtail.yaml"
    file.write_text(yaml.safe_dump({"feature_repo": ".", "correlation": correlation}))
    paths = RunPaths(load_config(file), date.fromisoformat(DAY))
    paths.catalogue.mkdir(parents=True)
    features = tuple(
        Feature(name, "item", "single", "string", name, 8, is_id=name == "item_id")
        for name in items.column_names
    )
    query = Feature("query_id", "query", "single", "string", "query_query_id", 8, is_id=True)
    write_json(paths.catalogue / "schema.json", Schema((query,), features).to_json())
    pq.write_table(items, paths.catalogue / "items.parquet")
    write_json(paths.catalogue / "stamp.json", {"fingerprint": "one"})
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [feature_correlations],
            partition_key=DAY,
            instance=instance,
            resources={"project": Project(config_file=str(file))},
        )
    (event,) = result.asset_materializations_for_node("feature_correlations")
    return {name: value.value for name, value in event.metadata.items()}


def test_the_page_shows_the_map_the_plan_and_the_values(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)
    items = pa.table(
        {
            "item_id": [f"item {number}" for number in range(40)],
            "section": ["net", "we\0b"] * 20,
            "kind": ["wire", "page|s"] * 20,
            "size": [str(number // 10) for number in range(40)],
        }
    )
    shown = materialized(
        tmp_path, items, never_mask=["item_id"], always_together=[["kind", "size"]]
    )
    image, path = shown["heat_map"].split("\n\n")
    content = base64.b64decode(image.split("base64,")[1].rstrip(")"))
    assert content == Path(path.strip("`")).read_bytes()
    assert content.startswith(b"\x89PNG")
    assert [record.data for record in shown["masking_plan"].records] == [
        {"seed": "section", "masked": "section"},  # the others together would be all features
        {"seed": "kind", "masked": "kind, size"},
        {"seed": "size", "masked": "size, kind"},
    ]
    assert "| section · kind | 1.0 |" in shown["associations"]
    assert "net · wire: 20 items, 2.0 times chance" in shown["associations"]
    assert "we\\\\x00b · page\\|s: 20 items" in shown["associations"]
    assert "hardly two items share a value of item\\_id" in shown["associations"]
    assert shown["num_items"] == 40
    assert shown["sample_fraction"] == 1.0


def test_items_without_features_have_no_plan(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)
    shown = materialized(tmp_path, pa.table({"item_id": ["a", "b"]}))
    assert "masking_plan" not in shown
    assert shown["heat_map"].startswith("![")
