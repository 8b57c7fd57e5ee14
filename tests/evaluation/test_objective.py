"""The objective against sums over pairs, and the names of its terms."""

import numpy as np
import pytest
from pydantic import ValidationError

from longtail.config import EvaluationConfig
from longtail.evaluation.held_out import HeldOut
from longtail.evaluation.objective import objective, popularity_deciles

NO_ITEMS = np.zeros(0, np.int64)


def make_questions(pair_query: list[int], pair_item: list[int], num_items: int) -> HeldOut:
    num_queries = max(pair_query) + 1
    return HeldOut(
        query_row=np.arange(num_queries),
        query=np.arange(num_queries),
        candidate=np.arange(num_items),
        pair_query=np.array(pair_query),
        pair_item=np.array(pair_item),
        excluded_offsets=np.zeros(num_queries + 1, np.int64),
        excluded_item=NO_ITEMS,
        num_pairs_without_item=0,
    )


# Item 0 has all the popularity and half of the pairs.
COUNTS = np.array([100, 3, 2, 0, 0, 7])
QUESTIONS = make_questions([0, 0, 1, 1, 2, 3], [0, 1, 0, 3, 0, 2], 6)
RANKS = np.array([1, 60, 2, 20, 3, 40])


def test_deciles_are_of_the_items_that_are_asked_for_each_once() -> None:
    # Items 0, 1, 2, 3 are asked for: four groups, whatever the number of their pairs.
    group = popularity_deciles(QUESTIONS.pair_item, COUNTS)
    assert group.tolist() == [3, 2, 3, 0, 3, 1]
    assert popularity_deciles(NO_ITEMS, COUNTS).tolist() == []
    many = np.arange(1000)
    sizes = np.bincount(popularity_deciles(many, many))
    assert sizes.tolist() == [100] * 10


def test_the_default_counts_each_popularity_group_alike() -> None:
    terms = EvaluationConfig().objective
    # Recall@50 of the groups 0 to 3: item 3 is found, item 2 is found, item 1 is not, item 0 is.
    value = objective(RANKS, QUESTIONS, COUNTS, terms, head_fraction=0.2)
    assert value == pytest.approx((1 + 1 + 0 + 1) / 4)


def test_terms_are_weighted_and_added() -> None:
    terms = {
        "overall recall@10": 2.0,
        "cold recall@50": 0.5,
        "tail map@50": 1.0,
        "head map@10": 3.0,
    }
    # Head: one item of six (0.2 * 6), item 0, found first, second, third by its three queries.
    head_map = (1 / 1 + 1 / 2 + 1 / 3) / 3
    # Tail: queries 0, 1, 3 have one item each there, at ranks 60 (beyond 50), 20 and 40.
    tail_map = (0 + 1 / 20 + 1 / 40) / 3
    expected = 2.0 * 3 / 6 + 0.5 * 1.0 + tail_map + 3.0 * head_map
    assert objective(RANKS, QUESTIONS, COUNTS, terms, head_fraction=0.2) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"tails recall@50": 1.0}, "no term of an objective"),
        ({"tail recall@20": 1.0}, "no term of an objective"),
        ({"tail": 1.0}, "no term of an objective"),
        ({}, "needs a term"),
        ({"tail recall@50": 0.0}, "above 0"),
        ({"tail recall@50": float("nan")}, "above 0"),
    ],
)
def test_terms_that_do_not_exist_are_refused(terms: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EvaluationConfig(objective=terms)
