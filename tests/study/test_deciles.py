"""Recall in groups of held-out pairs by the popularity of their items."""

import numpy as np
import pytest

from longtail.study.deciles import recall_by_decile


@pytest.mark.parametrize("num_pairs", [1, 7, 10, 95, 400])
def test_groups_against_a_loop(num_pairs: int) -> None:
    generator = np.random.default_rng(num_pairs)
    count = generator.geometric(0.1, num_pairs) - 1
    rank = generator.integers(1, 120, num_pairs)
    ordered = sorted(count.tolist())
    bounds = []
    for tenth in range(1, 11):
        # The smallest count that at least this share of the pairs does not exceed.
        bound = next(c for c in ordered if sum(o <= c for o in ordered) * 10 >= tenth * num_pairs)
        if bound not in bounds:
            bounds.append(bound)
    expected, lowest = [], -1
    for bound in bounds:
        members = [p for p in range(num_pairs) if lowest < count[p] <= bound]
        expected.append(
            {
                "min_count": min(count[p] for p in members),
                "max_count": bound,
                "num_pairs": len(members),
                "recall@50": sum(rank[p] <= 50 for p in members) / len(members),
            }
        )
        lowest = bound
    found = recall_by_decile(rank, count)
    assert found == expected
    assert sum(group["num_pairs"] for group in found) == num_pairs


def test_equally_popular_items_are_one_group() -> None:
    groups = recall_by_decile(np.array([1, 50, 51, 99]), np.zeros(4, np.int64))
    assert groups == [{"min_count": 0, "max_count": 0, "num_pairs": 4, "recall@50": 0.5}]


def test_no_pairs() -> None:
    assert recall_by_decile(np.array([], np.int64), np.array([], np.int64)) == []
