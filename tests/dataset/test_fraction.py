"""Nested shares of the training part, against hashes computed pair by pair."""

import hashlib
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.dataset.splits import pair_position
from longtail.dataset.training_set import Examples, TrainingSet
from longtail.features.schema import Schema
from tests.dataset.small_set import NUM_ITEMS, NUM_QUERIES, make_training_set


def separate_ids(training_set: TrainingSet) -> TrainingSet:
    """Give query ids a table of their own, so that a pair has an order."""
    schema = training_set.schema
    query_id = replace(schema.query[0], table="queries")
    return replace(training_set, schema=Schema((query_id, *schema.query[1:]), schema.item))


def place(first: str, second: str, *, unordered: bool) -> float:
    """Return the top 53 bits of a pair's MD5, as a share of one."""
    if unordered and first > second:
        first, second = second, first
    digest = hashlib.md5(f"{len(first.encode())}:{first}:{second}".encode()).hexdigest()
    return (int(digest[:16], 16) >> 11) / 2**53


def pairs(training_set: TrainingSet) -> list[tuple[str, str]]:
    train = training_set.train
    queries, items = training_set.query_ids.to_pylist(), training_set.item_ids.to_pylist()
    return [
        (queries[training_set.query_of_row[query]], items[training_set.item_of_row[item]])
        for query, item in zip(train.query_row, train.item_row, strict=True)
    ]


def rows(examples: Examples) -> list[tuple[float, ...]]:
    return list(zip(*(column.tolist() for column in vars(examples).values()), strict=True))


@pytest.mark.parametrize("shared", [True, False])
@settings(max_examples=25, deadline=None)
@given(num_examples=st.integers(1, 300), share=st.floats(0.001, 1.0))
def test_a_fraction_is_the_examples_whose_pairs_hash_lowest(
    shared: bool, num_examples: int, share: float
) -> None:
    whole = make_training_set(num_examples)
    whole = whole if shared else separate_ids(whole)
    found = whole.fraction(share)
    places = [place(*pair, unordered=shared) for pair in pairs(whole)]
    last = sorted(places)[math.ceil(share * num_examples) - 1]
    kept = [position for position, at in enumerate(places) if at <= last]
    assert rows(found.train) == [rows(whole.train)[position] for position in kept]
    # At least the share, and more only by further examples of the last pair.
    assert len(kept) >= share * num_examples
    assert sum(places[position] < last for position in kept) < share * num_examples

    items = [int(whole.item_of_row[row]) for row in found.train.item_row]
    assert found.train_count.tolist() == [items.count(item) for item in range(NUM_ITEMS)]
    assert found.train_count.sum() == len(found.train)


IDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@pytest.mark.parametrize("unordered", [True, False])
@settings(max_examples=40, deadline=None)
@given(some=st.lists(st.tuples(IDS, IDS), min_size=1, max_size=20))
def test_the_place_of_a_pair_is_its_hash(unordered: bool, some: list[tuple[str, str]]) -> None:
    first, second = (pa.array(ids, pa.string()) for ids in zip(*some, strict=True))
    found = pair_position(first, second, unordered=unordered)
    assert found.tolist() == [place(*pair, unordered=unordered) for pair in some]


def test_shares_are_nested_and_a_fraction_of_a_fraction_is_one_too() -> None:
    whole = make_training_set(400)
    before: list[tuple[float, ...]] = []
    for share in (0.01, 0.1, 0.3, 0.5, 0.9, 1.0):
        now = rows(whole.fraction(share).train)
        assert set(before) <= set(now)
        assert len(before) < len(now)
        before = now
    assert before == rows(whole.train)
    half = whole.fraction(0.5)
    count = math.ceil(0.2 * len(half.train))
    assert rows(half.fraction(0.2).train) == rows(whole.fraction((count - 0.5) / 400).train)


def test_repeats_of_a_pair_stay_together_whatever_their_rows() -> None:
    whole = make_training_set(400)
    kept = set(pairs(whole.fraction(0.3)))
    assert len(pairs(whole.fraction(0.3))) == sum(pair in kept for pair in pairs(whole))
    assert len(kept) < len(set(pairs(whole)))


def test_all_else_stays() -> None:
    whole = make_training_set()
    some = whole.fraction(0.4)
    assert len(some.train) < len(whole.train)
    for name, value in vars(whole).items():
        if name not in ("train", "train_count"):
            assert getattr(some, name) is value
    assert whole.train_count.sum() == len(whole.train) == 40  # the original is untouched


def test_queries_without_examples_are_left_in_place() -> None:
    one = make_training_set().fraction(0.01)
    assert len(set(pairs(one))) == 1
    assert len(one.latest_query_row) == NUM_QUERIES
    assert np.count_nonzero(one.train_count) == 1
