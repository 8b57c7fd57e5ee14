import numpy as np

from longtail.dataset.sampler import CatalogueSampler, ExampleSampler


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


def test_the_shuffle_depends_on_seed_and_epoch_alone() -> None:
    sampler = ExampleSampler(num_examples=50, batch_size=7, world_size=1, rank=0, seed=1)
    other_rank = ExampleSampler(num_examples=50, batch_size=7, world_size=2, rank=1, seed=1)
    assert np.array_equal(sampler.epoch_order(3), other_rank.epoch_order(3))
    assert not np.array_equal(sampler.epoch_order(3), sampler.epoch_order(4))


def test_the_catalogue_sample_is_uniform() -> None:
    sampler = CatalogueSampler(num_items=40, sample_size=10, world_size=1, rank=0, seed=5)
    counts = np.zeros(40)
    for step in range(4000):
        drawn = sampler.draw(step)
        assert len(set(drawn.tolist())) == 10
        counts[drawn] += 1
    expected = 1000.0
    # Drawing without replacement: the statistic shrinks by (1 - 10/40); 72.1 is the 99.9% point
    # of chi-square with 39 degrees of freedom.
    assert ((counts - expected) ** 2 / expected).sum() / 0.75 < 72.1


def test_ranks_draw_different_items_in_one_step() -> None:
    ranks = [CatalogueSampler(100, 30, world_size=3, rank=r, seed=5).draw(9) for r in range(3)]
    assert len(set(np.concatenate(ranks).tolist())) == 90


def test_a_small_catalogue_gives_a_smaller_sample() -> None:
    assert CatalogueSampler(num_items=5, sample_size=10, world_size=2, rank=0, seed=0).size == 2
