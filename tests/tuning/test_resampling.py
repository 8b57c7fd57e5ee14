"""The resampled objective against the objective itself, and against queries that really repeat."""

import numpy as np
import pytest

from longtail.evaluation.held_out import HeldOut
from longtail.evaluation.metrics import retrieval_metrics
from longtail.evaluation.objective import objective, popularity_deciles
from longtail.evaluation.slices import item_slices
from longtail.tuning.resampling import ResampledObjective

NUM_QUERIES, NUM_ITEMS, NUM_PAIRS = 30, 40, 200
HEAD = 0.2
EACH = [
    {f"{name} {metric}": 1.0}
    for name in ("deciles", "overall", "head", "tail", "cold")
    for metric in ("recall@10", "recall@50", "map@10", "map@50")
]
SUM = {"deciles recall@50": 0.5, "overall map@50": 2.0, "tail recall@10": 1.0}


@pytest.fixture
def held_out() -> HeldOut:
    generator = np.random.default_rng(1)
    pairs = generator.choice(NUM_QUERIES * NUM_ITEMS, NUM_PAIRS, replace=False)
    query, item = np.divmod(np.sort(pairs), NUM_ITEMS)
    nothing = np.zeros(0, np.int64)
    return HeldOut(
        query_row=np.arange(NUM_QUERIES),
        query=np.arange(NUM_QUERIES),
        candidate=np.arange(NUM_ITEMS),
        pair_query=query,
        pair_item=item,
        excluded_offsets=np.zeros(NUM_QUERIES + 1, np.int64),
        excluded_item=nothing,
        num_pairs_without_item=0,
    )


@pytest.fixture
def train_count() -> np.ndarray:
    return np.random.default_rng(2).geometric(0.2, NUM_ITEMS) - 1


def ranks_of(held_out: HeldOut, seed: int) -> np.ndarray:
    """Draw a rank for each pair, none twice for a query."""
    generator = np.random.default_rng(seed)
    ranks = np.empty(NUM_PAIRS, np.int64)
    for query in range(NUM_QUERIES):
        own = np.flatnonzero(held_out.pair_query == query)
        ranks[own] = generator.choice(80, len(own), replace=False) + 1
    return ranks


@pytest.mark.parametrize("terms", [*EACH, SUM], ids=str)
def test_with_every_query_once_it_is_the_objective(
    terms: dict[str, float], held_out: HeldOut, train_count: np.ndarray
) -> None:
    ranks = ranks_of(held_out, 3)
    resampled = ResampledObjective(held_out, train_count, terms, head_fraction=HEAD)
    (found,) = resampled(ranks, np.ones((1, NUM_QUERIES)))
    expected = objective(ranks, held_out, train_count, terms, head_fraction=HEAD)
    assert found == pytest.approx(expected, abs=1e-12)
    assert expected > 0.0


def test_a_query_that_is_drawn_twice_counts_as_two(
    held_out: HeldOut, train_count: np.ndarray
) -> None:
    ranks = ranks_of(held_out, 3)
    times = np.random.default_rng(4).integers(0, 4, NUM_QUERIES)
    (found,) = ResampledObjective(held_out, train_count, SUM, head_fraction=HEAD)(
        ranks, times[None].astype(float)
    )
    # The pairs of each query are written down as often as it is drawn, each time as a new query.
    pairs, query, number = [], [], 0
    for asked, often in enumerate(times):
        for _ in range(often):
            own = np.flatnonzero(held_out.pair_query == asked).tolist()
            pairs += own
            query += [number] * len(own)
            number += 1
    tail = item_slices(train_count, HEAD)["tail"][held_out.pair_item[pairs]]
    group = popularity_deciles(held_out.pair_item, train_count)[pairs]
    repeated, own_ranks = np.array(query), ranks[pairs]
    deciles = [
        retrieval_metrics(own_ranks[group == one], repeated[group == one])["recall@50"]
        for one in np.unique(popularity_deciles(held_out.pair_item, train_count))
    ]
    expected = (
        0.5 * float(np.mean(deciles))
        + 2.0 * retrieval_metrics(own_ranks, repeated)["map@50"]
        + retrieval_metrics(own_ranks[tail], repeated[tail])["recall@10"]
    )
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_interval_of_a_gain(held_out: HeldOut, train_count: np.ndarray) -> None:
    overall = {"overall recall@50": 1.0}
    resampled = ResampledObjective(held_out, train_count, overall, head_fraction=HEAD)
    base = np.full(NUM_PAIRS, 60)
    assert resampled.gain_interval(base, base, 0) == (0.0, 0.0)
    # Half of the queries find everything, the others nothing: the gain is their share of the pairs.
    better = np.where(held_out.pair_query % 2 == 0, 1, 60)
    low, high = resampled.gain_interval(better, base, 0)
    gain = float((held_out.pair_query % 2 == 0).mean())
    num_pairs = np.bincount(held_out.pair_query, minlength=NUM_QUERIES)
    found = num_pairs * (np.arange(NUM_QUERIES) % 2 == 0)
    # The standard error of a ratio, to the first order.
    error = float(np.sqrt(((found - gain * num_pairs) ** 2).sum()) / num_pairs.sum())
    assert low == pytest.approx(gain - 1.96 * error, abs=0.03)
    assert high == pytest.approx(gain + 1.96 * error, abs=0.03)
    assert resampled.gain_interval(better, base, 0) == (low, high)
    assert resampled.gain_interval(base, better, 0)[1] < 0.0
