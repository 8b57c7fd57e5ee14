"""The catalogue of a day, compared with one worked out by hand."""

import json
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq

from longtail.artifacts import RunPaths
from longtail.config import Config
from longtail.features.feast.catalogue import build_catalogue
from longtail.features.feast.repository import FeatureRepository
from longtail.features.schema import Schema
from tests.features.conftest import day, item_rows
from tests.projects import write_tables

FOLDER_CONTENT = {
    "schema.json",
    "items.parquet",
    "queries.parquet",
    "item_history.parquet",
    "query_history.parquet",
    "interactions.parquet",
    "stamp.json",
}


def test_catalogue_is_the_active_items_with_their_latest_features(
    unchanged_project: Config,
) -> None:
    as_of = date(2024, 1, 9)
    summary = build_catalogue(unchanged_project, as_of)
    folder = RunPaths(unchanged_project, as_of).catalogue
    assert {file.name for file in folder.iterdir()} == FOLDER_CONTENT
    items = pq.read_table(folder / "items.parquet")
    assert items.to_pydict() == {
        "item_id": ["a", "c"],  # b was dropped that day
        "section": ["web", None],
        "tags": [["x"], ["z"]],
        "size": [5, None],
        "event_timestamp": [day(9), day(5)],
        "first_seen": [day(1), day(5)],
    }
    history = pq.read_table(folder / "item_history.parquet")
    assert history["item_id"].to_pylist() == ["a", "a", "a", "b", "b", "c"]
    assert history["active"].to_pylist() == [True, True, True, True, False, True]
    queries = pq.read_table(folder / "queries.parquet")
    assert queries.to_pydict() == {
        "query_id": ["a", "q"],
        "section": ["net", "libs"],
        "event_timestamp": [day(5), day(1)],
    }
    assert pq.read_table(folder / "query_history.parquet").num_rows == 3
    interactions = pq.read_table(folder / "interactions.parquet")
    assert interactions["item_id"].to_pylist() == ["b", "c", "a"]
    stamp = json.loads((folder / "stamp.json").read_text())
    assert stamp == summary
    assert (stamp["num_items"], stamp["num_queries"], stamp["num_interactions"]) == (2, 2, 3)
    schema = Schema.from_json(json.loads((folder / "schema.json").read_text()))
    assert schema == FeatureRepository(unchanged_project).schema()


def test_an_earlier_day_sees_nothing_of_later_ones(unchanged_project: Config) -> None:
    as_of = date(2024, 1, 8)
    build_catalogue(unchanged_project, as_of)
    folder = RunPaths(unchanged_project, as_of).catalogue
    items = pq.read_table(folder / "items.parquet")
    assert items["item_id"].to_pylist() == ["a", "b", "c"]
    assert items["section"].to_pylist() == ["net", "libs", None]
    assert pq.read_table(folder / "interactions.parquet")["item_id"].to_pylist() == ["c", "a"]


def test_an_item_that_comes_back_is_in_the_catalogue_again(project: Config) -> None:
    back = (
        item_rows()
        .slice(1, 1)
        .set_column(5, "event_timestamp", pa.array([day(11)], pa.timestamp("us", "UTC")))
    )
    write_tables(project.feature_repo.parent, items=pa.concat_tables([item_rows(), back]))
    build_catalogue(project, date(2024, 1, 11))
    items = pq.read_table(RunPaths(project, date(2024, 1, 11)).catalogue / "items.parquet")
    assert items["item_id"].to_pylist() == ["a", "b", "c"]
    assert items["first_seen"].to_pylist() == [day(1), day(1), day(5)]


def test_fingerprint_follows_the_contents_not_the_order_of_rows(project: Config) -> None:
    as_of, folder = date(2024, 1, 9), project.feature_repo.parent
    first = build_catalogue(project, as_of)["fingerprint"]
    rows = item_rows()
    write_tables(folder, items=rows.take(pa.array([5, 3, 1, 0, 2, 4])))
    assert build_catalogue(project, as_of)["fingerprint"] == first
    changed = rows["size"].to_pylist()
    changed[0] = 7
    column = rows.column_names.index("size")
    write_tables(folder, items=rows.set_column(column, "size", pa.array(changed, pa.int64())))
    assert build_catalogue(project, as_of)["fingerprint"] != first
