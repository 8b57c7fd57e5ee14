"""Ranks from sparse scores, against a sort of all items."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from longtail.evaluation.baselines import ranks
from longtail.evaluation.baselines.dense_scores import dense_scores
from longtail.memory import sparse_rows
from longtail.memory.sparse_rows import largest_of_rows
from tests.evaluation.baselines.plain import loop_rank
from tests.evaluation.questions import made_up


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_queries=st.integers(1, 9),
    num_items=st.integers(1, 60),
    density=st.sampled_from([0.0, 0.2, 1.0]),
    block=st.integers(1, 4),
)
def test_sparse_ranks_equal_dense_ones(
    seed: int, num_queries: int, num_items: int, density: float, block: int
) -> None:
    held_out = made_up(seed, num_queries, num_items)
    generator = np.random.default_rng(seed)
    # Small whole numbers: many scores are equal, of either sign, and some entries are zeros.
    dense = generator.integers(-2, 4, (num_queries, num_items)).astype(np.float32)
    entry = generator.random(dense.shape) < density
    count = generator.integers(0, 4, num_items)

    def scorer(queries: slice) -> sparse.csr_array:
        row, column = np.nonzero(entry[queries])
        order = generator.permutation(len(row))  # the entries of a row come in any order
        order = order[np.argsort(row[order], kind="stable")]
        ends = np.concatenate([[0], np.bincount(row, minlength=len(entry[queries])).cumsum()])
        values = dense[queries][row[order], column[order]]
        return sparse.csr_array((values, column[order], ends), shape=entry[queries].shape)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse_rows, "_MAX_QUERIES", block)
        found = ranks.ranks_by_score(scorer, held_out, ranks.popularity_order(count))
    scores = np.where(entry, dense, 0.0).tolist()
    expected = [
        loop_rank(held_out, pair, scores[int(held_out.pair_query[pair])], count.tolist())
        for pair in range(len(held_out.pair_query))
    ]
    assert found.tolist() == expected


def test_blocks_cover_all_rows_and_hold_few_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_rows, "_MAX_SCORES", 1_000)
    for columns, size in ((1, 256), (100, 10), (5_000, 1)):
        found = list(sparse_rows.blocks(523, columns))
        assert np.concatenate([np.arange(523)[block] for block in found]).tolist() == [*range(523)]
        assert max(block.stop - block.start for block in found) == size
    assert list(sparse_rows.blocks(0, 0)) == []


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 12), num_columns=st.integers(1, 15))
def test_the_largest_of_a_row_are_those_of_a_sort(seed: int, k: int, num_columns: int) -> None:
    generator = np.random.default_rng(seed)
    dense = generator.integers(-1, 4, (6, num_columns)).astype(np.float32)
    found = largest_of_rows(sparse.csr_array(dense), k)
    for row, values in enumerate(dense.tolist()):
        positive = [column for column in range(num_columns) if values[column] > 0]
        kept = sorted(positive, key=lambda column: (-values[column], column))[:k]
        expected = [value if column in kept else 0.0 for column, value in enumerate(values)]
        assert found.toarray()[row].tolist() == expected
        assert found.indptr[row + 1] - found.indptr[row] == len(kept)


def test_dense_scores_of_some_items_are_a_row_of_all() -> None:
    scores = np.array([[1, 2], [3, 0]], np.float32)
    found = dense_scores(scores, np.array([1, 3]), 5)
    assert found.toarray().tolist() == [[0, 1, 0, 2, 0], [0, 3, 0, 0, 0]]
