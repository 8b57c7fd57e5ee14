"""The vectorised metrics, against plain loops that share no code with them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.evaluation.baselines.untuned import popularity_ranks, random_metrics
from longtail.evaluation.held_out import HeldOut
from longtail.evaluation.metrics import metrics_by_slice, retrieval_metrics, similarity_ranks
from tests.evaluation.questions import made_up, shown_ranking


def looped_metrics(
    held_out: HeldOut, rankings: list[list[int]], inside: set[int], k: int
) -> tuple[float, float]:
    """Return recall@k and MAP@k, computed query by query as METHOD.md defines them."""
    num_found = num_pairs = 0
    averages = []
    for query, ranking in enumerate(rankings):
        right = {
            int(item)
            for asker, item in zip(held_out.pair_query, held_out.pair_item, strict=True)
            if asker == query and int(item) in inside
        }
        if not right:
            continue
        found, precisions = 0, 0.0
        for place, item in enumerate(ranking[:k], start=1):
            if item in right:
                found += 1
                precisions += found / place
        num_found += found
        num_pairs += len(right)
        averages.append(precisions / min(len(right), k))
    if not averages:
        return 0.0, 0.0
    return num_found / num_pairs, sum(averages) / len(averages)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_queries=st.integers(1, 9),
    num_items=st.integers(1, 120),
    sparsity=st.sampled_from([0.0, 0.05, 0.6]),
    batch=st.integers(1, 5),
)
def test_ranks_and_metrics_equal_loops(
    seed: int, num_queries: int, num_items: int, sparsity: float, batch: int
) -> None:
    held_out = made_up(seed, num_queries, num_items, sparsity)
    generator = np.random.default_rng(seed)
    # With small whole numbers, scores are exact and many are equal.
    queries = generator.integers(-2, 3, (num_queries, 3)).astype(np.float32)
    items = generator.integers(-2, 3, (num_items, 3)).astype(np.float32)
    ranks = similarity_ranks(queries, items, held_out, query_batch_size=batch)
    rankings = [
        shown_ranking(held_out, query, [float(np.dot(queries[query], item)) for item in items])
        for query in range(num_queries)
    ]
    expected = [
        rankings[query].index(item) + 1
        for query, item in zip(held_out.pair_query, held_out.pair_item, strict=True)
    ]
    assert ranks.tolist() == expected

    # Any masks will do, such as these, where the cold items are some of the tail.
    inside = generator.random(num_items) < 0.5
    slices = {
        "overall": np.ones(num_items, bool),
        "head": inside,
        "tail": ~inside,
        "cold": ~inside & (generator.random(num_items) < 0.5),
    }
    metrics = metrics_by_slice(ranks, held_out, slices)
    assert list(metrics) == list(slices)
    for name, mask in slices.items():
        for k in (10, 50):
            recall, precision = looped_metrics(
                held_out, rankings, set(np.flatnonzero(mask).tolist()), k
            )
            assert metrics[name][f"recall@{k}"] == pytest.approx(recall, abs=1e-12)
            assert metrics[name][f"map@{k}"] == pytest.approx(precision, abs=1e-12)
        assert metrics[name]["num_pairs"] == mask[held_out.pair_item].sum()


def test_metrics_by_hand() -> None:
    # Query 0: items at ranks 1 and 4, AP@10 = (1/1 + 2/4) / 2. Query 1: rank 20, nothing in the
    # first 10, AP@50 = 1/20.
    metrics = retrieval_metrics(np.array([4, 1, 20]), np.array([0, 0, 1]))
    assert metrics == {
        "num_pairs": 3,
        "recall@10": pytest.approx(2 / 3),
        "map@10": pytest.approx(0.75 / 2),
        "recall@50": 1.0,
        "map@50": pytest.approx((0.75 + 0.05) / 2),
    }


def test_average_precision_is_over_at_most_k_items() -> None:
    ranks = np.arange(1, 21)  # 20 right items fill the first 20 places
    metrics = retrieval_metrics(ranks, np.zeros(20, np.int64))
    assert metrics["map@10"] == 1.0
    assert metrics["recall@10"] == 0.5


def test_an_empty_slice_has_zeros() -> None:
    nothing = np.empty(0, np.int64)
    zeros = {"num_pairs": 0, "recall@10": 0.0, "recall@50": 0.0, "map@10": 0.0, "map@50": 0.0}
    assert retrieval_metrics(nothing, nothing) == zeros
    held_out = made_up(0, num_queries=2, num_items=5)
    assert random_metrics(held_out, np.zeros(len(held_out.pair_item), bool)) == zeros


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), num_queries=st.integers(1, 8), num_items=st.integers(1, 80))
def test_popularity_ranks_equal_one_shuffled_list(
    seed: int, num_queries: int, num_items: int
) -> None:
    held_out = made_up(seed, num_queries, num_items)
    train_count = np.random.default_rng(seed).integers(0, 4, num_items)
    ranks = popularity_ranks(held_out, train_count, seed=3)
    shuffled = np.random.default_rng(3).permutation(num_items)
    scores = [
        float(count) - place / num_items for count, place in zip(train_count, shuffled, strict=True)
    ]
    for rank, query, item in zip(ranks, held_out.pair_query, held_out.pair_item, strict=True):
        assert shown_ranking(held_out, int(query), scores).index(item) + 1 == rank


def test_random_ranking_equals_the_mean_over_shuffled_rankings() -> None:
    held_out = made_up(1, num_queries=4, num_items=90, sparsity=0.08)
    chosen = held_out.pair_item % 3 != 0
    expected = random_metrics(held_out, chosen)
    generator = np.random.default_rng(0)
    inside = {item for item in range(90) if item % 3 != 0}
    draws = []
    for _ in range(4_000):
        scores = generator.random(90).tolist()
        rankings = [shown_ranking(held_out, query, scores) for query in range(4)]
        draws.append([looped_metrics(held_out, rankings, inside, k) for k in (10, 50)])
    mean = np.mean(draws, axis=0)
    error = 4 * np.std(draws, axis=0) / np.sqrt(len(draws))
    for row, k in enumerate((10, 50)):
        assert abs(expected[f"recall@{k}"] - mean[row, 0]) < error[row, 0]
        assert abs(expected[f"map@{k}"] - mean[row, 1]) < error[row, 1]
    assert expected["num_pairs"] == chosen.sum()
