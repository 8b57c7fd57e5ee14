from datetime import date
from pathlib import Path

import faiss
import numpy as np
import pyarrow.parquet as pq
import pytest

from longtail.artifacts import RunPaths, VersionPaths, read_json, write_json
from longtail.config import Config
from longtail.embeddings.export import export_catalogue
from longtail.embeddings.index import build_index
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

    table = pq.read_table(paths.embeddings)
    items = table["item_id"].to_pylist()
    vectors = np.array(table["embedding"].to_pylist(), np.float32)
    index = faiss.read_index(str(paths.index))
    assert (index.ntotal, index.d) == (len(items), DIM)
    assert index.metric_type == faiss.METRIC_INNER_PRODUCT
    assert [index.reconstruct(row).tolist() for row in range(len(items))] == vectors.tolist()
    assert read_json(paths.manifest)["num_items"] == len(items)
    assert "items.faiss" in read_json(paths.manifest)["files"]

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
