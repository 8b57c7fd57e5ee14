"""Counts of retrieved items, against sorted lists."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.evaluation.coverage import RETRIEVED, ranks_and_retrievals, times_in_top
from longtail.evaluation.metrics import similarity_ranks
from tests.evaluation.questions import made_up, shown_ranking


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_rows=st.integers(0, 6),
    num_candidates=st.integers(1, 90),
    k=st.integers(1, 6),
    levels=st.sampled_from([1, 2, 5, 1_000]),
    share_hidden=st.sampled_from([0.0, 0.4, 0.97, 1.0]),
)
def test_times_in_top_equal_sorted_lists(
    seed: int, num_rows: int, num_candidates: int, k: int, levels: int, share_hidden: float
) -> None:
    # With few levels many scores are equal. With up to 18 candidates for each place, both ways are
    # taken: with group maxima and without.
    generator = np.random.default_rng(seed)
    scores = generator.integers(levels, size=(num_rows, num_candidates)).astype(np.float32)
    scores[generator.random(scores.shape) < share_hidden] = -np.inf
    expected = [0] * num_candidates
    for row in scores.tolist():
        shown = [place for place, score in enumerate(row) if score != -np.inf]
        for place in sorted(shown, key=lambda place: (-row[place], place))[:k]:
            expected[place] += 1
    assert times_in_top(scores, k).tolist() == expected


def test_one_pass_gives_ranks_and_retrievals() -> None:
    held_out = made_up(3, num_queries=23, num_items=1_300, sparsity=0.004)
    generator = np.random.default_rng(3)
    # With small whole numbers, scores are exact and many are equal.
    queries = generator.integers(-3, 4, (23, 5)).astype(np.float32)
    items = generator.integers(-3, 4, (1_300, 5)).astype(np.float32)
    ranks, times_retrieved = ranks_and_retrievals(queries, items, held_out, query_batch_size=7)
    assert ranks.tolist() == similarity_ranks(queries, items, held_out).tolist()
    expected = [0] * 1_300
    for query in range(23):
        scores = [float(score) for score in items @ queries[query]]
        for item in shown_ranking(held_out, query, scores)[:RETRIEVED]:
            expected[item] += 1
    assert times_retrieved.tolist() == expected
    assert sum(expected) == 23 * RETRIEVED
