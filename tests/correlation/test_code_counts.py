from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    adjusted_mutual_info_score,
    mutual_info_score,
    normalized_mutual_info_score,
)

from longtail.correlation import code_counts
from longtail.correlation.code_counts import Codes, entropy_of_codes, pair_of_codes, pairs_of_codes

# With a table of 0 cells, all pairs are counted by sorting.
WAYS = pytest.mark.parametrize("table_cells", [0, code_counts.TABLE_CELLS])


def codes(values: np.ndarray, missing: int | None = None) -> Codes:
    return Codes(values.astype(np.int32), int(values.max()) + 1, missing)


@WAYS
@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 20)), min_size=1, max_size=80),
    block=st.sampled_from([1, 7, 1 << 22]),
)
def test_all_measures_equal_scikit_learn(
    table_cells: int, rows: list[tuple[int, int]], block: int
) -> None:
    left, right = (np.array(column) for column in zip(*rows, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_counts, "TABLE_CELLS", table_cells)
        patch.setattr(code_counts, "BLOCK", block)
        pair = pair_of_codes(codes(left), codes(right), "value", chance=True)
    assert pair.mutual_information == pytest.approx(mutual_info_score(left, right), abs=1e-9)
    if pair.left_entropy > 0 and pair.right_entropy > 0:
        share = normalized_mutual_info_score(left, right, average_method="min")
        assert pair.normalized == pytest.approx(share, abs=1e-9)
    if min(len(set(left)), len(set(right))) > 1 and len(set(left)) + len(set(right)) < 2 * len(
        left
    ):
        score = adjusted_mutual_info_score(left, right)
        assert pair.adjusted == pytest.approx(score, abs=1e-6)


@WAYS
def test_features_of_every_size(table_cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_counts, "TABLE_CELLS", table_cells)
    monkeypatch.setattr(code_counts, "BLOCK", 1_000)
    generator = np.random.default_rng(0)
    columns = [generator.integers(0, size, 20_000) for size in (1, 3, 2_000, 10**6, 10**6)]
    columns.append(columns[2] // 2)  # follows from another one
    pairs = pairs_of_codes([codes(column) for column in columns], "value", num_threads=2)
    for (i, j), pair in pairs.items():
        expected = mutual_info_score(columns[i], columns[j])
        assert pair.mutual_information == pytest.approx(expected, abs=1e-9), (i, j)


def test_missing_items_are_left_out_of_the_pairs_that_they_are_missing_from() -> None:
    generator = np.random.default_rng(0)
    left, right = generator.integers(0, 5, 500), generator.integers(0, 8, 500)
    right = (right + left) % 8
    features = [codes(left, missing=4), codes(right, missing=0)]
    pair = pair_of_codes(*features, "leave_out", chance=True)
    kept = (left != 4) & (right != 0)
    assert pair.mutual_information == pytest.approx(
        mutual_info_score(left[kept], right[kept]), abs=1e-9
    )
    assert pair.adjusted == pytest.approx(
        adjusted_mutual_info_score(left[kept], right[kept]), abs=1e-6
    )
    as_value = pair_of_codes(*features, "value")
    assert as_value.mutual_information == pytest.approx(mutual_info_score(left, right), abs=1e-9)
    own = left[left != 4]
    assert entropy_of_codes(features[0], "leave_out") == pytest.approx(mutual_info_score(own, own))


def test_an_identifier_is_counted_without_its_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    num_items = 100_000
    monkeypatch.setattr(code_counts, "TABLE_CELLS", 0)
    other = np.arange(num_items) % 7
    near_unique = np.arange(num_items)
    near_unique[:1_000] = 0
    sorted_lengths = []
    sort = code_counts._sum_by_sorting
    monkeypatch.setattr(
        code_counts,
        "_sum_by_sorting",
        lambda x, *rest: sorted_lengths.append(len(x)) or sort(x, *rest),
    )
    identifier = codes(np.random.default_rng(0).permutation(num_items))
    pair = pair_of_codes(identifier, codes(other), "value", chance=True)
    assert pair.mutual_information == pytest.approx(log(7), abs=1e-8)
    assert pair.adjusted == pytest.approx(0.0, abs=1e-9)
    assert pair.normalized == pytest.approx(1.0)
    pair = pair_of_codes(codes(near_unique), codes(other), "value", chance=True)
    assert sorted_lengths == [0, 1_000]
    assert pair.mutual_information == pytest.approx(mutual_info_score(near_unique, other), abs=1e-9)
    assert abs(pair.adjusted) < 0.01


def test_no_items_give_zeros() -> None:
    empty = Codes(np.empty(0, dtype=np.int32), 1, 0)
    pair = pair_of_codes(empty, empty, "value", chance=True)
    assert (pair.mutual_information, pair.normalized, pair.adjusted) == (0.0, 0.0, 0.0)
    absent = Codes(np.zeros(5, dtype=np.int32), 1, 0)
    pair = pair_of_codes(absent, absent, "leave_out", chance=True)
    assert (pair.mutual_information, pair.normalized, pair.adjusted) == (0.0, 0.0, 0.0)
    assert entropy_of_codes(absent, "leave_out") == 0.0
