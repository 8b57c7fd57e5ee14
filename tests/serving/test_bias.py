"""A version with biases, from its files to the online store and back, against plain loops."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from longtail.artifacts import RunPaths, VersionPaths, read_json
from longtail.config import IndexConfig
from longtail.embeddings.publish import publish, publish_query_features, rollback
from longtail.encoder.torch_encoder import load_encoder
from longtail.errors import InputError, LongtailError
from longtail.features.encoding import encode_table
from longtail.features.feast.embedding_slots import OnlineStore
from longtail.features.vocabulary import load_vocabularies
from longtail.memory.settings import MemorySettings
from longtail.serving import EmbeddingClient, ItemEncoder, Neighbours, Recommender
from tests.memory.plain import probabilities
from tests.publications import DAYS, DIM, Published, make_version

FIRST, DAY, *_ = DAYS
MEMORY = MemorySettings(0.6, 5, 0.2, 1.0, 0.1, 15)


def published(project: Published, **settings: Any) -> Published:
    memory = project.config.memory.model_copy(update={"storage": "fp32"})
    index = settings.pop("index", project.config.index)
    config = project.config.model_copy(update={"index": index, "memory": memory})
    version = make_version(config, DAY, "000000fe", beta=0.4, **settings)
    publish(config, DAY)
    publish_query_features(config, DAY)
    return Published(config, {**project.versions, DAY: version})


@pytest.fixture
def biased(project: Published) -> Published:
    return published(project)


def biases(project: Published) -> dict[str, float]:
    table = pq.read_table(VersionPaths(project.config, project.versions[DAY]).embeddings)
    return dict(zip(table["item_id"].to_pylist(), table["bias"].to_pylist(), strict=True))


def query_vector(project: Published, query: str) -> np.ndarray:
    paths = VersionPaths(project.config, project.versions[DAY])
    encoder = load_encoder(paths.folder)
    table = pq.read_table(RunPaths(project.config, DAY).catalogue_files.queries)
    row = table["query_id"].to_pylist().index(query)
    vocabularies = load_vocabularies(paths.vocabularies)
    rows = encode_table(table.slice(row, 1), encoder.schema.query, vocabularies)
    return encoder.encode("query", rows)[0]


def best(scores: dict[str, float], k: int) -> list[str]:
    return sorted(scores, key=lambda item: -scores[item])[:k]


def assert_same(results: Sequence[Any], scores: dict[str, float], k: int) -> None:
    assert [each["item"] for each in results] == best(scores, k)
    np.testing.assert_allclose(
        [each["score"] for each in results], sorted(scores.values())[::-1][:k], rtol=1e-4, atol=1e-6
    )


def test_the_manifest_says_what_a_score_is(biased: Published) -> None:
    own = read_json(VersionPaths(biased.config, biased.versions[DAY]).manifest)
    assert (own["score"], own["beta"]) == ("cosine_plus_bias", 0.4)
    assert own["embedding_dim"] == DIM
    plain = read_json(VersionPaths(biased.config, biased.versions[FIRST]).manifest)
    assert plain["score"] == "cosine"
    assert "beta" not in plain


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_recommend_counts_biases_and_neighbours_do_not(project: Published, kind: Any) -> None:
    biased = published(project, index=IndexConfig(kind=kind))
    vectors, bias = biased.vectors(DAY), biases(biased)
    query = "item-001"
    own = query_vector(biased, query)
    scores = {
        item: float(own @ vector) + bias[item]
        for item, vector in vectors.items()
        if item != query  # queries and items share their ids
    }
    answer = Recommender(biased.config).recommend(query, 7)
    assert_same(answer["results"], scores, 7)
    cosines = {item: float(own @ vector) for item, vector in vectors.items() if item != query}
    assert best(scores, 7) != best(cosines, 7)

    neighbours = Neighbours(biased.config)
    item = "item-010"
    near = {each: float(vectors[item] @ vector) for each, vector in vectors.items() if each != item}
    assert_same(neighbours.of_item(item, 7)["results"], near, 7)
    # A caller with a vector says which of the two it is.
    version = biased.versions[DAY]
    assert_same(neighbours.of_vector(version, own, 7, exclude=[query]), cosines, 7)
    found = neighbours.of_vector(version, own, 7, exclude=[query], with_bias=True)
    assert_same(found, scores, 7)
    # A filter that leaves few items scores them one by one.
    few = sorted(vectors)[20:26]
    found = neighbours.of_vector(version, own, 4, allowed=few, with_bias=True)
    assert_same(found, {each: scores[each] for each in few}, 4)
    with pytest.raises(LongtailError, match=f"has {DIM + 1} values, .* has {DIM}"):
        neighbours.of_vector(version, np.ones(DIM + 1), 3)


def test_new_items_are_compared_by_cosine(biased: Published) -> None:
    row = {"section": "section-1"}
    encoded = ItemEncoder(biased.config).encode(row)
    assert encoded.vectors.shape == (1, DIM)
    vectors = biased.vectors(DAY)
    near = {item: float(encoded.vectors[0] @ vector) for item, vector in vectors.items()}
    (results,) = Recommender(biased.config).similar_to(row, 5)["results"]
    assert_same(results, near, 5)


def test_a_memory_is_mixed_with_the_scores_of_the_biases(project: Published) -> None:
    biased = published(project, memory=MEMORY.to_json())
    paths = VersionPaths(biased.config, biased.versions[DAY])
    encoder = load_encoder(paths.folder)
    table = pq.read_table(RunPaths(biased.config, DAY).catalogue_files.queries)
    ids = table["query_id"].to_pylist()
    vectors = encoder.encode(
        "query", encode_table(table, encoder.schema.query, load_vocabularies(paths.vocabularies))
    )
    items, bias, query = biased.vectors(DAY), biases(biased), "item-001"
    names, own = list(items), vectors[ids.index(query)]
    seen = pq.read_table(paths.seen_items).to_pylist()
    # Items that have left the catalogue are known to no query.
    items_of = [
        {
            names.index(row["item_id"])
            for row in seen
            if row["query_id"] == each and row["item_id"] in items
        }
        for each in ids
    ]
    linked = [position for position, found in enumerate(items_of) if found]
    mixed = probabilities(
        [float(own @ vector) + bias[item] for item, vector in items.items()],
        (vectors[linked] @ own).tolist(),
        [items_of[position] for position in linked],
        MEMORY,
        itself=linked.index(ids.index(query)) if items_of[ids.index(query)] else None,
        hidden=[names.index(query)],
    )
    wanted = {names[item]: value for item, value in mixed.items()}
    results = Recommender(biased.config).recommend(query, 6)["results"]
    assert [each["item"] for each in results] == best(wanted, 6)
    np.testing.assert_allclose(
        [each["score"] for each in results], sorted(wanted.values())[::-1][:6], rtol=1e-4
    )


def test_lookups_bring_the_biases_of_a_version_that_has_them(biased: Published) -> None:
    client, bias = EmbeddingClient(biased.config), biases(biased)
    answer = client.lookup([*bias, "no-such-item"])
    assert answer["biases"] == {**bias, "no-such-item": None}
    vectors = biased.vectors(DAY)
    for item, vector in vectors.items():
        np.testing.assert_array_equal(np.array(answer["embeddings"][item], np.float32), vector)
    # A version without biases brings none, and none of another version's stay in its slot.
    rollback(biased.config, biased.versions[FIRST])
    assert set(client.lookup(["item-000"])) == {"version", "embeddings", "missing"}


def test_a_bias_that_the_store_changed_is_found(biased: Published) -> None:
    config = biased.config
    served = read_json(config.home / "published.json")["slot"]
    slot = OnlineStore(config).slot(served)
    items, bias = list(biases(biased)), np.array(list(biases(biased).values()), np.float32)
    vectors = np.stack(list(biased.vectors(DAY).values()))
    version = biased.versions[DAY]
    assert slot.read_back(items, vectors, version=version, bias=bias).problem is None
    wrong = slot.read_back(items, vectors, version=version, bias=bias + np.float32(1.0))
    assert wrong.problem == f"item {items[0]!r} has another bias"
    missing = slot.read_back(items, vectors, version=version)
    assert missing.problem == f"item {items[0]!r} has another bias"
    with closing(sqlite3.connect(config.home / "feast" / "online_store.db")) as connection:
        (num_rows,) = connection.execute(
            f"SELECT count(*) FROM longtail_item_embeddings_{served} WHERE feature_name = 'bias'"
        ).fetchone()
    assert num_rows == len(items)


def test_a_view_without_a_place_for_biases_is_said(project: Published) -> None:
    slot = OnlineStore(project.config).slot("a")
    slot._has_bias = False  # as a project of an older release has it
    with pytest.raises(InputError, match=r'add `Field\(name="bias", dtype=Float32\)`'):
        slot.write(["x"], np.ones((1, 8), np.float32), version="v", bias=np.ones(1, np.float32))
