"""The small training set with histories, and the histories of its examples in plain Python."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from longtail.config import HistoryConfig
from longtail.dataset.training_set import PARTS, Examples, TrainingSet
from longtail.features.history_feature import with_history
from longtail.features.schema import Schema
from tests.dataset.small_set import make_training_set

# A query, an item and a moment.
Pair = tuple[int, int, int]


def make_history_set(
    length: int, *, timed: bool = True, shared: bool = True, num_examples: int = 300
) -> TrainingSet:
    """Return `make_training_set` with histories and with parts that have no example in common.

    Pairs repeat inside the training part, at one moment and at several. A pair of the training part
    may also be held out.

    Args:
        length: most items of a history.
        timed: False gives all interactions one timestamp.
        shared: whether ids of queries and items share their table.
        num_examples: examples of all parts together.
    """
    whole = make_training_set(num_examples)
    columns = vars(whole.train).values()
    if not timed:
        columns = [*list(columns)[:3], np.full(num_examples, 7)]
    part = np.random.default_rng(1).choice(3, num_examples, p=[0.7, 0.15, 0.15])
    parts = {
        name: Examples(*(column[part == number] for column in columns))
        for number, name in enumerate(PARTS)
    }
    schema = whole.schema
    if not shared:
        query_id = replace(schema.query[0], table="queries")
        schema = Schema((query_id, *schema.query[1:]), schema.item)
    with_column = replace(whole, schema=with_history(schema, HistoryConfig(length=length)), **parts)
    return with_column.with_histories(length)


def pairs_of(s: TrainingSet, examples: Examples) -> list[Pair]:
    """Return the query, the item and the moment of each example."""
    return [
        (int(s.query_of_row[query]), int(s.item_of_row[item]), int(moment))
        for query, item, moment in zip(
            examples.query_row, examples.item_row, examples.timestamp, strict=True
        )
    ]


def newest_by_hand(pairs: Iterable[Pair], query: int, length: int) -> list[int]:
    """Return the newest items of a query, newest first; equal moments by item."""
    first: dict[int, int] = {}
    for other, item, moment in pairs:
        if other == query:
            first[item] = min(moment, first.get(item, moment))
    return sorted(first, key=lambda item: (-first[item], item))[:length]


def before_by_hand(pairs: list[Pair], example: Pair, length: int, *, timed: bool) -> list[int]:
    """Return the newest items that a training example may see, newest first."""
    query, own, now = example
    first: dict[int, int] = {}
    for other, item, moment in pairs:
        if other == query:
            first[item] = min(moment, first.get(item, moment))
    allowed = [
        (query, item, moment)
        for item, moment in first.items()
        if item != own and (moment < now or not timed)
    ]
    return newest_by_hand(allowed, query, length)
