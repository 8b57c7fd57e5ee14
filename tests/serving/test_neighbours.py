"""Neighbours compared with a brute-force ranking of the version's Parquet."""

import hashlib
from datetime import date
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longtail.artifacts import VersionPaths, read_json, write_json
from longtail.config import IndexConfig
from longtail.embeddings.index import make_index
from longtail.embeddings.publish import publish
from longtail.errors import InputError, LongtailError
from longtail.serving import catalogue_index
from longtail.serving.catalogue_index import CatalogueIndex, load_index
from longtail.serving.neighbours import Neighbours
from longtail.serving.vocabulary_rows import SortedValues
from tests.publications import DAYS, NEW, REMOVED, Published

FIRST, SECOND, *_ = DAYS


def ranking(
    project: Published, day: date, vector: npt.NDArray[np.float32]
) -> list[tuple[str, float]]:
    """Rank all items by their inner product with a vector, best first."""
    scores = {
        item: float(vector.astype(np.float64) @ other.astype(np.float64))
        for item, other in project.vectors(day).items()
    }
    return sorted(scores.items(), key=lambda pair: -pair[1])


def test_neighbours_are_the_nearest_others_of_the_served_version(project: Published) -> None:
    neighbours = Neighbours(project.config)
    with pytest.raises(LongtailError, match="nothing is published yet"):
        neighbours.of_item("item-000")
    for day, item in ((FIRST, REMOVED), (SECOND, NEW)):
        publish(project.config, day)
        answer = neighbours.of_item(item, 5)
        expected = [
            pair for pair in ranking(project, day, project.vectors(day)[item]) if pair[0] != item
        ]
        assert (answer["version"], answer["query"]) == (project.versions[day], item)
        assert [r["item"] for r in answer["results"]] == [name for name, _ in expected[:5]]
        np.testing.assert_allclose(
            [r["score"] for r in answer["results"]], [score for _, score in expected[:5]], atol=1e-6
        )
    with pytest.raises(LongtailError, match=f"'{REMOVED}' is not in the served version"):
        neighbours.of_item(REMOVED)


def test_more_neighbours_than_items(project: Published) -> None:
    publish(project.config, FIRST)
    neighbours = Neighbours(project.config)
    everything = neighbours.of_item("item-000", 1000)["results"]
    assert len(everything) == 59
    scores = [result["score"] for result in everything]
    assert scores == sorted(scores, reverse=True)
    with pytest.raises(InputError, match="ask for at least one"):
        neighbours.of_item("item-000", 0)


def test_excluded_items_make_room_for_others(project: Published) -> None:
    index = load_index(project.config, project.versions[FIRST])
    vector = project.vectors(FIRST)["item-010"]
    best = [name for name, _ in ranking(project, FIRST, vector)]
    found = index.search(vector[None], 4, exclude=[best[0], best[2], "no-such-item"])[0]
    assert [result["item"] for result in found] == [best[1], *best[3:6]]


def test_a_vector_of_another_version_is_not_compared(project: Published) -> None:
    publish(project.config, FIRST)
    neighbours = Neighbours(project.config)
    version, vector = project.versions[FIRST], project.vectors(FIRST)["item-010"]
    assert neighbours.of_vector(version, vector, 1)[0]["item"] == "item-010"
    with pytest.raises(LongtailError, match="the vector has 3 values"):
        neighbours.of_vector(version, vector[:3], 1)
    publish(project.config, SECOND)
    with pytest.raises(LongtailError, match="the two cannot be compared"):
        neighbours.of_vector(version, vector, 1)


def test_a_damaged_index_is_one_clear_error(project: Published) -> None:
    publish(project.config, FIRST)
    paths = VersionPaths(project.config, project.versions[FIRST])
    content = paths.index.read_bytes()
    paths.index.write_bytes(content[: len(content) // 2])
    with pytest.raises(LongtailError, match=r"items\.faiss is not the file that was committed"):
        Neighbours(project.config).of_item("item-000")
    # The same file with its own hash in the manifest is refused for its content.
    manifest = read_json(paths.manifest)
    manifest["files"]["items.faiss"] = hashlib.sha256(paths.index.read_bytes()).hexdigest()
    write_json(paths.manifest, manifest)
    with pytest.raises(LongtailError, match=r"items\.faiss cannot be read"):
        Neighbours(project.config).of_item("item-000")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CatalogueIndex]:
    """Put the same 3,000 vectors into a flat index and a graph, for tests that only read."""
    vectors = np.random.default_rng(0).standard_normal((3_000, 12)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    items = pa.array([f"item-{number:05}" for number in range(len(vectors))])
    found = {}
    for kind in ("flat", "hnsw"):
        file = tmp_path_factory.mktemp(kind) / "items.faiss"
        faiss.write_index(make_index(IndexConfig(kind=kind), vectors), str(file))
        index = faiss.read_index(str(file))
        flat = faiss.downcast_index(index.storage) if kind == "hnsw" else index
        found[kind] = CatalogueIndex("v", items, index, flat, SortedValues(items))
    return found


def brute_force(
    index: CatalogueIndex,
    query: npt.NDArray[np.float32],
    exclude: set[str],
    allowed: set[str] | None,
) -> list[str]:
    items = index.items.to_pylist()
    scores = index.vectors_of(items).astype(np.float64) @ query.astype(np.float64)
    return [
        items[row]
        for row in np.argsort(-scores)
        if items[row] not in exclude and (allowed is None or items[row] in allowed)
    ]


def scores_of(
    index: CatalogueIndex, query: npt.NDArray[np.float32], items: list[str]
) -> npt.NDArray[np.float64]:
    if not items:
        return np.empty(0)
    return index.vectors_of(items).astype(np.float64) @ query.astype(np.float64)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_filters_are_exact_against_brute_force(
    large: dict[str, CatalogueIndex], monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    """All ways are exact: a wider search, scoring of the allowed items, a scan by bitmap."""
    monkeypatch.setattr(catalogue_index, "FEW_HIDDEN", data.draw(st.sampled_from([0, 200])))
    monkeypatch.setattr(catalogue_index, "FEW_ALLOWED", data.draw(st.sampled_from([0, 20_000])))
    random = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    index = large["flat"]
    queries = random.standard_normal((2, 12)).astype(np.float32)

    def some(size: int) -> set[str]:
        rows = random.choice(len(index.items), size, replace=False)
        return {index.items[int(row)].as_py() for row in rows}

    # Near items are excluded, too, because excluding only far ones would change no result.
    exclude = some(data.draw(st.sampled_from([0, 5, 700]))) | set(
        brute_force(index, queries[0], set(), None)[: data.draw(st.sampled_from([0, 30, 250]))]
    )
    size = data.draw(st.sampled_from([None, 0, 1, 40, 2_500]))
    allowed = None if size is None else some(size)
    k = data.draw(st.sampled_from([1, 10, 3_000]))
    found = index.search(
        queries, k, exclude=exclude | {"no-such"}, allowed=allowed and {*allowed, "nor-this"}
    )
    for query, results in zip(queries, found, strict=True):
        expected = brute_force(index, query, exclude, allowed)[:k]
        items = [result["item"] for result in results]
        assert len(set(items)) == len(items) == len(expected)
        # Items with scores that are equal in float32 may change places.
        assert scores_of(index, query, items) == pytest.approx(
            scores_of(index, query, expected), abs=1e-6
        )
        assert not exclude.intersection(items)
        assert allowed is None or allowed.issuperset(items)
        scores = [result["score"] for result in results]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("few_allowed", [0, 20_000])
@pytest.mark.parametrize("num_allowed", [40, 600, 2_900])
def test_a_graph_gives_as_many_as_asked_for_under_filters(
    large: dict[str, CatalogueIndex],
    monkeypatch: pytest.MonkeyPatch,
    few_allowed: int,
    num_allowed: int,
) -> None:
    """Items are scored, scanned (40 of 3,000 are too few to walk) or walked to; few are missed."""
    monkeypatch.setattr(catalogue_index, "FEW_ALLOWED", few_allowed)
    index = large["hnsw"]
    assert index.index is not index.flat
    random = np.random.default_rng(1)
    allowed = {f"item-{row:05}" for row in random.choice(3_000, num_allowed, replace=False)}
    exclude = set(sorted(allowed)[:5])
    queries = random.standard_normal((20, 12)).astype(np.float32)
    hits = 0
    for query, results in zip(
        queries, index.search(queries, 30, exclude=exclude, allowed=allowed), strict=True
    ):
        names = [result["item"] for result in results]
        assert len(names) == len(set(names)) == 30
        assert set(names) <= allowed - exclude
        hits += len(set(names) & set(brute_force(index, query, exclude, allowed)[:30]))
    exact = few_allowed > 0 or num_allowed == 40
    assert hits == 600 if exact else hits > 570


def test_a_walk_that_finds_too_little_is_completed_by_a_scan(
    large: dict[str, CatalogueIndex],
) -> None:
    """No walk of a graph finds as many items as there are."""
    index, query = large["hnsw"], np.ones((1, 12), np.float32)
    names = [result["item"] for result in index.search(query, 3_000)[0]]
    assert names == brute_force(index, query[0], set(), None)


def test_several_items_and_vectors_in_one_call(project: Published) -> None:
    publish(project.config, FIRST)
    neighbours = Neighbours(project.config)
    items = ["item-003", "item-050", "item-003"]
    answer = neighbours.of_items(items, 4, exclude=["item-010"])
    assert list(answer["results"]) == ["item-003", "item-050"]
    vectors = np.stack([project.vectors(FIRST)[item] for item in items])
    lists = neighbours.of_vectors(answer["version"], vectors, 5, exclude=["item-010"])
    for item, results in zip(items, lists, strict=True):
        alone = neighbours.of_item(item, 4, exclude=["item-010"])["results"]
        assert [r["item"] for r in answer["results"][item]] == [r["item"] for r in alone]
        assert [r["item"] for r in results] == [item, *(r["item"] for r in alone)]
    only = neighbours.of_item("item-003", 4, allowed=["item-001", "item-003", "no-such"])
    assert [r["item"] for r in only["results"]] == ["item-001"]
    assert neighbours.of_item("item-003", 4, allowed=[])["results"] == []


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda n, v: n.of_items([], 3), InputError, "name at least one item"),
        (lambda n, v: n.of_item(7, 3), InputError, "7 is not a string"),
        (lambda n, v: n.of_item("a\0", 3), LongtailError, "is not in the served version"),
        (lambda n, v: n.of_item("\ud800", 3), InputError, "not valid Unicode"),
        (lambda n, v: n.of_item("item-000", 3, exclude="item-001"), InputError, "`exclude` must"),
        (lambda n, v: n.of_item("item-000", 3, allowed=[7]), InputError, "`allowed` must"),
        (lambda n, v: n.of_vector(v, np.full(8, np.nan), 3), LongtailError, "not finite"),
    ],
)
def test_what_cannot_be_asked_is_one_clear_error(
    served: Published, call: Any, error: type[Exception], message: str
) -> None:
    neighbours = Neighbours(served.config)
    with pytest.raises(error, match=message):
        call(neighbours, served.versions[FIRST])
    assert neighbours.of_item("item-000", 3)["results"]
