"""Dropped values and features: against loops, and their shares against chance."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.config import Config, CorrelationConfig, SelfSupervisionConfig, TrainingConfig
from longtail.dataset.batch_builder import BatchBuilder
from longtail.dataset.dropout import drop_features, drop_values
from tests.dataset.small_set import MULTI_VALUED, cells, make_training_set, rows_of

CHI_SQUARE = {3: 16.27}  # 99.9% point by degrees of freedom


@st.composite
def jagged_columns(draw: st.DrawFn) -> tuple[list[list[list[int]]], np.ndarray]:
    """Draw cells of F features and n rows, feature by feature, and a flag for each."""
    num_features, num_rows = draw(st.integers(1, 4)), draw(st.integers(0, 5))
    column = st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=num_rows, max_size=num_rows)
    columns = draw(st.lists(column, min_size=num_features, max_size=num_features))
    flags = [[draw(st.booleans()) for _ in range(num_rows)] for _ in range(num_features)]
    return columns, np.array(flags, bool).reshape(num_features, num_rows)


def flat(columns: list[list[list[int]]]) -> tuple[np.ndarray, np.ndarray]:
    values = [value for column in columns for cell in column for value in cell]
    lengths = [[len(cell) for cell in column] for column in columns]
    return np.array(values, np.int32), np.array(lengths, np.int64).reshape(len(columns), -1)


@settings(deadline=None)
@given(jagged_columns(), st.sampled_from([0.0, 0.3, 0.9]), st.integers(0, 100))
def test_values_are_dropped_one_by_one(
    jagged: tuple[list[list[list[int]]], np.ndarray], rate: float, seed: int
) -> None:
    columns, chosen = jagged
    values, lengths = flat(columns)
    found = drop_values(
        values, lengths, cells=chosen, rate=rate, generator=np.random.default_rng(seed)
    )
    generator = np.random.default_rng(seed)
    kept = [
        [
            [value for value in cell if not may_drop or not generator.random() < rate]
            for cell, may_drop in zip(column, flags, strict=True)
        ]
        for column, flags in zip(columns, chosen, strict=True)
    ]
    for got, wanted in zip(found, flat(kept), strict=True):
        np.testing.assert_array_equal(got, wanted)


@settings(deadline=None)
@given(jagged_columns())
def test_features_are_emptied_whole(jagged: tuple[list[list[list[int]]], np.ndarray]) -> None:
    columns, emptied = jagged
    found = drop_features(*flat(columns), cells=emptied)
    kept = [
        [[] if empty else cell for cell, empty in zip(column, flags, strict=True)]
        for column, flags in zip(columns, emptied, strict=True)
    ]
    for got, wanted in zip(found, flat(kept), strict=True):
        np.testing.assert_array_equal(got, wanted)


def builder(augmentation: str, never_mask: tuple[str, ...] = (), **options: object) -> BatchBuilder:
    ssl = SelfSupervisionConfig(augmentation=augmentation, sample_size=6, **options)
    config = Config(
        feature_repo=Path(),
        correlation=CorrelationConfig(never_mask=never_mask),
        training=TrainingConfig(batch_size=16, seed=3),
        self_supervision=ssl,
    )
    return BatchBuilder(make_training_set(), config)


def is_part(some: list[int], whole: list[int]) -> bool:
    """Return whether `some` is what is left of `whole`, in its order."""
    remaining = iter(whole)
    return all(value in remaining for value in some)


@pytest.mark.parametrize("augmentation", ["correlated_masking", "random_masking"])
def test_one_view_loses_values_of_sampled_multi_valued_features_only(augmentation: str) -> None:
    training_set, made = make_training_set(), builder(augmentation, value_dropout=0.3)
    kept = total = 0
    for step in range(150):
        batch = made.build(np.arange(16), np.ones(16, bool), step=step)
        assert batch.num_copies == 1
        rows = rows_of(batch, "item")
        main = sorted(set(training_set.train.item_row[:16].tolist()))
        assert rows[: batch.num_items] == [cells(training_set.item_rows, row) for row in main]
        for row in rows[batch.num_items :][: batch.num_sampled]:
            whole = cells(training_set.item_rows, row[0][0])
            for feature, (cell, before) in enumerate(zip(row, whole, strict=True)):
                if feature in MULTI_VALUED:
                    assert is_part(cell, before)
                    kept, total = kept + len(cell), total + len(before)
                else:
                    assert cell == before
    # Five standard deviations of a share of 0.7 over some 5,000 values.
    assert total > 4500
    assert kept / total == pytest.approx(0.7, abs=0.035)


@pytest.mark.parametrize(
    ("augmentation", "never_mask"),
    [
        ("independent_masking", ()),
        ("dropout_only", ()),
        # Both views show a feature that is never masked, whatever the masks.
        ("correlated_masking", ("tags",)),
        ("random_masking", ("section", "tags")),
    ],
)
def test_two_copies_lose_values_independently_of_each_other(
    augmentation: str, never_mask: tuple[str, ...]
) -> None:
    training_set, made = make_training_set(), builder(augmentation, never_mask, value_dropout=0.5)
    both = np.zeros((2, 2))
    for step in range(1500):
        batch = made.build(np.arange(16), np.ones(16, bool), step=step)
        assert batch.num_copies == 2
        rows = rows_of(batch, "item")[batch.num_items :]
        first, second = rows[:6], rows[6:12]
        for left, right in zip(first, second, strict=True):
            item = left[0][0]
            whole = cells(training_set.item_rows, item)
            for feature in range(4):
                if feature in MULTI_VALUED:
                    assert is_part(left[feature], whole[feature])
                    assert is_part(right[feature], whole[feature])
                else:
                    assert left[feature] == right[feature] == whole[feature]
            for value in whole[1]:
                if whole[1].count(value) == 1:  # so that it can be told which was dropped
                    both[int(value in left[1]), int(value in right[1])] += 1
    # Kept or dropped, in the one and in the other: four cases, equally likely.
    expected = both.sum() / 4
    assert expected > 1500
    assert ((both - expected) ** 2 / expected).sum() < CHI_SQUARE[3]


@pytest.mark.parametrize("augmentation", ["correlated_masking", "random_masking"])
def test_one_copy_is_enough_where_what_is_never_masked_has_one_value(augmentation: str) -> None:
    made = builder(augmentation, ("item_id", "section"), value_dropout=0.5)
    assert made.build(np.arange(16), np.ones(16, bool), step=0).num_copies == 1


@pytest.mark.parametrize("never_mask", [(), ("tags", "words")])
@pytest.mark.parametrize(
    ("augmentation", "rate"),
    [
        ("correlated_masking", 0.0),
        ("independent_masking", 0.0),
        ("dropout_only", 0.0),
        ("spread_out", 0.5),
        ("none", 0.5),
    ],
)
def test_nothing_is_dropped_where_nothing_asks_for_it(
    augmentation: str, rate: float, never_mask: tuple[str, ...]
) -> None:
    training_set, made = make_training_set(), builder(augmentation, never_mask, value_dropout=rate)
    for step in range(5):
        batch = made.build(np.arange(16), np.ones(16, bool), step=step)
        assert batch.num_copies == 1
        for row in rows_of(batch, "item")[batch.num_items :][: batch.num_sampled]:
            assert row == cells(training_set.item_rows, row[0][0])


def test_feature_dropout_empties_whole_features_of_what_is_trained_on() -> None:
    training_set = make_training_set()
    made = builder("feature_dropout", feature_dropout=0.2, value_dropout=0.5)
    main = sorted(set(training_set.train.item_row[:16].tolist()))
    before = [cells(training_set.item_rows, row) for row in main]
    queries = sorted(set(training_set.train.query_row[:16].tolist()))
    num_steps = 800
    emptied = np.zeros((num_steps, len(main), 4), bool)
    for step in range(num_steps):
        batch = made.build(np.arange(16), np.ones(16, bool), step=step)
        rows = rows_of(batch, "item")
        for n, (row, whole) in enumerate(zip(rows, before, strict=False)):
            for feature in range(4):
                assert row[feature] in ([], whole[feature])  # whole, or gone
                emptied[step, n, feature] = row[feature] == []
        for row in rows[batch.num_items :][: batch.num_sampled]:
            assert row == cells(training_set.item_rows, row[0][0])
        assert rows_of(batch, "query")[: batch.num_queries] == [
            cells(training_set.query_rows, row) for row in queries
        ]
    # Five standard deviations of a share of 0.2 over 800 steps; the id is a feature like the rest.
    there = np.array([[cell != [] for cell in row] for row in before])
    assert there[:, 0].all()
    np.testing.assert_allclose(emptied.mean(axis=0)[there], 0.2, atol=0.071)
    # All cells together: five standard deviations over 800 steps and 20 or more cells.
    assert there.sum() > 20
    assert emptied[:, there].mean() == pytest.approx(0.2, abs=0.016)
    # Neither the features of a row nor the rows of a feature go together.
    for left, right in (((0, 0), (0, 3)), ((0, 0), (1, 0))):
        assert there[left]
        assert there[right]
        both = (emptied[:, *left] & emptied[:, *right]).mean()
        assert both == pytest.approx(0.04, abs=0.035)
