"""Recommendations compared with the day's table, the torch query tower and brute force."""

import shutil
import subprocess
import sys
from datetime import date
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from longtail.artifacts import RunPaths, VersionPaths
from longtail.embeddings.publish import publish, publish_query_features
from longtail.encoder.torch_encoder import load_encoder
from longtail.errors import InputError, LongtailError
from longtail.features.encoding import encode_table
from longtail.features.vocabulary import load_vocabularies
from longtail.serving import (
    EmbeddingClient,
    ItemEncoder,
    Neighbours,
    QueryEncoder,
    Recommender,
)
from tests.publications import DAYS, Published

FIRST, SECOND, *_ = DAYS


def expected_scores(
    project: Published, model: date, features: date, query: str
) -> dict[str, float]:
    """Score all items by one day's model and one day's query features."""
    paths = VersionPaths(project.config, project.versions[model])
    encoder = load_encoder(paths.folder)
    table = pq.read_table(RunPaths(project.config, features).catalogue / "queries.parquet")
    row = table["query_id"].to_pylist().index(query)
    rows = encode_table(
        table.slice(row, 1), encoder.schema.query, load_vocabularies(paths.vocabularies)
    )
    vector = encoder.encode("query", rows)[0]
    return {item: float(vector @ other) for item, other in project.vectors(model).items()}


def assert_ranked(answer: dict[str, Any], scores: dict[str, float], k: int) -> None:
    best = sorted(scores, key=lambda item: -scores[item])[:k]
    assert [result["item"] for result in answer["results"]] == best
    np.testing.assert_allclose(
        [result["score"] for result in answer["results"]], [scores[i] for i in best], atol=1e-5
    )


@pytest.mark.parametrize("query", ["item-000", "item-001", "item-002"])
def test_recommends_the_nearest_items_of_the_served_version(project: Published, query: str) -> None:
    """item-001 has no feature but its id; item-002's features change on the second day."""
    recommender = Recommender(project.config)
    for day in (FIRST, SECOND):
        publish(project.config, day)
        publish_query_features(project.config, day)
        answer = recommender.recommend(query, 6)
        assert (answer["version"], answer["query"]) == (project.versions[day], query)
        scores = expected_scores(project, day, day, query)
        del scores[query]  # queries and items share their ids: it never recommends itself
        assert_ranked(answer, scores, 6)
    # The features of another day give other scores to the query that changed, and only to it.
    stale = expected_scores(project, SECOND, FIRST, query)
    fresh = expected_scores(project, SECOND, SECOND, query)
    assert (stale != fresh) == (query == "item-002")


def test_what_was_seen_can_be_left_out(project: Published) -> None:
    publish(project.config, FIRST)
    publish_query_features(project.config, FIRST)
    pairs = pq.read_table(RunPaths(project.config, FIRST).catalogue / "interactions.parquet")
    query = pairs["query_id"][0].as_py()
    seen = {
        item
        for other, item in zip(
            pairs["query_id"].to_pylist(), pairs["item_id"].to_pylist(), strict=True
        )
        if other == query
    }
    assert seen
    scores = expected_scores(project, FIRST, FIRST, query)
    rest = {item: scores[item] for item in scores if item not in seen | {query}}
    recommender = Recommender(project.config)
    assert_ranked(recommender.recommend(query, 60, exclude_seen=True), rest, 60)
    assert len(recommender.recommend(query, 60)["results"]) == 59


def test_serving_reads_the_version_the_pointer_and_the_feast_stores_alone(
    project: Published,
) -> None:
    config, version = project.config, project.versions[FIRST]
    publish(config, FIRST)
    publish_query_features(config, FIRST)
    row = {"section": "section-2"}

    def answers() -> list[object]:
        recommender = Recommender(config)
        encoded = [encoder(config).encode(row) for encoder in (QueryEncoder, ItemEncoder)]
        return [
            recommender.recommend("item-000", 5, exclude_seen=True),
            recommender.recommend_to(row, 5),
            recommender.similar_to(row, 5),
            EmbeddingClient(config).lookup(["item-000"]),
            Neighbours(config).of_item("item-000", 3),
            [(vectors.version, vectors.vectors.tolist()) for vectors in encoded],
        ]

    # New objects answer the same after everything else in the home is gone.
    before = answers()
    for place in config.home.iterdir():
        if place.name not in ("published.json", "feast", "versions"):
            shutil.rmtree(place) if place.is_dir() else place.unlink()
    for folder in (config.home / "versions").iterdir():
        if folder.name != version:
            shutil.rmtree(folder)
    assert not (config.home / "runs").exists()
    assert answers() == before


def test_a_version_of_an_older_release_has_its_seen_items_in_the_run(project: Published) -> None:
    publish(project.config, FIRST)
    publish_query_features(project.config, FIRST)
    own = Recommender(project.config).recommend("item-000", 60, exclude_seen=True)
    VersionPaths(project.config, project.versions[FIRST]).seen_items.unlink()
    assert Recommender(project.config).recommend("item-000", 60, exclude_seen=True) == own
    shutil.rmtree(project.config.home / "runs")
    with pytest.raises(LongtailError, match="'item-000' has seen are not known"):
        Recommender(project.config).recommend("item-000", exclude_seen=True)


def test_a_damaged_file_of_seen_items_is_one_clear_error(project: Published) -> None:
    publish(project.config, FIRST)
    publish_query_features(project.config, FIRST)
    file = VersionPaths(project.config, project.versions[FIRST]).seen_items
    file.write_bytes(file.read_bytes()[:-20])
    recommender = Recommender(project.config)
    with pytest.raises(LongtailError, match=r"seen_items\.parquet cannot be read"):
        recommender.recommend("item-000", exclude_seen=True)
    assert recommender.recommend("item-000", 3)["results"]


def test_unknown_queries_and_nothing_published(project: Published) -> None:
    recommender = Recommender(project.config)
    with pytest.raises(LongtailError, match="nothing is published yet"):
        recommender.recommend("item-000")
    publish(project.config, FIRST)
    with pytest.raises(LongtailError, match="query 'item-000' has no online features"):
        recommender.recommend("item-000")
    publish_query_features(project.config, FIRST)
    assert len(recommender.recommend("item-000", 3)["results"]) == 3
    for query in ("no-such-query", "", "\0"):
        with pytest.raises(LongtailError, match="has no online features: check its id"):
            recommender.recommend(query)
    with pytest.raises(InputError, match="is not a string"):
        recommender.recommend(7)  # type: ignore[arg-type]


def test_several_queries_in_one_call_with_filters(project: Published) -> None:
    publish(project.config, FIRST)
    publish_query_features(project.config, FIRST)
    recommender = Recommender(project.config)
    allowed = {f"item-{number:03}" for number in range(40)}
    queries = ["item-002", "item-000"]
    answer = recommender.recommend_many(queries, 5, exclude=["item-011"], allowed=allowed)
    assert list(answer["results"]) == queries
    for query in queries:
        scores = expected_scores(project, FIRST, FIRST, query)
        kept = {i: scores[i] for i in allowed - {query, "item-011"} if i in scores}
        assert_ranked({"results": answer["results"][query]}, kept, 5)
        alone = recommender.recommend(query, 5, exclude=["item-011"], allowed=allowed)
        assert [r["item"] for r in alone["results"]] == [
            r["item"] for r in answer["results"][query]
        ]
    with pytest.raises(InputError, match="name at least one query"):
        recommender.recommend_many([])


def test_queries_and_items_that_were_never_trained(served: Published) -> None:
    """Rows are given by features; the towers of the version and brute force rank the items."""
    recommender = Recommender(served.config)
    rows = [{"query_id": "new", "section": "section-2", "words": ["words-1", "words-8"]}, {}]
    new_items = [{"item_id": "new", **rows[0]}, {}]
    del new_items[0]["query_id"]
    calls = (
        (recommender.recommend_to, QueryEncoder, rows),
        (recommender.similar_to, ItemEncoder, new_items),
    )
    answers = []
    for call, encoder, given in calls:
        answer = call(given, 7, exclude=["item-020"])
        assert answer["version"] == served.versions[FIRST]
        vectors = encoder(served.config).encode(given).vectors
        for vector, results in zip(vectors, answer["results"], strict=True):
            scores = {i: float(vector @ other) for i, other in served.vectors(FIRST).items()}
            del scores["item-020"]
            assert_ranked({"results": results}, scores, 7)
        answers.append([result["item"] for result in answer["results"][0]])
    assert answers[0] != answers[1]  # the two towers differ


@pytest.mark.slow
def test_serving_needs_no_torchrec() -> None:
    program = (
        "import sys, longtail.serving.recommend, longtail.serving.client\n"
        "print(sorted({'torchrec', 'fbgemm_gpu', 'dagster'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
