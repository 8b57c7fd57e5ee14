"""The popularity slices, by hand and for arbitrary counts."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from longtail.evaluation.slices import item_slices


def test_head_tail_and_cold_by_hand() -> None:
    train_count = np.array([0, 5, 2, 5, 2, 0, 1, 9, 2, 2])
    slices = item_slices(train_count, 0.4)
    # The head is four of ten: the items with 9, 5 and 5, and the first of the four with 2.
    assert np.flatnonzero(slices["head"]).tolist() == [1, 2, 3, 7]
    assert np.flatnonzero(slices["tail"]).tolist() == [0, 4, 5, 6, 8, 9]
    assert np.flatnonzero(slices["cold"]).tolist() == [0, 5]
    assert slices["overall"].all()


@given(st.lists(st.integers(0, 3), max_size=40), st.floats(0, 1))
def test_head_and_tail_are_the_whole_and_cold_is_never_head(
    counts: list[int], head_fraction: float
) -> None:
    slices = item_slices(np.array(counts, np.int64), head_fraction)
    assert (slices["head"] ^ slices["tail"]).all()
    assert not (slices["head"] & slices["cold"]).any()
    assert slices["head"].sum() == min(int(head_fraction * len(counts)), np.count_nonzero(counts))
    in_head = [count for count, head in zip(counts, slices["head"], strict=True) if head]
    in_tail = [count for count, head in zip(counts, slices["head"], strict=True) if not head]
    if in_head and in_tail:
        assert min(in_head) >= max(in_tail)
