"""A small training set, its contents as plain Python, and rankings by plain loops."""

import math
from datetime import date
from pathlib import Path

import numpy as np

from longtail.artifacts import RunPaths
from longtail.dataset.training_set import TrainingSet, load_training_set
from longtail.evaluation.baselines.known import Known, known_of
from longtail.evaluation.baselines.method import Method, Settings
from longtail.evaluation.held_out import HeldOut, held_out_pairs
from tests.evaluation.small_project import make_config, make_day

DAY = date(2023, 6, 10)

Vector = dict[object, float]


def small_training_set(home: Path, num_packages: int = 60) -> TrainingSet:
    config = make_config(home)
    make_day(config, DAY, num_packages)
    return load_training_set(RunPaths(config, DAY).training_set)


class Plain:
    """The links and features of a training set, by position, read example by example.

    Attributes:
        links: for each query, its training items among the candidates.
        query_features, item_features: for each query and candidate, its (feature, value)s.
    """

    def __init__(self, training_set: TrainingSet, held_out: HeldOut) -> None:
        s = training_set
        candidate = {int(item): place for place, item in enumerate(held_out.candidate)}
        self.links: list[set[int]] = [set() for _ in range(len(s.query_ids))]
        for query_row, item_row in zip(s.train.query_row, s.train.item_row, strict=True):
            item = int(s.item_of_row[item_row])
            if item in candidate:
                self.links[int(s.query_of_row[query_row])].add(candidate[item])

        def features(rows: object, row: int, names: list[str]) -> set[tuple[str, int]]:
            found = set()
            for position, name in enumerate(names):
                cell = row * len(names) + position
                first, last = rows.offsets[cell : cell + 2]  # type: ignore[attr-defined]
                found |= {(name, int(v)) for v in rows.values[first:last]}  # type: ignore[attr-defined]
            return {each for each in found if not each[0].endswith("_id")}

        names = [f.name for f in s.schema.query]
        # A query that the day does not know has one row: its own.
        self.query_features = [
            features(s.query_rows, int(row) if row >= 0 else place, names)
            for place, row in enumerate(s.latest_query_row)
        ]
        names = [f.name for f in s.schema.item]
        self.item_features = [
            features(s.item_rows, int(s.catalogue_row[item]), names) for item in held_out.candidate
        ]

    @property
    def num_items(self) -> int:
        return len(self.item_features)

    @property
    def linked_by(self) -> list[set[int]]:
        """For each candidate, the queries with a training link to it."""
        return [
            {query for query, items in enumerate(self.links) if item in items}
            for item in range(self.num_items)
        ]


def tf_idf(documents: list[set], max_share: float = 1.0) -> dict[object, float]:
    """Return the weight of each term of some documents."""
    weights = {}
    for term in set().union(*documents):
        count = sum(term in document for document in documents)
        if count <= max_share * len(documents):
            weights[term] = math.log((1 + len(documents)) / (1 + count))
    return weights


def unit(terms: set, weights: dict[object, float]) -> Vector:
    """Return the weighted terms of a document, scaled to length one."""
    length = math.sqrt(sum(weights.get(term, 0.0) ** 2 for term in terms))
    return {t: weights[t] / length for t in terms if weights.get(t, 0.0) > 0}


def dot(left: Vector, right: Vector) -> float:
    return sum(value * right.get(term, 0.0) for term, value in left.items())


def scores_of(method: Method, settings: Settings, held_out: HeldOut) -> np.ndarray:
    """Return the dense `[Q, C]` scores that a method gives to the queries of an evaluation."""
    return method.fit(settings)(held_out.query, held_out.query_row).toarray()


def prepared(training_set: TrainingSet) -> tuple[Known, HeldOut, Plain]:
    held_out = held_out_pairs(training_set, "test")
    known = known_of(training_set, held_out.candidate, seed=0)
    return known, held_out, Plain(training_set, held_out)


def loop_rank(held_out: HeldOut, pair: int, scores: list[float], train_count: list[int]) -> int:
    """Return the rank of a pair by sorting all items that its query is shown."""
    query, item = int(held_out.pair_query[pair]), int(held_out.pair_item[pair])
    first, last = held_out.excluded_offsets[query : query + 2]
    hidden = set(held_out.excluded_item[first:last].tolist())
    shown = [each for each in range(len(scores)) if each not in hidden]
    shown.sort(key=lambda each: (-scores[each], -train_count[each], each))
    return shown.index(item) + 1
