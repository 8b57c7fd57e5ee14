"""Estimates of item frequency against a loop over single occurrences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.dataset.frequency import ExactFrequency, StreamingFrequency
from longtail.dataset.sampler import ExampleSampler
from tests.dataset.streaming_loop import streaming_loop


def test_exact_frequency_is_the_share_of_the_batch() -> None:
    found = ExactFrequency(np.array([3, 0, 1, 6]), 20).expected(np.array([3, 0, 1, 3]), step=7)
    np.testing.assert_allclose(found, [12, 6, 0, 12], rtol=1e-6)


def streaming(
    item_of_example: list[int],
    num_items: int,
    *,
    batch_size: int,
    world_size: int = 1,
    rank: int = 0,
    rate: float = 0.1,
    seed: int = 2,
) -> StreamingFrequency:
    examples = ExampleSampler(len(item_of_example), batch_size, world_size, rank, seed)
    return StreamingFrequency(np.array(item_of_example, np.int32), num_items, examples, rate)


@settings(max_examples=40, deadline=None)
@given(
    item_of_example=st.lists(st.integers(0, 6), min_size=1, max_size=40),
    batch_size=st.integers(1, 12),
    world_size=st.integers(1, 2),
    rate=st.sampled_from([0.01, 0.05, 0.3, 1.0]),
)
def test_every_step_of_several_epochs_equals_the_loop(
    item_of_example: list[int], batch_size: int, world_size: int, rate: float
) -> None:
    steps = 3 * -(-len(item_of_example) // (batch_size * world_size)) + 2
    loop = streaming_loop(
        item_of_example,
        9,
        global_batch=batch_size * world_size,
        rate=rate,
        seed=2,
        num_steps=steps,
    )
    for rank in range(world_size):
        found = streaming(
            item_of_example,
            9,
            batch_size=batch_size,
            world_size=world_size,
            rank=rank,
            rate=rate,
        )
        for step in range(steps):
            estimate = found.expected(np.arange(9), step)
            np.testing.assert_allclose(estimate * world_size, loop[step], rtol=1e-6)


def test_without_repeats_in_a_batch_it_is_the_paper_to_the_letter() -> None:
    """Work B <- (1 - rate) B + rate (t - A), A <- t by hand, from B = num_items / batch."""
    found = streaming([0], 1, batch_size=1, rate=0.25)  # item 0 in every step
    interval = 1.0
    for step in range(5):
        interval = 0.75 * interval + 0.25 * 1
        assert found.expected(np.array([0]), step)[0] == pytest.approx(1 / interval, rel=1e-6)
    pair = streaming([0, 1], 2, batch_size=1, rate=0.25)
    order = [
        int(ExampleSampler(2, 1, 1, 0, 2).epoch_order(step // 2)[step % 2]) for step in range(6)
    ]
    interval_of, last = {0: 2.0, 1: 2.0}, {0: 0, 1: 0}
    for step, item in enumerate(order):
        interval_of[item] = 0.75 * interval_of[item] + 0.25 * (step + 1 - last[item])
        last[item] = step + 1
        estimate = pair.expected(np.array([0, 1]), step)
        np.testing.assert_allclose(estimate, [1 / interval_of[0], 1 / interval_of[1]], rtol=1e-6)


def test_a_resumed_stream_is_the_uninterrupted_one() -> None:
    rng = np.random.default_rng(0)
    items = rng.integers(0, 20, 130).tolist()
    whole = streaming(items, 20, batch_size=16)
    history = [whole.expected(np.arange(20), step) for step in range(30)]
    for step in (0, 8, 17, 29):  # in the first, second and last epoch
        resumed = streaming(items, 20, batch_size=16)
        assert np.array_equal(resumed.expected(np.arange(20), step), history[step])
        assert np.array_equal(resumed.expected(np.arange(20), step), history[step])  # asked again


@pytest.mark.parametrize("world_size", [1, 2])
def test_it_settles_at_the_exact_frequency_of_head_and_tail(world_size: int) -> None:
    counts = np.array([8000, 2400, 800, 240, 80, 24])
    items = np.repeat(np.arange(len(counts)), counts).tolist()
    batch = 128 // world_size
    found = streaming(items, len(counts), batch_size=batch, world_size=world_size, rate=0.02)
    exact = ExactFrequency(counts, batch).expected(np.arange(len(counts)), 0)
    steps_per_epoch = -(-len(items) // 128)
    num_epochs, first_epoch = 24, 12
    total = np.zeros(len(counts))
    for step in range(num_epochs * steps_per_epoch):
        estimate = found.expected(np.arange(len(counts)), step)
        if step >= first_epoch * steps_per_epoch:
            total += 1 / estimate
    mean_interval = total / (num_epochs - first_epoch) / steps_per_epoch
    # B averages intervals, which spread about as much as their mean, with weights 0.02 * 0.98^n: at
    # a moment it is off by sqrt(.02 / 1.98) = 0.10 of its mean. The rarest item is seen 24 * 12
    # times in the window, which makes 288 * .02 / 2 = 3 independent moments: 0.06. The others have
    # more.
    np.testing.assert_allclose(1 / mean_interval, exact, rtol=0.15)
    np.testing.assert_allclose((1 / mean_interval)[:4], exact[:4], rtol=0.03)
