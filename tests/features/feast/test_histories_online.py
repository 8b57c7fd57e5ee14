"""The queries' histories: in the catalogue, in Feast, and back; on, off, and in between."""

from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from longtail.artifacts import RunPaths, VersionPaths, read_json, write_json
from longtail.config import Config, HistoryConfig
from longtail.embeddings.publish_query_features import publish_query_features
from longtail.errors import InputError, LongtailError
from longtail.features.feast.catalogue import build_catalogue
from longtail.features.feast.history_view import HISTORY_VIEW, histories_file
from longtail.features.feast.online_query_features import OnlineQueries
from longtail.features.feast.repository import FeatureRepository
from longtail.features.schema import Feature, Schema
from longtail.features.vocabulary import build_vocabularies, load_vocabularies

AS_OF = date(2024, 1, 9)
HISTORIES = {"a": ["b", "c"], "q": ["a"]}


def with_length(config: Config, length: int) -> Config:
    return config.model_copy(update={"history": HistoryConfig(length=length)})


def views(config: Config) -> set[str]:
    return {view.name for view in FeatureRepository(config).store.list_feature_views()}


def schema_of(config: Config) -> Schema:
    return Schema.from_json(read_json(RunPaths(config, AS_OF).catalogue_files.schema))


def commit(config: Config, length: int) -> Path:
    """Put a committed version on disk, as far as Feast's definitions look at it."""
    paths = VersionPaths(config, "20240109-0123")
    write_json(paths.config, {"history": {"length": length}})
    write_json(paths.manifest, {})
    return paths.folder


def test_the_catalogue_has_the_newest_items_of_each_query(project: Config) -> None:
    config = with_length(project, 2)
    stamp = build_catalogue(config, AS_OF)
    files = RunPaths(config, AS_OF).catalogue_files
    queries = pq.read_table(files.queries)
    assert dict(zip(*(queries[c].to_pylist() for c in ("query_id", "history")), strict=True)) == (
        HISTORIES
    )
    assert stamp["history_length"] == 2
    history = schema_of(config).history
    assert history is not None
    assert history.table == schema_of(config).item[0].table
    assert "history" not in pq.read_schema(files.query_history).names
    # An id counts as often as it stands in the rows of items and queries, in histories never.
    build_vocabularies(config, AS_OF)
    vocabulary = load_vocabularies(RunPaths(config, AS_OF).vocabularies)["package"]
    counts = dict(zip(vocabulary.values.to_pylist(), vocabulary.counts.to_pylist(), strict=True))
    assert counts == {"a": 5, "b": 2, "c": 1, "q": 1}


def test_without_histories_nothing_is_derived_defined_or_stored(project: Config) -> None:
    build_catalogue(project, AS_OF)
    publish_query_features(project, AS_OF)
    files = RunPaths(project, AS_OF).catalogue_files
    assert "history" not in pq.read_schema(files.queries).names
    assert "history_length" not in read_json(files.folder / "stamp.json")
    assert HISTORY_VIEW not in views(project)
    assert not histories_file(project).exists()


def test_histories_are_read_back_with_the_other_features(project: Config) -> None:
    config = with_length(project, 1)
    build_catalogue(config, AS_OF)
    assert publish_query_features(config, AS_OF)["published"]
    assert not publish_query_features(config, AS_OF)["published"]
    schema = schema_of(config)
    read = OnlineQueries(config).read(["q", "a"], schema.query)
    assert read.column_names == ["query_id", "section", "history"]
    assert read["section"].to_pylist() == ["libs", "net"]
    assert read["history"].to_pylist() == [["a"], ["b"]]
    # The view's source holds the same, for whoever materialises or joins it through Feast.
    source = pq.read_table(histories_file(config))
    assert source.drop_columns("event_timestamp").to_pylist() == [
        {"query_id": "a", "history": ["b"]},
        {"query_id": "q", "history": ["a"]},
    ]
    store = FeatureRepository(config).store
    asked = store.get_online_features([f"{HISTORY_VIEW}:history"], [{"query_id": "a"}]).to_dict()
    assert asked["history"] == [["b"]]


def test_another_length_writes_the_same_day_again(project: Config) -> None:
    for length, expected in ((2, ["b", "c"]), (1, ["b"])):
        config = with_length(project, length)
        build_catalogue(config, AS_OF)
        assert publish_query_features(config, AS_OF)["published"]
        read = OnlineQueries(config).read(["a"], schema_of(config).query)
        assert read["history"].to_pylist() == [expected]


def test_histories_stay_fresh_while_a_version_reads_them_and_go_with_it(project: Config) -> None:
    on = with_length(project, 2)
    build_catalogue(on, date(2024, 1, 8))
    publish_query_features(on, date(2024, 1, 8))
    folder = commit(project, 2)
    # Switched off: the next day's catalogue has none, but the served version goes on reading them.
    build_catalogue(project, AS_OF)
    assert schema_of(project).history is None
    publish_query_features(project, AS_OF)
    features = [*schema_of(project).query, *_history_feature(on)]
    read = OnlineQueries(project).read(["a", "q"], features)
    assert read["history"].to_pylist() == [HISTORIES["a"], HISTORIES["q"]]
    # The last version that reads them is removed from disk.
    (folder / "manifest.json").unlink()
    build_catalogue(project, AS_OF)
    assert HISTORY_VIEW not in views(project)
    publish_query_features(project, AS_OF)
    assert OnlineQueries(project).read(["a"], schema_of(project).query).num_rows == 1
    with pytest.raises(LongtailError, match=r"query_history is not applied.*longtail publish"):
        OnlineQueries(project).read(["a"], features)


def _history_feature(config: Config) -> tuple[Feature, ...]:
    return FeatureRepository(config).schema().query[-1:]


def test_a_plain_feast_apply_removes_the_view_and_the_next_publication_restores_it(
    project: Config,
) -> None:
    config = with_length(project, 2)
    build_catalogue(config, AS_OF)
    publish_query_features(config, AS_OF)
    FeatureRepository(project).apply()  # without histories: what `feast apply` does
    assert HISTORY_VIEW not in views(config)
    assert publish_query_features(config, AS_OF)["published"]
    read = OnlineQueries(config).read(["a"], schema_of(config).query)
    assert read["history"].to_pylist() == [HISTORIES["a"]]


OWN_VIEW = """
from entities import query
from feast import FeatureView, Field, FileSource
from feast.types import Array, Int64, String

query_history = FeatureView(
    name="query_history",
    entities=[query],
    schema=[Field(name="query_id", dtype=String), Field(name="history", dtype=Array({dtype}))],
    source=FileSource(name="own", path="{path}", timestamp_field="event_timestamp"),
    description="ours",
)
"""


def test_a_repository_may_define_the_view_itself(project: Config) -> None:
    config = with_length(project, 2)
    file = config.feature_repo / "query_history.py"
    file.write_text(OWN_VIEW.format(dtype="String", path=histories_file(config)))
    build_catalogue(config, AS_OF)
    publish_query_features(config, AS_OF)
    store = FeatureRepository(config).store
    assert store.get_feature_view(HISTORY_VIEW).description == "ours"
    read = OnlineQueries(config).read(["a"], schema_of(config).query)
    assert read["history"].to_pylist() == [HISTORIES["a"]]
    file.write_text(OWN_VIEW.format(dtype="Int64", path=histories_file(config)))
    with pytest.raises(InputError, match="`query_history` has no field `history`"):
        build_catalogue(config, AS_OF)
