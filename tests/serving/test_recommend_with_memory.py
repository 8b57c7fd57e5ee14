"""Recommendations of a version with a memory, compared with a plain loop over all its files."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from longtail.artifacts import RunPaths, VersionPaths
from longtail.embeddings.publish import publish, publish_query_features
from longtail.encoder.torch_encoder import load_encoder
from longtail.errors import LongtailError
from longtail.features.encoding import encode_table
from longtail.features.vocabulary import load_vocabularies
from longtail.memory.settings import MemorySettings
from longtail.serving import Recommender
from longtail.serving.encoders import load_version_encoder
from longtail.serving.query_search import load_query_search
from tests.memory.plain import probabilities
from tests.publications import DAYS, Published, make_version

DAY = DAYS[0]
SETTINGS = MemorySettings(
    *(0.6, 5, 0.2, 1.0, 0.1, 15),
    knn_share=0.3,
    ease_share=0.3,
    power=2.0,
    head_fraction=0.2,
    tail_factor=1.5,
    cold_factor=2.0,
)


@pytest.fixture
def remembering(project: Published) -> Published:
    config = project.config
    memory = config.memory.model_copy(update={"storage": "fp32"})
    config = config.model_copy(update={"memory": memory})
    version = make_version(config, DAY, "000000ff", memory=SETTINGS.to_json())
    publish(config, DAY)
    publish_query_features(config, DAY)
    return Published(config, {**project.versions, DAY: version})


def expected(
    project: Published,
    query: str,
    *,
    known: bool = True,
    hidden: Collection[str] = (),
    own_items: Collection[str] = (),
) -> list[tuple[str, float]]:
    """Return what a query is recommended, from the version's files and the day's catalogue."""
    paths = VersionPaths(project.config, project.versions[DAY])
    encoder = load_encoder(paths.folder)
    table = pq.read_table(RunPaths(project.config, DAY).catalogue_files.queries)
    ids = table["query_id"].to_pylist()
    vectors = encoder.encode(
        "query", encode_table(table, encoder.schema.query, load_vocabularies(paths.vocabularies))
    )
    own = vectors[ids.index(query)]
    items = project.vectors(DAY)
    names = list(items)
    seen = pq.read_table(paths.seen_items).to_pylist()
    items_of = [
        {names.index(row["item_id"]) for row in seen if row["query_id"] == each} for each in ids
    ]
    linked = [position for position, found in enumerate(items_of) if found]
    mixed = probabilities(
        [float(own @ vector) for vector in items.values()],
        (vectors[linked] @ own).tolist(),
        [items_of[position] for position in linked],
        SETTINGS,
        itself=linked.index(ids.index(query)) if known and items_of[ids.index(query)] else None,
        hidden=[names.index(item) for item in hidden if item in names],
        linked=items_of[ids.index(query)] if known else [names.index(item) for item in own_items],
        knn=item_weights(paths, "knn", len(names)),
        ease=item_weights(paths, "ease", len(names)),
    )
    return [(names[item], mixed[item]) for item in sorted(mixed, key=lambda i: -mixed[i])]


def item_weights(paths: VersionPaths, kind: str, num_items: int) -> list[list[float]]:
    """Return the weights of a kind from the version's file, one list for each item."""
    weights = [[0.0] * num_items for _ in range(num_items)]
    for own, row in zip(weights, pq.read_table(paths.item_weights).to_pylist(), strict=True):
        for item, weight in zip(row[f"{kind}_items"], row[f"{kind}_weights"], strict=True):
            own[item] = weight
    assert any(map(any, weights))
    return weights


def assert_same(results: list[Any], wanted: list[tuple[str, float]], k: int) -> None:
    assert [result["item"] for result in results] == [item for item, _ in wanted[:k]]
    np.testing.assert_allclose(
        [result["score"] for result in results], [value for _, value in wanted[:k]], rtol=1e-4
    )


@pytest.mark.parametrize("query", ["item-000", "item-001", "item-020", "item-041"])
def test_recommends_what_a_plain_loop_does(remembering: Published, query: str) -> None:
    recommender = Recommender(remembering.config)
    answer = recommender.recommend(query, 10)
    assert answer["version"] == remembering.versions[DAY]
    # Queries and items share their ids, so the query itself is hidden.
    assert_same(answer["results"], expected(remembering, query, hidden=[query]), 10)

    others = recommender.recommend(query, 10, exclude=["item-003", "item-004"])
    wanted = expected(remembering, query, hidden=[query, "item-003", "item-004"])
    assert_same(others["results"], wanted, 10)


def test_only_allowed_items_come_back(remembering: Published) -> None:
    allowed = [f"item-{number:03d}" for number in range(0, 60, 3)]
    answer = Recommender(remembering.config).recommend("item-020", 10, allowed=allowed)
    hidden = {*remembering.vectors(DAY)} - {*allowed} | {"item-020"}
    wanted = expected(remembering, "item-020", hidden=hidden)
    assert_same(answer["results"], wanted, 10)


def test_seen_items_do_not_come_back(remembering: Published) -> None:
    answer = Recommender(remembering.config).recommend("item-020", 10, exclude_seen=True)
    paths = VersionPaths(remembering.config, remembering.versions[DAY])
    seen = pq.read_table(paths.seen_items).to_pylist()
    hidden = {row["item_id"] for row in seen if row["query_id"] == "item-020"} | {"item-020"}
    assert_same(answer["results"], expected(remembering, "item-020", hidden=hidden), 10)


def test_strangers_are_answered_by_their_neighbours(remembering: Published) -> None:
    """A query that is given by its features is nobody: all known queries vote, its twin too."""
    table = pq.read_table(RunPaths(remembering.config, DAY).catalogue_files.queries)
    encoder = load_encoder(VersionPaths(remembering.config, remembering.versions[DAY]).folder)
    columns = [feature.name for feature in encoder.schema.query]
    row = table["query_id"].to_pylist().index("item-020")
    answer = Recommender(remembering.config).recommend_to(table.select(columns).slice(row, 1), 10)
    assert_same(answer["results"][0], expected(remembering, "item-020", known=False), 10)


def test_a_stranger_is_answered_by_the_items_of_a_session(remembering: Published) -> None:
    table = pq.read_table(RunPaths(remembering.config, DAY).catalogue_files.queries)
    encoder = load_version_encoder(remembering.config, remembering.versions[DAY])
    columns = [feature.name for feature in encoder.schema.query]
    row = table["query_id"].to_pylist().index("item-020")
    vectors = encoder.encode("query", table.select(columns).slice(row, 1)).vectors
    search = load_query_search(remembering.config, remembering.versions[DAY])
    session = ["item-003", "item-030"]
    rows = np.array([list(remembering.vectors(DAY)).index(item) for item in session])
    for linked, items in ((rows, session), (rows[:0], [])):
        (found,) = search.search(
            vectors, 10, exclude=[session], allowed=None, queries=[None], linked=[linked]
        )
        wanted = expected(remembering, "item-020", known=False, hidden=session, own_items=items)
        assert_same(found, wanted, 10)


def test_damaged_item_weights_are_refused(remembering: Published) -> None:
    paths = VersionPaths(remembering.config, remembering.versions[DAY])
    paths.item_weights.write_bytes(paths.item_weights.read_bytes()[:-4])
    with pytest.raises(LongtailError, match=r"item_weights\.parquet is not the file"):
        Recommender(remembering.config).recommend("item-000", 5)


def test_more_items_than_candidates_come_back(remembering: Published) -> None:
    answer = Recommender(remembering.config).recommend("item-000", 55)
    assert len(answer["results"]) == 55


def test_a_damaged_memory_is_refused(remembering: Published) -> None:
    paths = VersionPaths(remembering.config, remembering.versions[DAY])
    paths.query_index.write_bytes(paths.query_index.read_bytes()[:-4])
    with pytest.raises(LongtailError, match=r"queries\.faiss is not the file"):
        Recommender(remembering.config).recommend("item-000", 5)


def test_a_version_without_a_memory_has_no_such_files(project: Published) -> None:
    paths = VersionPaths(project.config, project.versions[DAY])
    assert not paths.query_memory.exists()
    assert not paths.query_index.exists()
    assert not paths.item_weights.exists()
