"""The index of a version against brute force: its rows, its samples, its recall."""

from datetime import date
from pathlib import Path

import faiss
import numpy as np
import pyarrow.parquet as pq
import pytest

from longtail.artifacts import RunPaths, VersionPaths, read_json, write_json
from longtail.config import Config, IndexConfig
from longtail.embeddings.export import export_catalogue
from longtail.embeddings.index import build_index, make_index
from longtail.embeddings.index_recall import recall
from longtail.errors import LongtailError
from tests.evaluation.small_project import DIM, Day, make_config, make_day, make_version

DAY = date(2025, 8, 9)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return make_config(tmp_path)


@pytest.fixture
def day(config: Config) -> Day:
    return make_day(config, DAY, 40)


def test_indexes_the_exported_rows_in_order_and_commits(config: Config, day: Day) -> None:
    paths = VersionPaths(config, make_version(config, day, seed=1))
    write_json(RunPaths(config, DAY).approved, {"version": paths.version})
    with pytest.raises(LongtailError, match="longtail export"):
        build_index(config, DAY)
    export_catalogue(config, DAY)
    summary = build_index(config, DAY)

    # The file of the index has the exported vectors, row by row.
    table = pq.read_table(paths.embeddings)
    items = table["item_id"].to_pylist()
    vectors = np.array(table["embedding"].to_pylist(), np.float32)
    index = faiss.read_index(str(paths.index))
    assert (index.ntotal, index.d) == (len(items), DIM)
    assert index.metric_type == faiss.METRIC_INNER_PRODUCT
    assert [index.reconstruct(row).tolist() for row in range(len(items))] == vectors.tolist()
    assert read_json(paths.manifest)["num_items"] == len(items)
    assert "items.faiss" in read_json(paths.manifest)["files"]

    # The samples are the items with most interactions, and their neighbours those of brute force.
    interactions = pq.read_table(RunPaths(config, DAY).catalogue / "interactions.parquet")
    asked = interactions["item_id"].to_pylist()
    by_popularity = sorted(items, key=lambda item: -asked.count(item))
    assert [sample["item"] for sample in summary["samples"]] == by_popularity[:5]
    for sample in summary["samples"]:
        scores = vectors @ vectors[items.index(sample["item"])]
        nearest = [items[row] for row in np.argsort(-scores) if items[row] != sample["item"]][:5]
        assert [neighbour["item"] for neighbour in sample["neighbours"]] == nearest
        assert sample["neighbours"][0]["score"] == pytest.approx(
            float(scores[items.index(nearest[0])]), abs=1e-6
        )


def test_a_committed_version_is_verified_and_left_alone(config: Config, day: Day) -> None:
    paths = VersionPaths(config, make_version(config, day, seed=1))
    write_json(RunPaths(config, DAY).approved, {"version": paths.version})
    export_catalogue(config, DAY)
    first = build_index(config, DAY)
    written = paths.index.stat().st_mtime_ns
    assert build_index(config, DAY) == first
    assert paths.index.stat().st_mtime_ns == written
    paths.index.write_bytes(b"something else")
    with pytest.raises(LongtailError, match=r"items\.faiss"):
        build_index(config, DAY)


def test_a_graph_is_built_as_configured_and_its_recall_stands_in_the_manifest(
    config: Config, day: Day
) -> None:
    settings = IndexConfig(
        kind="hnsw", hnsw_links=4, hnsw_build_width=20, hnsw_search_width=30, recall_queries=12
    )
    config = config.model_copy(update={"index": settings})
    paths = VersionPaths(config, make_version(config, day, seed=1))
    write_json(RunPaths(config, DAY).approved, {"version": paths.version})
    export_catalogue(config, DAY)
    summary = build_index(config, DAY)
    index = faiss.read_index(str(paths.index))
    assert isinstance(index, faiss.IndexHNSW)
    assert (index.ntotal, index.metric_type) == (37, faiss.METRIC_INNER_PRODUCT)
    assert index.hnsw.nb_neighbors(1) == 4
    assert (index.hnsw.efConstruction, index.hnsw.efSearch) == (20, 30)
    record = read_json(paths.manifest)["index"]
    assert record.items() <= summary.items()
    assert record.keys() == {
        *("kind", "hnsw_links", "hnsw_build_width", "hnsw_search_width"),
        *("recall@100", "item_recall@100", "num_sampled_queries", "num_sampled_items"),
    }
    assert (record["num_sampled_queries"], record["num_sampled_items"]) == (12, 12)
    assert 0.5 < record["recall@100"] <= 1.0


def test_the_recall_of_a_bad_index_is_what_brute_force_says() -> None:
    """The graph has few links and narrow walks, so that its searches miss items."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((3_000, 16)).astype(np.float32)
    queries = random.standard_normal((40, 16)).astype(np.float32)
    settings = IndexConfig(kind="hnsw", hnsw_links=2, hnsw_build_width=2, hnsw_search_width=1)
    index = make_index(settings, vectors)
    _, found = index.search(queries, 20)
    nearest = np.argsort(-(queries @ vectors.T), axis=1)[:, :20]
    hits = [len(set(a) & set(b)) for a, b in zip(found.tolist(), nearest.tolist(), strict=True)]
    expected = sum(hits) / (20 * 40)
    assert expected < 0.9
    assert recall(index, vectors, queries, 20) == pytest.approx(expected)
    assert recall(make_index(IndexConfig(), vectors), vectors, queries) == 1.0
    # Of equal items any one may come back: it is as near as the exact one.
    twins = np.repeat(vectors[:10], 30, axis=0)
    assert recall(make_index(IndexConfig(), twins[::-1].copy()), twins, twins[:1], 7) == 1.0


def test_an_older_version_says_nothing_of_its_index(config: Config, day: Day) -> None:
    paths = VersionPaths(config, make_version(config, day, seed=1))
    write_json(RunPaths(config, DAY).approved, {"version": paths.version})
    export_catalogue(config, DAY)
    build_index(config, DAY)
    manifest = read_json(paths.manifest)
    del manifest["index"]
    write_json(paths.manifest, manifest)
    assert build_index(config, DAY)["kind"] == "flat"
