"""Embedding health, against loops in float64 and against scipy."""

import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from longtail.evaluation import health
from longtail.evaluation.coverage import RETRIEVED, ranks_and_retrievals
from longtail.evaluation.health import (
    alignment,
    effective_rank,
    embedding_health,
    rank_correlation,
    uniformity,
)
from longtail.evaluation.slices import item_slices
from tests.evaluation.questions import made_up, shown_ranking

NUM_QUERIES, NUM_ITEMS, DIM = 11, 640, 6


def unit_vectors(num_rows: int, dim: int, seed: int) -> np.ndarray:
    """Return unit vectors around a common direction, some directions wider than others."""
    generator = np.random.default_rng(seed)
    points = generator.normal(size=(num_rows, dim)) * np.geomspace(1.0, 0.05, dim) + 0.3
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def squared_distance(a: np.ndarray, b: np.ndarray) -> float:
    return sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True))


def looped_uniformity(vectors: np.ndarray) -> float:
    terms = [
        math.exp(-2.0 * squared_distance(vectors[i], vectors[j]))
        for i in range(len(vectors))
        for j in range(i)
    ]
    return math.log(sum(terms) / len(terms))


def looped_effective_rank(vectors: np.ndarray) -> float:
    """Compute it from the singular values of the centred matrix, not from the scatter matrix."""
    points = vectors.astype(np.float64)
    values = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    entropy = -sum(v / values.sum() * math.log(v / values.sum()) for v in values if v > 0)
    return math.exp(entropy)


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    held_out = made_up(5, NUM_QUERIES, NUM_ITEMS, sparsity=0.02)
    generator = np.random.default_rng(5)
    inputs: dict[str, Any] = {
        "query_vectors": unit_vectors(NUM_QUERIES, DIM, 1),
        "item_vectors": unit_vectors(NUM_ITEMS, DIM, 2),
        "held_out": held_out,
        "train_count": generator.poisson(generator.exponential(2.0, NUM_ITEMS)),
        "item_norms": generator.gamma(3.0, size=NUM_ITEMS).astype(np.float32),
        "seed": 4,
    }
    inputs["slices"] = item_slices(inputs["train_count"], 0.1)
    _, inputs["times_retrieved"] = ranks_and_retrievals(
        inputs["query_vectors"], inputs["item_vectors"], held_out
    )
    return inputs


def test_every_slice_equals_loops(measured: dict[str, Any]) -> None:
    document = embedding_health(**measured)
    queries, items, held_out = (
        measured[name] for name in ("query_vectors", "item_vectors", "held_out")
    )
    # The items that any query has among its first 50, by sorting all scores.
    retrieved: set[int] = set()
    for query in range(NUM_QUERIES):
        scores = [float(score) for score in items @ queries[query]]
        retrieved.update(shown_ranking(held_out, query, scores)[:RETRIEVED])
    assert set(document["slices"]) == {"overall", "head", "tail", "cold"}
    for name, members in measured["slices"].items():
        inside = [item for item in range(NUM_ITEMS) if members[item]]
        distances = [
            squared_distance(queries[query], items[item])
            for query, item in zip(held_out.pair_query, held_out.pair_item, strict=True)
            if members[item]
        ]
        missed = [item for item in inside if item not in retrieved]
        assert 0 < len(missed) < len(inside)
        assert document["slices"][name] == {
            "num_items": len(inside),
            "uniformity": pytest.approx(looped_uniformity(items[inside]), abs=1e-9),
            "alignment": pytest.approx(sum(distances) / len(distances), abs=1e-9),
            "never_retrieved": pytest.approx(len(missed) / len(inside), abs=1e-12),
        }
    assert document["dim"] == DIM
    assert document["effective_rank"] == pytest.approx(looped_effective_rank(items), rel=1e-6)


def test_popularity_correlations_equal_scipys(measured: dict[str, Any]) -> None:
    document = embedding_health(**measured)["popularity_correlation"]
    items = measured["item_vectors"].astype(np.float64)
    mean = items.mean(axis=0)
    cosines = [item @ mean / (np.linalg.norm(item) * np.linalg.norm(mean)) for item in items]
    for name, values in (
        ("times_retrieved", measured["times_retrieved"]),
        ("mean_similarity", cosines),
        ("norm", measured["item_norms"]),
    ):
        expected = stats.spearmanr(measured["train_count"], values).statistic
        assert document[name] == pytest.approx(expected, abs=1e-4)
    without_norms = embedding_health(**{**measured, "item_norms": None})
    assert without_norms["popularity_correlation"]["norm"] is None


def test_rank_correlation_by_hand_and_with_ties() -> None:
    assert rank_correlation(np.array([1, 2, 3]), np.array([10.0, 20.0, 90.0])) == pytest.approx(1)
    assert rank_correlation(np.array([1, 2, 3]), np.array([5, 0, -5])) == pytest.approx(-1)
    # Ranks (1.5, 1.5, 3) and (1, 2, 3), centred (-.5, -.5, 1) and (-1, 0, 1).
    expected = 1.5 / math.sqrt(1.5 * 2.0)
    assert rank_correlation(np.array([4, 4, 9]), np.array([1, 2, 3])) == pytest.approx(expected)
    generator = np.random.default_rng(0)
    first, second = generator.integers(4, size=500), generator.integers(9, size=500) // 2
    assert rank_correlation(first, second) == pytest.approx(
        stats.spearmanr(first, second).statistic, abs=1e-12
    )
    assert rank_correlation(np.zeros(5), np.arange(5)) is None
    assert rank_correlation(np.arange(1), np.arange(1)) is None
    assert rank_correlation(np.empty(0), np.empty(0)) is None


def test_uniformity_of_known_shapes() -> None:
    opposite = np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32)
    assert uniformity(opposite) == pytest.approx(-8.0)  # one pair, |x - y|^2 = 4
    right_angle = np.eye(3, dtype=np.float32)
    assert uniformity(right_angle) == pytest.approx(-4.0)
    # Independent directions: -4 + 8 / dim up to terms of 1 / dim^2.
    points = np.random.default_rng(0).normal(size=(2_000, 200))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    assert uniformity(points.astype(np.float32)) == pytest.approx(-4.0 + 8.0 / 200, abs=2e-3)


def test_uniformity_is_measured_on_a_bounded_sample(
    measured: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = embedding_health(**measured)["slices"]
    monkeypatch.setattr(health, "MAX_UNIFORMITY_ITEMS", 300)
    sampled = embedding_health(**measured)["slices"]
    assert measured["slices"]["head"].sum() < 300 < measured["slices"]["tail"].sum()
    assert sampled["head"] == whole["head"]
    assert sampled["tail"]["uniformity"] != whole["tail"]["uniformity"]
    assert sampled["tail"]["uniformity"] == pytest.approx(whole["tail"]["uniformity"], abs=0.2)
    assert sampled["tail"]["num_items"] == whole["tail"]["num_items"]
    other_seed = embedding_health(**{**measured, "seed": 5})["slices"]
    assert sampled["tail"]["uniformity"] != other_seed["tail"]["uniformity"]
    members = np.random.default_rng(0).random(2_000) < 0.5
    chosen = health._sample(members, seed=0)
    assert len(set(chosen.tolist())) == 300
    assert members[chosen].all()


def test_effective_rank_of_known_shapes() -> None:
    # The corners of a cube in the first three of five directions have three equal singular values,
    # also when the cube is moved away from the origin.
    corners = np.array([[x, y, z, 0, 0] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    for shift in (0.0, 7.0):
        cube = (corners + shift).astype(np.float32)
        assert effective_rank(cube, cube.mean(axis=0, dtype=np.float64)) == pytest.approx(3.0)
    line = np.outer(np.arange(9), [1.0, 2.0]).astype(np.float32)
    assert effective_rank(line, line.mean(axis=0, dtype=np.float64)) == pytest.approx(1.0)
    # Two singular values, 3 and 1: the entropy of (3/4, 1/4).
    cross = np.array([[3, 0], [-3, 0], [0, 1], [0, -1]], np.float32)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(cross, np.zeros(2)) == pytest.approx(math.exp(entropy))


def test_more_rows_than_one_batch(monkeypatch: pytest.MonkeyPatch, measured: Any) -> None:
    expected = embedding_health(**measured)
    monkeypatch.setattr(
        health, "_batches", lambda n: [slice(i, min(i + 7, n)) for i in range(0, n, 7)]
    )
    again = embedding_health(**measured)
    assert again["effective_rank"] == pytest.approx(expected["effective_rank"], rel=1e-9)
    for name, values in expected["slices"].items():
        assert again["slices"][name] == pytest.approx(values, rel=1e-12)
    correlation = expected["popularity_correlation"]
    assert again["popularity_correlation"] == pytest.approx(correlation, abs=1e-12)


def collapsed(num_items: int, num_queries: int = 3) -> dict[str, Any]:
    """Return inputs in which all item vectors are equal, and no item has an interaction."""
    held_out = made_up(1, num_queries, num_items)
    items = np.repeat(unit_vectors(1, DIM, 0), num_items, axis=0)
    queries = unit_vectors(num_queries, DIM, 1)
    train_count = np.zeros(num_items, np.int64)
    _, times_retrieved = ranks_and_retrievals(queries, items, held_out)
    return {
        "query_vectors": queries,
        "item_vectors": items,
        "held_out": held_out,
        "train_count": train_count,
        "times_retrieved": times_retrieved,
        "slices": item_slices(train_count, 0.1),
        "item_norms": np.full(num_items, 2.5, np.float32),
        "seed": 0,
    }


def test_a_collapsed_space_without_training() -> None:
    inputs = collapsed(800)
    document = embedding_health(**inputs)
    assert document["slices"]["overall"]["uniformity"] == pytest.approx(0.0, abs=1e-12)
    assert document["effective_rank"] == 0.0
    assert set(document["popularity_correlation"].values()) == {None}
    # All scores are equal: the first positions take the places, others are never retrieved.
    assert document["slices"]["overall"]["never_retrieved"] > 0.85
    assert document["slices"]["head"] == {
        "num_items": 0,
        "uniformity": None,
        "alignment": None,
        "never_retrieved": None,
    }
    # With different training counts, equal vectors still have no order.
    counts = embedding_health(**{**inputs, "train_count": np.arange(800)})
    assert counts["popularity_correlation"]["mean_similarity"] is None
    assert counts["popularity_correlation"]["norm"] is None
    json.dumps(document, allow_nan=False)


def test_rounding_is_no_order() -> None:
    # A matrix product rounds the last rows differently from the first ones.
    vectors = np.repeat(unit_vectors(1, 128, 0), 5_003, axis=0)
    similarity = health._similarity(vectors, vectors.mean(axis=0, dtype=np.float64))
    assert rank_correlation(np.arange(5_003), similarity) is None
    assert similarity == pytest.approx(1.0, abs=1e-6)


def test_a_catalogue_of_one_item() -> None:
    document = embedding_health(**collapsed(1, num_queries=1))
    assert document["slices"]["overall"]["uniformity"] is None
    assert document["slices"]["overall"]["never_retrieved"] == 0.0
    assert document["effective_rank"] == 0.0
    json.dumps(document, allow_nan=False)


def test_without_queries_nothing_can_be_retrieved() -> None:
    inputs = collapsed(4)
    nobody = made_up(1, 0, 4)
    document = embedding_health(
        **{**inputs, "query_vectors": np.empty((0, DIM), np.float32), "held_out": nobody}
    )
    assert document["slices"]["overall"]["never_retrieved"] is None
    assert document["slices"]["overall"]["alignment"] is None
    queries, items = inputs["query_vectors"], inputs["item_vectors"]
    assert alignment(queries, items, nobody, np.empty(0, bool)) is None


def test_the_same_figures_every_time(measured: dict[str, Any]) -> None:
    assert json.dumps(embedding_health(**measured)) == json.dumps(embedding_health(**measured))
