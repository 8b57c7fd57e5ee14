"""Samples against counts, enumeration and integrals that share no code with the sampler."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.dataset.sampler import CatalogueSampler, ExampleSampler, inclusion_probability


def test_every_example_is_seen_once_an_epoch_over_all_ranks() -> None:
    seen: list[int] = []
    for rank in range(3):
        sampler = ExampleSampler(num_examples=50, batch_size=7, world_size=3, rank=rank, seed=1)
        order = sampler.epoch_order(0)
        assert sampler.steps_per_epoch == 3
        for step in range(sampler.steps_per_epoch):
            positions, counts = sampler.batch(order, step)
            assert len(positions) == 7  # no rank ever has a shorter batch: nothing hangs
            seen += positions[counts].tolist()
    assert sorted(seen) == list(range(50))


@settings(max_examples=60, deadline=None)
@given(num_examples=st.integers(1, 60), batch_size=st.integers(1, 9), world_size=st.integers(1, 4))
def test_an_epoch_is_a_permutation_cut_into_global_batches(
    num_examples: int, batch_size: int, world_size: int
) -> None:
    ranks = [ExampleSampler(num_examples, batch_size, world_size, r, 4) for r in range(world_size)]
    order = ranks[0].epoch_order(2)
    stream: list[int] = []
    for step in range(ranks[0].steps_per_epoch):
        for rank in ranks:
            positions, counts = rank.batch(order, step)
            stream += positions[counts].tolist()
    assert stream == order.tolist()
    assert sorted(stream) == list(range(num_examples))


def test_the_shuffle_depends_on_seed_and_epoch_alone() -> None:
    sampler = ExampleSampler(num_examples=50, batch_size=7, world_size=1, rank=0, seed=1)
    other_rank = ExampleSampler(num_examples=50, batch_size=7, world_size=2, rank=1, seed=1)
    assert np.array_equal(sampler.epoch_order(3), other_rank.epoch_order(3))
    assert not np.array_equal(sampler.epoch_order(3), sampler.epoch_order(4))


def test_the_catalogue_sample_is_uniform_on_every_rank() -> None:
    ranks = [CatalogueSampler(40, 5, world_size=2, rank=rank, seed=5) for rank in range(2)]
    counts = np.zeros((2, 40))
    for step in range(4000):
        drawn = [rank.draw(step) for rank in ranks]
        assert len(set(np.concatenate(drawn).tolist())) == 10  # distinct over the global batch
        for rank in range(2):
            counts[rank, drawn[rank]] += 1
    # Without replacement the statistic shrinks by (1 - size/40) 40/39; 72.1 is the 99.9% point of
    # chi-square with 39 degrees of freedom.
    for observed, size in ((counts[0], 5), (counts[1], 5), (counts.sum(axis=0), 10)):
        expected = 4000 * size / 40
        shrunk = (1 - size / 40) * 40 / 39
        assert ((observed - expected) ** 2 / expected).sum() / shrunk < 72.1


def test_every_pair_of_items_is_drawn_together_equally_often() -> None:
    sampler = CatalogueSampler(6, 2, world_size=1, rank=0, seed=8)
    pairs = Counter(tuple(sorted(sampler.draw(step).tolist())) for step in range(6000))
    observed = np.array([pairs[pair] for pair in itertools.combinations(range(6), 2)])
    # 15 equally likely samples; 36.1 is the 99.9% point with 14 degrees of freedom.
    assert ((observed - 400) ** 2 / 400).sum() < 36.1


def test_ranks_draw_different_items_in_one_step() -> None:
    ranks = [CatalogueSampler(100, 30, world_size=3, rank=r, seed=5).draw(9) for r in range(3)]
    assert len(set(np.concatenate(ranks).tolist())) == 90


def test_a_small_catalogue_gives_a_smaller_sample() -> None:
    assert CatalogueSampler(num_items=5, sample_size=10, world_size=2, rank=0, seed=0).size == 2


def enumerated(probability: np.ndarray, size: int) -> np.ndarray:
    """Return inclusion for items drawn one after another: the sum over all ordered samples."""
    inclusion = np.zeros(len(probability))
    for sample in itertools.permutations(range(len(probability)), size):
        chance, left = 1.0, 1.0
        for item in sample:
            chance *= probability[item] / left
            left -= probability[item]
        inclusion[list(sample)] += chance
    return inclusion


def integrated(probability: np.ndarray, size: int) -> np.ndarray:
    """Return inclusion by exponential clocks, exactly.

    Item i is in if fewer than `size` others have rung when its clock rings. The density of its ring
    is integrated, with u = e^{-p_i t}.
    """
    nodes, weights = np.polynomial.legendre.leggauss(300)
    inclusion = np.zeros(len(probability))
    for item, rate in enumerate(probability):
        time = -np.log((nodes + 1) / 2) / rate
        rung = np.zeros((len(time), size))  # the chance that 0, 1, ... size - 1 have rung
        rung[:, 0] = 1
        for other in np.delete(probability, item):
            rings = -np.expm1(-other * time)[:, None]
            shifted = np.pad(rung, ((0, 0), (1, 0)))[:, :-1]
            rung = rung * (1 - rings) + shifted * rings
        inclusion[item] = (weights / 2) @ rung.sum(axis=1)
    return inclusion


SKEWED = [
    np.array([0.4, 0.3, 0.2, 0.1]),
    np.array([0.5, 0.2, 0.1, 0.1, 0.05, 0.05]),
    np.full(6, 1 / 6),
]


@pytest.mark.parametrize("probability", SKEWED)
def test_inclusion_of_tiny_samples_is_near_the_enumeration(probability: np.ndarray) -> None:
    for size in range(2, len(probability)):
        exact = enumerated(probability, size)
        np.testing.assert_allclose(integrated(probability, size), exact, atol=1e-6)
        found = inclusion_probability(probability, size)
        assert found.sum() == pytest.approx(size, abs=1e-9)
        # The last ring's time is anything but fixed where two or three items are drawn.
        np.testing.assert_allclose(found, exact, atol=0.035)
    np.testing.assert_array_equal(inclusion_probability(probability, len(probability)), 1.0)


def test_inclusion_is_exact_for_equal_probabilities() -> None:
    np.testing.assert_allclose(inclusion_probability(np.full(50, 0.02), 7), 7 / 50, rtol=1e-9)


@pytest.mark.parametrize(("num_items", "size", "tolerance"), [(30, 8, 0.015), (80, 25, 0.005)])
def test_the_error_of_inclusion_falls_with_the_size(
    num_items: int, size: int, tolerance: float
) -> None:
    zipf = 1 / np.arange(1, num_items + 1)
    zipf /= zipf.sum()
    exact = integrated(zipf, size)
    assert exact.sum() == pytest.approx(size, abs=1e-6)
    np.testing.assert_allclose(inclusion_probability(zipf, size), exact, rtol=tolerance)


def test_by_frequency_every_rank_draws_items_as_often_as_expected() -> None:
    weights = np.array([0, 60, 30, 20, 0, 15, 12, 10, 9, 8, 7, 6, 5, 4, 3, 2])
    drawable = weights > 0
    exact = np.zeros(len(weights))
    exact[drawable] = integrated(weights[drawable] / weights.sum(), 6) / 2
    ranks = [CatalogueSampler(16, 3, 2, rank, 11, weights) for rank in range(2)]
    num_steps = 6000
    counts = np.zeros((2, 16))
    for step in range(num_steps):
        drawn = [rank.draw(step) for rank in ranks]
        assert len(set(np.concatenate(drawn).tolist())) == 6
        for rank in range(2):
            counts[rank, drawn[rank]] += 1
    assert not counts[:, ~drawable].any()
    # Five standard deviations of a binomial share: the ranks are alike, the second one included.
    tolerance = 5 * np.sqrt(exact * (1 - exact) / num_steps)
    for rank in range(2):
        assert np.all(np.abs(counts[rank] / num_steps - exact) <= tolerance)
        np.testing.assert_allclose(ranks[rank].expected, exact, atol=0.01)
        assert ranks[rank].expected.dtype == np.float32


def test_uniform_expectation_is_the_share_of_the_catalogue() -> None:
    sampler = CatalogueSampler(40, 5, world_size=2, rank=1, seed=5)
    np.testing.assert_allclose(sampler.expected, 5 / 40, rtol=1e-6)
    small = CatalogueSampler(5, 10, world_size=2, rank=0, seed=0)
    np.testing.assert_allclose(small.expected, 2 / 5, rtol=1e-6)


def test_no_more_is_drawn_by_frequency_than_has_interactions() -> None:
    weights = np.array([3, 0, 1, 0, 2])
    sampler = CatalogueSampler(5, 4, world_size=1, rank=0, seed=0, weights=weights)
    assert sorted(sampler.draw(0).tolist()) == [0, 2, 4]
    assert sampler.expected.tolist() == [1, 0, 1, 0, 1]
