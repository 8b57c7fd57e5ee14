"""Weights from item to item, and their votes, compared with plain loops and planted links."""

import numpy as np
import pytest
from scipy import sparse

from longtail.config.memory import MemoryConfig
from longtail.memory.item_votes import count_item_votes, links_of
from longtail.memory.item_weights import KINDS, Kind, all_item_weights, item_weights
from longtail.memory.votes import QueryLinks, group_links

NUM_QUERIES, NUM_ITEMS = 60, 25
EVERYTHING = MemoryConfig(item_weights=1000, max_ease_items=1000)


def random_links(seed: int = 0) -> QueryLinks:
    drawn = np.random.default_rng(seed).random((NUM_QUERIES, NUM_ITEMS)) < 0.15
    drawn[:, -2:] = False
    return group_links(*np.nonzero(drawn), num_items=NUM_ITEMS, max_queries=1000)[1]


def dense(links: QueryLinks) -> np.ndarray:
    matrix = np.zeros((links.num_queries, NUM_ITEMS))
    matrix[np.repeat(np.arange(links.num_queries), np.diff(links.offsets)), links.items] = 1.0
    return matrix


def test_ease_is_the_closed_form() -> None:
    links = random_links()
    weights = all_item_weights(links, ["ease"], NUM_ITEMS, EVERYTHING)["ease"].toarray()
    known = dense(links)[:, :-2]
    inverse = np.linalg.inv(known.T @ known + 100.0 * np.eye(known.shape[1]))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(weights[:-2, :-2], expected, atol=1e-6)
    # Items without links have no weight for anything, and nothing has one for them.
    assert not weights[-2:].any()
    assert not weights[:, -2:].any()


def test_ease_knows_the_items_with_most_links() -> None:
    links = random_links()
    counts = np.bincount(links.items, minlength=NUM_ITEMS)
    most = np.sort(np.argsort(-counts, kind="stable")[:10])
    config = EVERYTHING.model_copy(update={"max_ease_items": 10})
    weights = all_item_weights(links, ["ease"], NUM_ITEMS, config)["ease"].toarray()
    assert np.flatnonzero(weights.any(axis=1)).tolist() == most.tolist()
    assert np.flatnonzero(weights.any(axis=0)).tolist() == most.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_each_item_keeps_its_largest_weights(kind: Kind) -> None:
    links = random_links()
    config = EVERYTHING.model_copy(update={"item_weights": 4})
    whole = all_item_weights(links, [kind], NUM_ITEMS, EVERYTHING)[kind].toarray()
    pruned = all_item_weights(links, [kind], NUM_ITEMS, config)[kind].toarray()
    for row, kept in zip(whole, pruned, strict=True):
        largest = np.argsort(-np.abs(row), kind="stable")[:4]
        expected = np.zeros(NUM_ITEMS)
        expected[largest] = row[largest]
        np.testing.assert_array_equal(kept, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_no_link_votes_for_itself(kind: Kind) -> None:
    """Of two planted items that one query alone has, each gets its vote from the other."""
    pairs = {(query, query % 7) for query in range(40)} | {(query, 20) for query in range(0, 40, 3)}
    planted = sorted(pairs | {(50, 10), (50, 11), (51, 12)})
    links = group_links(*np.array(planted).T, num_items=NUM_ITEMS, max_queries=1000)[1]
    weights = all_item_weights(links, [kind], NUM_ITEMS, EVERYTHING)[kind]
    assert not weights.diagonal().any()
    asked = QueryLinks(np.array([0, 1, 2]), np.array([10, 12], np.int32))
    votes = count_item_votes(asked, weights, power=1.0)
    # Item 12 is alone in its query, so it speaks for nothing.
    assert list(zip(votes.row.tolist(), votes.item.tolist(), strict=True)) == [(0, 11)]


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_votes_are_those_of_a_plain_loop(power: float) -> None:
    links = random_links(1)
    weights = np.random.default_rng(2).normal(size=(NUM_ITEMS, NUM_ITEMS)).astype(np.float32)
    votes = count_item_votes(links, sparse.csr_array(weights), power=power)
    expected = {}
    for query in range(links.num_queries):
        own = links.items[links.offsets[query] : links.offsets[query + 1]]
        for item in range(NUM_ITEMS):
            vote = sum(float(weights[each, item]) for each in own)
            if vote > 0.0:
                expected[query, item] = vote**power
    found = zip(votes.row.tolist(), votes.item.tolist(), votes.value.tolist(), strict=True)
    assert {(row, item): value for row, item, value in found} == pytest.approx(expected, rel=1e-4)


def test_links_of_some_queries() -> None:
    links = QueryLinks(np.array([0, 2, 2, 5]), np.array([3, 4, 0, 1, 2], np.int32))
    some = links_of(links, np.array([2, -1, 1, 0, 2]))
    assert some.offsets.tolist() == [0, 3, 3, 3, 5, 8]
    assert some.items.tolist() == [0, 1, 2, 3, 4, 0, 1, 2]


def test_a_catalogue_without_links_has_no_weights() -> None:
    none = QueryLinks(np.array([0]), np.empty(0, np.int32))
    assert all_item_weights(none, KINDS, NUM_ITEMS, EVERYTHING) == {}
    off = EVERYTHING.model_copy(update={"item_weights": 0})
    assert all_item_weights(random_links(), KINDS, NUM_ITEMS, off) == {}
    empty = sparse.csr_array((3, NUM_ITEMS), dtype=np.float32)
    assert not item_weights(empty, "ease", num_weights=5, max_ease_items=5).nnz
