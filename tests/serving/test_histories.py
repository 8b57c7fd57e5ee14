"""Recommendations by histories: of known queries, of strangers, and across versions without them.

The versions are drawn at random. Scores are compared with the torch query tower and brute force.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from longtail.artifacts import RunPaths, VersionPaths
from longtail.config import HistoryConfig
from longtail.embeddings.publish import publish, publish_query_features
from longtail.encoder.torch_encoder import load_encoder
from longtail.errors import InputError
from longtail.features.encoding import encode_table
from longtail.features.feast.catalogue import build_catalogue
from longtail.features.schema import arrow_type
from longtail.features.vocabulary import build_vocabularies, load_vocabularies
from longtail.memory.settings import MemorySettings
from longtail.serving import QueryEncoder, Recommender
from longtail.serving.encoders import load_version_encoder
from longtail.serving.query_search import load_query_search
from tests.publications import DAYS, Published, make_project, make_version, moved

FIRST, SECOND, *_ = DAYS
LENGTH = 3


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Versions with histories of three items; the first day's is served."""
    project = make_project(tmp_path_factory.mktemp("histories"), history=LENGTH)
    publish_query_features(project.config, FIRST)
    publish(project.config, FIRST)
    return project


def scores_of(project: Published, row: dict[str, Any]) -> dict[str, float]:
    """Score all items for a row of raw query features, by the torch tower."""
    paths = VersionPaths(project.config, project.versions[FIRST])
    encoder = load_encoder(paths.folder)
    table = pa.table(
        {f.name: pa.array([row.get(f.name)], arrow_type(f)) for f in encoder.schema.query}
    )
    rows = encode_table(table, encoder.schema.query, load_vocabularies(paths.vocabularies))
    vector = encoder.encode("query", rows)[0]
    return {item: float(vector @ other) for item, other in project.vectors(FIRST).items()}


def assert_ranked(results: Any, scores: dict[str, float], k: int) -> None:
    best = sorted(scores, key=lambda item: -scores[item])[:k]
    assert [result["item"] for result in results] == best
    expected = [scores[item] for item in best]
    np.testing.assert_allclose([result["score"] for result in results], expected, atol=1e-5)


def newest(project: Published, query: str) -> list[str]:
    """The history of a query by a loop: all pairs have one moment, so the lower ids come first."""
    pairs = pq.read_table(RunPaths(project.config, FIRST).catalogue_files.interactions)
    return sorted(row["item_id"] for row in pairs.to_pylist() if row["query_id"] == query)[:LENGTH]


def test_a_known_query_is_encoded_with_its_published_history(project: Published) -> None:
    queries = pq.read_table(RunPaths(project.config, FIRST).catalogue_files.queries).to_pylist()
    row = next(row for row in queries if len(newest(project, row["query_id"])) == LENGTH)
    query = row["query_id"]
    scores = scores_of(project, {**row, "history": newest(project, query)})
    other = scores_of(project, {**row, "history": []})
    assert max(abs(scores[item] - other[item]) for item in scores) > 0.01
    del scores[query]
    # Items that were seen come back unless asked otherwise, as without histories.
    assert_ranked(Recommender(project.config).recommend(query, 9)["results"], scores, 9)


def test_a_stranger_has_nothing_but_a_history(project: Published) -> None:
    recommender = Recommender(project.config)
    history = ["item-003", "item-011"]
    scores = scores_of(project, {"history": history})
    rest = {item: score for item, score in scores.items() if item not in history}
    answer = recommender.recommend_to({"history": history}, 60)
    assert_ranked(answer["results"][0], rest, 60)
    shown = recommender.recommend_to({"history": history}, 60, exclude_history=False)
    assert_ranked(shown["results"][0], scores, 60)
    # As several rows, as a table, and beside other features.
    rows: list[dict[str, Any]] = [
        {"history": history},
        {"section": "section-2", "history": ["item-020"]},
        {},
    ]
    table = pa.table(
        {
            "history": pa.array([row.get("history") for row in rows], pa.list_(pa.string())),
            "section": [row.get("section") for row in rows],
        }
    )
    for given in (rows, table):
        several = recommender.recommend_to(given, 5, exclude=["item-001"])["results"]
        for row, results in zip(rows, several, strict=True):
            hidden = {*row.get("history", []), "item-001"}
            wanted = {i: s for i, s in scores_of(project, row).items() if i not in hidden}
            assert_ranked(results, wanted, 5)


def test_the_newest_items_of_a_long_history_count(project: Published) -> None:
    encoder = QueryEncoder(project.config)
    long = [f"item-{number:03}" for number in (4, 9, 2, 33, 18)]
    expected = encoder.encode({"history": long[:LENGTH]}).vectors
    np.testing.assert_array_equal(encoder.encode({"history": long}).vectors, expected)
    table = pa.table({"history": pa.array([long, None], pa.list_(pa.string()))})
    encoded = encoder.encode(table).vectors
    np.testing.assert_allclose(encoded[:1], expected, atol=1e-6)
    np.testing.assert_allclose(encoded[1:], encoder.encode({}).vectors, atol=1e-6)
    assert np.abs(encoder.encode({"history": long[2:]}).vectors - expected).max() > 0.01


def test_unknown_items_are_named(project: Published) -> None:
    recommender = Recommender(project.config)
    given = ["item-003", "no-such", "lost", "no-such", "item-011"]
    answer = recommender.recommend_session(given, 4)
    assert (answer["history"], answer["unknown"]) == (given, ["no-such", "lost"])
    # An unknown item says nothing, and takes none of the three places.
    scores = scores_of(project, {"history": ["item-003", "item-011"]})
    rest = {i: s for i, s in scores.items() if i not in ("item-003", "item-011")}
    assert_ranked(answer["results"], rest, 4)
    with pytest.raises(InputError, match="knows none of the items gone, lost: check their ids"):
        recommender.recommend_session(["gone", "lost"])
    with pytest.raises(InputError, match="name at least one item"):
        recommender.recommend_session([])


def test_the_command_takes_a_query_or_a_history(
    project: Published, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from tests.cli.test_commands import call

    config = project.config
    file = tmp_path / "longtail.yaml"
    paths = {"feature_repo": str(config.feature_repo), "home": str(config.home)}
    file.write_text(yaml.safe_dump({**paths, "history": {"length": LENGTH}}))

    def recommend(*arguments: str) -> tuple[int, str, str]:
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.delenv("LONGTAIL_HOME", raising=False)
            code = call(monkeypatch, "recommend", *arguments, "--config", file)
        return (code, *capfd.readouterr())

    code, shown, _ = recommend("--history", "item-003, no-such,item-011", "-k", "4", "--json")
    assert code == 0
    expected = Recommender(config).recommend_session(["item-003", "no-such", "item-011"], 4)
    assert json.loads(shown) == expected
    code, shown, _ = recommend("--history", "item-003,no-such")
    assert code == 0
    assert "left out: no-such" in " ".join(shown.split())
    for arguments in ([], ["item-003", "--history", "item-004"]):
        code, _, said = recommend(*arguments)
        assert code == 2
        assert "one of the two" in " ".join(said.split())


def test_versions_with_and_without_histories_follow_each_other(tmp_path: Path) -> None:
    """One is served while the catalogue and the features of the other kind are made."""
    project = make_project(tmp_path, history=0)
    off = project.config
    on = off.model_copy(update={"history": HistoryConfig(length=LENGTH)})
    publish_query_features(off, FIRST)
    publish(off, FIRST)
    recommender = Recommender(off)
    before = recommender.recommend("item-002", 5)
    with pytest.raises(InputError, match=r"trained without histories: set `history\.length`"):
        recommender.recommend_to({"history": ["item-003"]})
    with pytest.raises(InputError, match=r"trained without histories: set `history\.length`"):
        recommender.recommend_session(["item-003"])
    # Switched on: the served version answers as before, until the new one replaces it.
    build_catalogue(on, FIRST)
    build_vocabularies(on, FIRST)
    publish_query_features(on, FIRST)
    assert recommender.recommend("item-002", 5) == before
    make_version(on, FIRST, "0000abcd")
    publish(on, FIRST)
    with_history = recommender.recommend("item-002", 5)
    assert with_history["version"].endswith("abcd")
    session = recommender.recommend_to({"history": ["item-003"]})
    # Switched off again: the same the other way round.
    build_catalogue(off, SECOND)
    publish_query_features(off, SECOND)
    assert recommender.recommend_to({"history": ["item-003"]}) == session
    assert len(recommender.recommend("item-000", 5)["results"]) == 5
    publish(off, SECOND)
    assert recommender.recommend("item-002", 5)["version"] == project.versions[SECOND]
    with pytest.raises(InputError, match="trained without histories"):
        recommender.recommend_to({"history": ["item-003"]})


def test_the_items_of_a_session_vote_in_the_memory(project: Published, tmp_path: Path) -> None:
    config = moved(project, tmp_path).config
    settings = MemorySettings(*(0.6, 5, 0.2, 1.0, 0.1, 15), knn_share=0.5, ease_share=0.3)
    version = make_version(config, FIRST, "000000fe", memory=settings.to_json())
    publish(config, FIRST)
    history = ["item-003", "item-011"]
    answer = Recommender(config).recommend_to([{"history": history}, {}], 10)
    assert answer["version"] == version
    encoder, search = load_version_encoder(config, version), load_query_search(config, version)
    vectors = encoder.encode("query", [{"history": history}, {}]).vectors
    rows = np.array([search.catalogue.rows.find(item) for item in history])
    expected = search.search(
        vectors,
        10,
        exclude=[history, []],
        allowed=None,
        queries=[None, None],
        linked=[rows, rows[:0]],
    )
    assert answer["results"] == expected
    # Without them, known queries alone would vote.
    (silent,) = search.search(vectors[:1], 10, exclude=[history], allowed=None, queries=[None])
    assert silent != expected[0]
