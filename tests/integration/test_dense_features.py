"""Vectors of 384 numbers from tables to vectors for cold items, with nothing else to go by."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longtail.artifacts import RunPaths, VersionPaths, read_json
from longtail.config import Config, load_config
from longtail.features.schema import Schema
from tests.content import LENGTH, NUM_CLUSTERS, moments, texts
from tests.projects import write_project, write_tables

pytestmark = pytest.mark.slow

WARM, COLD, QUERIES = 180, 60, 120
LATE_CLUSTERS = np.arange(NUM_CLUSTERS).repeat(5)
LAST = date(2024, 1, 6)
SETTINGS: dict[str, Any] = {
    "features": {"default_dim": 16},
    "dataset": {"split": "time"},
    "model": {"hidden": [32], "output_dim": 16},
    "training": {
        "batch_size": 128,
        "num_epochs": 25,
        "threads_per_rank": 1,
        "table_learning_rate": 0.1,
        "tower_learning_rate": 0.02,
    },
}


@dataclass
class Trained:
    """A project whose only day went through all stages."""

    config: Config
    version: str
    metrics: dict[str, Any]

    @property
    def paths(self) -> VersionPaths:
        return VersionPaths(self.config, self.version)


def make_project(folder: Path, *, with_text: bool) -> Path:
    """Queries like one cluster each; on the last day items are born, and chosen, of all clusters.

    Besides the vector items have a number and a shop that have nothing to do with the clusters, so
    have queries.
    """
    random = np.random.default_rng(1)
    num_items = WARM + COLD
    prices = np.exp(random.normal(size=num_items))
    moods = random.normal(size=(QUERIES, 4)).astype(np.float32).tolist()
    items = {
        "item_id": [f"item-{number:03}" for number in range(num_items)],
        "shop": [f"shop-{number}" for number in random.integers(0, 9, num_items)],
        "price": pa.array([None if n % 10 == 3 else float(p) for n, p in enumerate(prices)]),
        "event_timestamp": moments([1] * WARM + [6] * COLD),
    }
    if with_text:
        rows: list[Any] = texts(2, np.arange(num_items) % NUM_CLUSTERS).tolist()
        rows[7], rows[8] = None, []
        items["text"] = pa.array(rows, pa.list_(pa.float32()))
    queries = {
        "query_id": [f"query-{number:03}" for number in range(QUERIES)],
        "age": pa.array(random.normal(40.0, 12.0, QUERIES)),
        "mood": pa.array(moods, pa.list_(pa.float32())),
        "event_timestamp": moments([1] * QUERIES),
    }
    chosen: list[tuple[int, int, int]] = []
    for query in range(QUERIES):
        warm = random.permutation(WARM // NUM_CLUSTERS)[:12]
        cold = random.permutation(COLD // NUM_CLUSTERS)[:3]
        days = [2] * 4 + [3] * 4 + [5, 5, 6, 6]
        of_cluster = query % NUM_CLUSTERS
        picks = zip(warm, days, strict=True)
        chosen += [(query, int(n) * NUM_CLUSTERS + of_cluster, day) for n, day in picks]
        chosen += [(query, WARM + int(n) * NUM_CLUSTERS + of_cluster, 6) for n in cold]
    interactions = {
        "query_id": [f"query-{query:03}" for query, _, _ in chosen],
        "item_id": [f"item-{item:03}" for _, item, _ in chosen],
        "event_timestamp": moments([day for _, _, day in chosen]),
    }
    tables = (pa.table(items), pa.table(queries), pa.table(interactions))
    return write_project(folder, *tables, SETTINGS)


def late_items() -> pa.Table:
    """Five items of each cluster, of which nothing but the vector is known."""
    vectors = texts(9, LATE_CLUSTERS).tolist()
    return pa.table(
        {
            "item_id": [f"late-{number:02}" for number in range(len(vectors))],
            "text": pa.array(vectors, pa.list_(pa.float32())),
            "event_timestamp": moments([6] * len(vectors)),
        }
    )


def train_project(file: Path, *, num_ranks: int) -> Trained:
    from longtail.correlation.mine import mine_correlations
    from longtail.dataset.build_training_set import build_training_set
    from longtail.evaluation.evaluate import evaluate_version
    from longtail.features.feast.catalogue import build_catalogue
    from longtail.features.vocabulary import build_vocabularies
    from longtail.training.launch.launcher import train

    config = load_config(file)
    build_catalogue(config, LAST)
    mine_correlations(config, LAST)
    build_vocabularies(config, LAST)
    build_training_set(config, LAST)
    version = train(file, LAST, num_ranks=num_ranks)["version"]
    return Trained(config, version, evaluate_version(config, version)["metrics"])


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, own_environment: pytest.MonkeyPatch
) -> Trained:
    from longtail.embeddings.export import export_catalogue
    from longtail.embeddings.index import build_index
    from longtail.evaluation.gate import approve
    from longtail.features.feast.catalogue import build_catalogue

    folder = tmp_path_factory.mktemp("text")
    done = train_project(make_project(folder, with_text=True), num_ranks=2)
    approve(done.config, LAST)
    # Items that arrive between training and export: their ids are in no vocabulary.
    known = pq.read_table(folder / "feature_repo" / "data" / "items.parquet")
    write_tables(folder, items=pa.concat_tables([known, late_items()], promote_options="default"))
    build_catalogue(done.config, LAST)
    export_catalogue(done.config, LAST)
    build_index(done.config, LAST)
    return done


def test_cold_items_are_found_by_their_vector_alone(
    trained: Trained, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A chosen cold item is one of 240: by chance the first ten hold it in 4 of 100 cases."""
    without = train_project(
        make_project(tmp_path_factory.mktemp("plain"), with_text=False), num_ranks=1
    )
    found, blind = trained.metrics["cold"], without.metrics["cold"]
    assert found["num_pairs"] == blind["num_pairs"] >= 3 * QUERIES
    assert blind["recall@50"] < 0.4
    assert found["recall@50"] > 0.8
    assert found["recall@10"] > 3 * blind["recall@10"]


def test_dense_features_are_mined_masked_and_scaled(trained: Trained) -> None:
    run = RunPaths(trained.config, LAST)
    mined = read_json(run.correlations / "correlations.json")
    assert mined["features"] == ["item_id", "shop", "price", "text"]
    assert set(mined["plan"]) == set(mined["features"])
    schema = Schema.from_json(read_json(trained.paths.schema))
    scales = {feature.name: feature.scale for feature in schema.features if feature.is_dense}
    assert scales["text"] is not None
    assert (scales["text"].length, scales["mood"].length) == (LENGTH, 4)  # type: ignore[union-attr]
    price = pq.read_table(run.catalogue / "items.parquet")["price"][: WARM + COLD]
    price = price.drop_null().to_numpy()
    assert scales["price"].mean == pytest.approx(price.mean())  # type: ignore[union-attr]
    assert scales["price"].deviation == pytest.approx(price.std())  # type: ignore[union-attr]
    vectors = pa.ipc.open_file(pa.memory_map(str(run.training_set / "item_vectors_3.arrow")))
    assert vectors.read_all().num_rows == WARM + COLD - 2


def test_the_numpy_encoder_gives_the_exported_vectors(trained: Trained) -> None:
    """As a table and row by row, in the types that a caller may have."""
    from longtail.serving.encoders import load_version_encoder

    encoder = load_version_encoder(trained.config, trained.version)
    exported = pq.read_table(trained.paths.embeddings)
    expected = np.array(exported["embedding"].to_pylist())
    names = [feature.name for feature in encoder.schema.item]
    items = pq.read_table(RunPaths(trained.config, LAST).catalogue / "items.parquet", columns=names)
    assert items["item_id"].equals(exported["item_id"])
    np.testing.assert_allclose(encoder.encode("item", items).vectors, expected, atol=1e-5)
    rows = items.slice(0, 20).to_pylist()
    np.testing.assert_allclose(encoder.encode("item", rows).vectors, expected[:20], atol=1e-5)
    rows[0]["text"] = np.array(rows[0]["text"], np.float64)
    np.testing.assert_allclose(encoder.encode("item", rows[0]).vectors, expected[:1], atol=1e-5)


def test_an_item_never_seen_is_near_its_twins(trained: Trained) -> None:
    """Exported, and given to the encoder of serving, with its id and without."""
    from longtail.serving.encoders import load_version_encoder

    encoder = load_version_encoder(trained.config, trained.version)
    table = pq.read_table(trained.paths.embeddings)
    exported = np.array(table["embedding"].to_pylist())
    known, late = exported[: WARM + COLD], exported[WARM + COLD :]
    assert table["item_id"][WARM + COLD].as_py() == "late-00"
    assert np.isfinite(late).all()
    nearest = np.argsort(-(late @ known.T), axis=1)[:, :10]
    assert (nearest % NUM_CLUSTERS == LATE_CLUSTERS[:, None]).mean() > 0.8
    rows = late_items().select(["item_id", "text"]).to_pylist()
    without_id = [{"text": row["text"]} for row in rows]
    for given in (rows, without_id):
        np.testing.assert_allclose(encoder.encode("item", given).vectors, late, atol=1e-5)


def test_queries_have_their_dense_features_online(trained: Trained) -> None:
    from longtail.embeddings.publish import publish_query_features
    from longtail.features.feast.online_query_features import OnlineQueries

    publish_query_features(trained.config, LAST)
    schema = Schema.from_json(read_json(trained.paths.schema))
    read = OnlineQueries(trained.config).read(["query-011", "query-003"], schema.query)
    catalogue = pq.read_table(RunPaths(trained.config, LAST).catalogue / "queries.parquet")
    for name in ("age", "mood"):
        assert read[name].to_pylist() == [catalogue[name][n].as_py() for n in (11, 3)]
