"""What a session without an id finds, compared with loops over the rows of queries."""

from typing import Any

import numpy as np
import pytest

from longtail.evaluation.metrics import retrieval_metrics, similarity_ranks
from longtail.evaluation.session_metrics import session_metrics
from longtail.evaluation.slices import item_slices
from longtail.features.encoding import EncodedRows, offsets_of
from tests.evaluation.questions import made_up

NUM_FEATURES = 3


def rows_of(lists: list[list[list[int]]]) -> EncodedRows:
    """Rows of lists of values, one list for each feature."""
    cells = [cell for row in lists for cell in row]
    values = np.array([value for cell in cells for value in cell], np.int32)
    return EncodedRows(NUM_FEATURES, offsets_of(np.array([len(cell) for cell in cells])), values)


def encode(rows: EncodedRows) -> np.ndarray:
    """A tower: the sum of a vector for each value of each feature, and nothing for none."""
    vectors = np.zeros((rows.num_rows, 4), np.float32)
    for row in range(rows.num_rows):
        for feature in range(NUM_FEATURES):
            first, last = rows.offsets[row * NUM_FEATURES + feature :][:2]
            for value in rows.values[first:last]:
                vectors[row] += np.random.default_rng(50 * feature + int(value)).normal(size=4)
    return vectors


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sessions_are_measured_by_their_history_alone(seed: int) -> None:
    num_queries, num_items = 8, 90
    held_out = made_up(seed, num_queries, num_items, 0.1)
    random = np.random.default_rng(seed)
    rows = [
        [[query], [int(random.integers(5))], random.integers(9, size=query % 3).tolist()]
        for query in range(num_queries)
    ]
    items = random.normal(size=(num_items, 4)).astype(np.float32)
    slices = item_slices(random.integers(0, 3, num_items), 0.2)
    ranks = similarity_ranks(encode(rows_of(rows)), items, held_out)
    found = session_metrics(encode, rows_of(rows), items, held_out, ranks, slices)

    alone = encode(rows_of([[[], [], row[2]] for row in rows]))
    session_ranks = similarity_ranks(alone, items, held_out)
    pairs = list(zip(held_out.pair_query, held_out.pair_item, strict=True))
    assert found["num_queries"] == sum(bool(row[2]) for row in rows)
    for name, members in slices.items():
        kept = [n for n, (q, i) in enumerate(pairs) if rows[q][2] and members[i]]
        for key, of_pairs in (("metrics", session_ranks), ("with_id", ranks)):
            expected = retrieval_metrics(of_pairs[kept], held_out.pair_query[kept])
            measured: Any = found[key]  # type: ignore[literal-required]
            assert measured[name] == pytest.approx(expected)
    overall = [found[key]["overall"]["recall@50"] for key in ("metrics", "with_id")]  # type: ignore[literal-required]
    assert (session_ranks != ranks).any()
    assert found["recall_kept"] == pytest.approx(overall[0] / overall[1])


def test_without_any_history_there_is_nothing_to_keep() -> None:
    held_out = made_up(0, 3, 20, 0.2)
    rows = rows_of([[[query], [], []] for query in range(3)])
    items = np.ones((20, 4), np.float32)
    ranks = np.ones(len(held_out.pair_query), np.int64)
    slices = item_slices(np.ones(20, np.int64), 0.2)
    found = session_metrics(encode, rows, items, held_out, ranks, slices)
    assert found["num_queries"] == found["metrics"]["overall"]["num_pairs"] == 0
    assert found["recall_kept"] is None
