"""Votes and mixtures compared with plain loops, and their limits."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from longtail.memory.item_votes import links_of
from longtail.memory.item_weights import KINDS
from longtail.memory.mixture import best_first, items_to_mix, join, mix, rank_in_rows
from longtail.memory.nearest_queries import make_query_index, nearest_queries
from longtail.memory.settings import MemorySettings
from longtail.memory.voters import head_items, voters_of, votes_of
from longtail.memory.votes import Entries, QueryLinks, count_votes, group_links
from tests.memory.plain import probabilities

NUM_ITEMS, NUM_KNOWN, DIM = 40, 25, 6
SETTINGS = MemorySettings(0.4, 5, 0.3, 1.0, 0.2, 12)


def unit(generator: np.random.Generator, size: int) -> Any:
    vectors = generator.normal(size=(size, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Case:
    """Random vectors and links; the first known queries ask. Items from 30 on have no links."""

    def __init__(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self.items, self.known = unit(generator, NUM_ITEMS), unit(generator, NUM_KNOWN)
        links = generator.random((NUM_KNOWN, NUM_ITEMS)) < 0.15
        links[:, 30:] = False
        links[:, 0] |= ~links.any(axis=1)
        _, self.links = group_links(*np.nonzero(links), num_items=NUM_ITEMS, max_queries=100)
        self.items_of = [np.flatnonzero(row).tolist() for row in links]
        self.hidden = generator.random((NUM_KNOWN, NUM_ITEMS)) < 0.2
        # Weights of either sign, between items with links.
        self.weights = {}
        for kind in KINDS:
            drawn = np.where(generator.random((30, 30)) < 0.3, generator.normal(size=(30, 30)), 0.0)
            np.fill_diagonal(drawn, 0.0)
            self.weights[kind] = np.zeros((NUM_ITEMS, NUM_ITEMS), np.float32)
            self.weights[kind][:30, :30] = drawn
        self.sparse_weights = {k: sparse.csr_array(own) for k, own in self.weights.items()}

    def mixed(self, settings: MemorySettings, num_queries: int) -> Entries:
        queries = self.known[:num_queries]
        scores = np.where(self.hidden[:num_queries], -np.inf, queries @ self.items.T)
        candidate = np.argsort(-scores, axis=1, kind="stable")[:, : settings.num_candidates]
        score = np.take_along_axis(scores, candidate, axis=1)
        index = make_query_index(self.known, "fp32")
        itself = np.arange(num_queries)
        nearest = nearest_queries(index, queries, settings.num_neighbours, itself)
        linked = links_of(self.links, itself)
        shares = voters_of(settings)
        votes = []
        for voter in shares:
            own = votes_of(voter, nearest, self.links, linked, self.sparse_weights, NUM_ITEMS)
            shown = ~self.hidden[own.row, own.item]
            votes.append(Entries(own.row[shown], own.item[shown], own.value[shown]))
        num_links = np.bincount(self.links.items, minlength=NUM_ITEMS)
        candidate = np.where(np.isfinite(score), candidate, -1)
        row, item = items_to_mix(candidate, votes, NUM_ITEMS)
        parts = join(
            row,
            item,
            (queries @ self.items.T)[row, item],
            score,
            votes,
            num_items=NUM_ITEMS,
            temperature=settings.temperature,
        )
        head = head_items(num_links, settings.head_fraction)
        return mix(parts, num_links, head, list(shares.values()), settings)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(
    "others",
    [
        {},
        {"knn_share": 0.5},
        {"ease_share": 1.0, "power": 1.0},
        {"knn_share": 0.2, "ease_share": 0.5, "power": 2.0},
        {"knn_share": 0.3, "head_fraction": 0.1, "tail_factor": 2.0, "cold_factor": 3.0},
    ],
)
def test_a_mixture_is_that_of_a_plain_loop(
    seed: int, weight: float, others: dict[str, float]
) -> None:
    case, settings = Case(seed), replace(SETTINGS, weight=weight, **others)
    mixed = case.mixed(settings, NUM_KNOWN)
    for query in range(NUM_KNOWN):
        expected = probabilities(
            (case.items @ case.known[query]).tolist(),
            (case.known @ case.known[query]).tolist(),
            case.items_of,
            settings,
            itself=query,
            hidden=np.flatnonzero(case.hidden[query]).tolist(),
            linked=case.items_of[query],
            knn=case.weights["knn"].tolist(),
            ease=case.weights["ease"].tolist(),
        )
        own = mixed.row == query
        found = dict(zip(mixed.item[own].tolist(), mixed.value[own].tolist(), strict=True))
        assert found == pytest.approx(expected, rel=1e-5)
        # The ranks are the places of a sort.
        ordered = best_first(mixed)
        own = ordered.row == query
        assert (np.diff(ordered.value[own]) <= 0.0).all()
        ranks = rank_in_rows(mixed, ordered.row[own], ordered.item[own], absent=99)
        assert ranks.tolist() == list(range(1, own.sum() + 1))
        (missing,) = rank_in_rows(mixed, np.array([query]), np.array([NUM_ITEMS]), absent=99)
        assert missing == 99


def test_an_item_without_links_keeps_what_the_model_says_of_it() -> None:
    case = Case(0)
    alone = case.mixed(replace(SETTINGS, weight=0.0), NUM_KNOWN)
    mixed = case.mixed(replace(SETTINGS, weight=0.9), NUM_KNOWN)

    def cold(entries: Entries) -> dict[tuple[int, int], float]:
        chosen = entries.item >= 30
        keys = zip(entries.row[chosen].tolist(), entries.item[chosen].tolist(), strict=True)
        return dict(zip(keys, entries.value[chosen].tolist(), strict=True))

    assert cold(mixed)
    assert cold(mixed) == pytest.approx(cold(alone))


def test_a_query_does_not_vote_for_itself() -> None:
    index = make_query_index(np.eye(4, dtype=np.float32), "fp32")
    vectors = np.array([[0.9, 0.8, 0.1, 0.0], [0.9, 0.8, 0.1, 0.0]], np.float32)
    similarity, neighbour = nearest_queries(index, vectors, 3, np.array([1, -1]))
    assert neighbour.tolist() == [[0, 2, 3], [0, 1, 2]]
    np.testing.assert_allclose(similarity, [[0.9, 0.1, 0.0], [0.9, 0.8, 0.1]])


def test_fewer_known_queries_than_are_asked_for() -> None:
    index = make_query_index(np.eye(2, 3, dtype=np.float32), "fp32")
    vectors = np.array([[1.0, 0.5, 0.0]], np.float32)
    similarity, neighbour = nearest_queries(index, vectors, 4, np.array([0]))
    assert neighbour[0].tolist() == [1, -1, -1, -1]
    links = QueryLinks(np.array([0, 1, 3]), np.array([2, 0, 1], np.int32))
    votes = count_votes(similarity, neighbour, links, num_items=3, temperature=1.0)
    assert votes.item.tolist() == [0, 1]
    assert votes.value[0] == votes.value[1] > 0.0


NO_VOTES = Entries(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


def mixed_without_votes(candidate: Any, score: Any, scores: Any) -> Entries:
    row, item = items_to_mix(candidate, [NO_VOTES], 5)
    parts = join(row, item, scores, score, [NO_VOTES], num_items=5, temperature=0.2)
    head = np.zeros(5, np.bool_)
    return mix(parts, np.full(5, 9), head, [1.0], replace(SETTINGS, weight=1.0))


def test_a_row_without_votes_is_the_models_alone() -> None:
    candidate, score = np.array([[3, 1, -1]]), np.array([[0.2, 0.1, -np.inf]], np.float32)
    mixed = mixed_without_votes(candidate, score, np.array([0.1, 0.2], np.float32))
    assert best_first(mixed).item.tolist() == [3, 1]
    ratio = np.exp(0.1 / 0.2)
    expected = [1 / (1 + ratio), ratio / (1 + ratio)]
    np.testing.assert_allclose(mixed.value, expected, rtol=1e-6)


def test_a_row_without_an_item_is_empty() -> None:
    score = np.full((2, 3), -np.inf, np.float32)
    assert not len(mixed_without_votes(np.full((2, 3), -1), score, np.empty(0)).row)


def test_links_are_grouped_by_query_each_once() -> None:
    query, item = np.array([7, 3, 7, 7, 3, -1, 5]), np.array([4, 1, 4, 0, 2, 1, -1])
    known, links = group_links(query, item, num_items=5, max_queries=10)
    assert known.tolist() == [3, 7]
    assert links.offsets.tolist() == [0, 2, 4]
    assert links.items.tolist() == [1, 2, 0, 4]
    assert links.num_queries == 2


def test_of_too_many_queries_the_same_ones_are_kept() -> None:
    query = np.repeat(np.arange(50), 2)
    item = np.arange(100) % 7
    known, links = group_links(query, item, num_items=7, max_queries=10)
    again, _ = group_links(query[::-1], item[::-1], num_items=7, max_queries=10)
    assert len(known) == links.num_queries == 10
    assert known.tolist() == again.tolist() == sorted(known.tolist())


@pytest.mark.parametrize(("storage", "error"), [("fp32", 1e-7), ("fp16", 1e-3), ("int8", 0.02)])
def test_stored_vectors_are_near_enough(storage: Any, error: float) -> None:
    known = unit(np.random.default_rng(0), 200)
    exact, _ = nearest_queries(make_query_index(known, "fp32"), known, 20, np.full(200, -1))
    found, _ = nearest_queries(make_query_index(known, storage), known, 20, np.full(200, -1))
    np.testing.assert_allclose(found, exact, atol=error)


def test_settings_go_through_json() -> None:
    assert MemorySettings.from_json(SETTINGS.to_json()) == SETTINGS
