import numpy as np
import pyarrow as pa
import pytest

from longtail.config import DatasetConfig
from longtail.dataset.splits import (
    DAY_US,
    TEST,
    TRAIN,
    UNUSED,
    VALIDATION,
    pair_position,
    split_examples,
)
from longtail.errors import InputError


def pairs(count: int) -> tuple[pa.Array, pa.Array]:
    return pa.array([f"q{n % 97}" for n in range(count)]), pa.array([f"i{n}" for n in range(count)])


def split(config: DatasetConfig, count: int = 20_000) -> np.ndarray:
    queries, items = pairs(count)
    place = pair_position(queries, items, unordered=False)
    return split_examples(place, np.zeros(count, np.int64), config)


def test_shares_of_the_hash_split() -> None:
    part = split(DatasetConfig())
    shares = np.bincount(part, minlength=4) / len(part)
    # Five standard deviations of a share of 0.8 (0.1) over 20,000 pairs.
    assert shares == pytest.approx([0.8, 0.1, 0.1, 0.0], abs=0.015)


def test_smaller_training_fractions_are_nested_and_leave_the_other_parts_alone() -> None:
    whole, tenth = split(DatasetConfig()), split(DatasetConfig(training_fraction=0.1))
    assert np.all(whole[tenth == TRAIN] == TRAIN)
    assert np.array_equal(whole == TEST, tenth == TEST)
    assert np.array_equal(whole == VALIDATION, tenth == VALIDATION)
    assert (tenth == TRAIN).mean() == pytest.approx(0.08, abs=0.01)
    assert np.all(whole[tenth == UNUSED] == TRAIN)


def test_a_pair_keeps_its_place_whatever_else_is_there() -> None:
    queries, items = pairs(100)
    all_of_them = pair_position(queries, items, unordered=False)
    some = pair_position(queries.slice(40, 10), items.slice(40, 10), unordered=False)
    assert some.tolist() == all_of_them[40:50].tolist()


def test_unordered_pairs_share_a_place_and_ordered_ones_do_not() -> None:
    a, b = pa.array(["ab", "c"]), pa.array(["c", "ab"])
    together = pair_position(a, b, unordered=True)
    assert together[0] == together[1]
    apart = pair_position(a, b, unordered=False)
    assert apart[0] != apart[1]


def test_concatenation_does_not_confuse_pairs() -> None:
    place = pair_position(pa.array(["ab", "a"]), pa.array(["c", "bc"]), unordered=False)
    assert place[0] != place[1]


def test_the_time_split_tests_on_the_last_days() -> None:
    days = np.array([0, 1, 2, 3, 4, 5])
    config = DatasetConfig(split="time", test_days=2, validation_days=1)
    queries, items = pairs(6)
    part = split_examples(pair_position(queries, items, unordered=False), days * DAY_US, config)
    assert part.tolist() == [TRAIN, TRAIN, TRAIN, VALIDATION, TEST, TEST]


def test_nothing_left_for_training_is_an_error() -> None:
    config = DatasetConfig(split="time")
    with pytest.raises(InputError, match="no interaction is left for training"):
        split_examples(np.zeros(3), np.zeros(3, np.int64), config)
