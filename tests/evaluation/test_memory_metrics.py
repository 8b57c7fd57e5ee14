"""The memory of an evaluation: ranks compared with a plain loop, no leak, and what is chosen."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtail.artifacts import RunPaths, VersionPaths
from longtail.config import Config
from longtail.dataset.training_set import Examples, TrainingSet, load_training_set
from longtail.encoder.torch_encoder import Encoder, load_encoder
from longtail.evaluation.held_out import HeldOut, held_out_pairs
from longtail.evaluation.memory.choice import best_setting
from longtail.evaluation.memory.metrics import (
    known_queries,
    measure_memory,
    memory_ranks,
)
from longtail.evaluation.slices import item_slices
from longtail.memory.settings import MemorySettings
from tests.evaluation.small_project import make_config, make_day, make_version
from tests.memory.plain import probabilities

DAY = date(2023, 6, 10)
SETTINGS = MemorySettings(0.5, 4, 0.2, 1.0, 0.1, 10)


class Version:
    """A version with random weights, and the vectors of an evaluation of it."""

    def __init__(self, home: Path, **memory: Any) -> None:
        config = make_config(home)
        memory = {**config.memory.model_dump(), "storage": "fp32", **memory}
        self.config: Config = config.model_copy(update={"memory": type(config.memory)(**memory)})
        day = make_day(self.config, DAY, 40)
        folder = VersionPaths(self.config, make_version(self.config, day, seed=1)).folder
        self.encoder: Encoder = load_encoder(folder)
        self.set: TrainingSet = load_training_set(RunPaths(self.config, DAY).training_set)

    def vectors(self, held_out: HeldOut) -> tuple[Any, Any]:
        rows = self.set.catalogue_row[held_out.candidate]
        return (
            self.encoder.encode("query", self.set.query_rows.take(held_out.query_row)),
            self.encoder.encode("item", self.set.item_rows.take(rows)),
        )

    def ranks(self, held_out: HeldOut, settings: MemorySettings, batch: int = 7) -> Any:
        known = known_queries(self.set, self.encoder, held_out.candidate, self.config)
        return memory_ranks(known, held_out, *self.vectors(held_out), settings, batch)

    def measured(self) -> Any:
        held_out = held_out_pairs(self.set, "test")
        slices = item_slices(self.set.train_count[held_out.candidate], 0.1)
        vectors = self.vectors(held_out)
        return measure_memory(
            self.config, self.set, self.encoder, held_out, *vectors, slices, temperature=0.1
        )


@pytest.fixture
def version(tmp_path: Path) -> Version:
    return Version(tmp_path)


@pytest.mark.parametrize(
    "others",
    [
        {},
        {"knn_share": 0.3, "ease_share": 0.5},
        {"ease_share": 1.0, "head_fraction": 0.1, "tail_factor": 2.0, "cold_factor": 3.0},
    ],
)
def test_ranks_are_those_of_a_plain_loop(version: Version, others: dict[str, float]) -> None:
    settings = replace(SETTINGS, **others)
    held_out = held_out_pairs(version.set, "test")
    queries, items = version.vectors(held_out)
    # From the examples, one by one: who is linked with what in the training part.
    links: dict[int, set[int]] = {}
    candidates = held_out.candidate.tolist()
    for query_row, item_row in zip(
        version.set.train.query_row, version.set.train.item_row, strict=True
    ):
        query = int(version.set.query_of_row[query_row])
        item = int(version.set.item_of_row[item_row])
        if item in candidates:
            links.setdefault(query, set()).add(candidates.index(item))
    known = sorted(links)
    rows = version.set.latest_query_row[known]
    assert (rows >= 0).all()
    known_vectors = version.encoder.encode("query", version.set.query_rows.take(rows))
    ranks = version.ranks(held_out, settings)
    memory = known_queries(version.set, version.encoder, held_out.candidate, version.config)
    for pair, (query, item) in enumerate(
        zip(held_out.pair_query.tolist(), held_out.pair_item.tolist(), strict=True)
    ):
        first, last = held_out.excluded_offsets[query : query + 2]
        position = int(held_out.query[query])
        mixed = probabilities(
            (items @ queries[query]).tolist(),
            (known_vectors @ queries[query]).tolist(),
            [links[each] for each in known],
            settings,
            itself=known.index(position) if position in links else None,
            hidden=held_out.excluded_item[first:last].tolist(),
            linked=links.get(position, set()),
            knn=memory.weights["knn"].toarray().tolist(),
            ease=memory.weights["ease"].toarray().tolist(),
        )
        if item in mixed:
            expected = 1 + sum(value > mixed[item] for value in mixed.values())
        else:
            expected = held_out.num_candidates
        assert ranks[pair] == expected


def test_without_weight_the_ranks_are_the_models(version: Version) -> None:
    held_out = held_out_pairs(version.set, "test")
    queries, items = version.vectors(held_out)
    settings = replace(SETTINGS, weight=0.0, num_candidates=len(items))
    ranks = version.ranks(held_out, settings)
    for pair, (query, item) in enumerate(zip(held_out.pair_query, held_out.pair_item, strict=True)):
        scores = items @ queries[query]
        first, last = held_out.excluded_offsets[query : query + 2]
        scores[held_out.excluded_item[first:last]] = -np.inf
        assert ranks[pair] == 1 + (scores > scores[item]).sum()


def test_held_out_pairs_are_in_no_memory(version: Version) -> None:
    """Whatever stands in the held-out parts, the memory and all its votes stay the same."""
    held_out = held_out_pairs(version.set, "test")
    known = known_queries(version.set, version.encoder, held_out.candidate, version.config)
    nothing = Examples(*(values[:0] for values in vars(version.set.test).values()))
    bare = replace(version.set, test=nothing, validation=nothing)
    without = known_queries(bare, version.encoder, held_out.candidate, version.config)
    np.testing.assert_array_equal(known.query, without.query)
    np.testing.assert_array_equal(known.links.items, without.links.items)
    for kind, weights in known.weights.items():
        np.testing.assert_array_equal(weights.toarray(), without.weights[kind].toarray())
        assert not weights.diagonal().any()
    # And it would show: with the test pairs among the training pairs, the memory is another.
    train, test = vars(version.set.train), vars(version.set.test)
    leaked = Examples(*(np.concatenate([train[name], test[name]]) for name in train))
    leaking = known_queries(
        replace(version.set, train=leaked), version.encoder, held_out.candidate, version.config
    )
    assert len(leaking.links.items) > len(known.links.items)


def test_the_choice_does_not_read_the_test_part(version: Version, tmp_path: Path) -> None:
    measured = version.measured()
    rows = np.arange(0, len(version.set.test.query_row), 2)
    half = Examples(*(values[rows] for values in vars(version.set.test).values()))
    version.set = replace(version.set, test=half)
    again = version.measured()
    assert again["settings"] == measured["settings"]
    assert again.get("validation") == measured.get("validation")


def test_a_memory_that_is_not_wanted_says_so(tmp_path: Path) -> None:
    measured = Version(tmp_path, enabled=False).measured()
    assert measured == {"settings": None, "reason": "`memory.enabled` is false"}


def figures(r10: float, r50: float, m50: float, tail: float, cold: float) -> Any:
    none = {"recall@10": 0.0, "recall@50": 0.0, "map@50": 0.0}
    return {
        "overall": {"recall@10": r10, "recall@50": r50, "map@50": m50},
        "head": none,
        "tail": {**none, "recall@50": tail},
        "cold": {**none, "recall@50": cold},
    }


def test_the_best_setting_gains_most_and_keeps_the_tail() -> None:
    alone = figures(0.5, 0.6, 0.4, 0.3, 0.2)
    better = figures(0.6, 0.6, 0.4, 0.295, 0.2)
    best = figures(0.7, 0.7, 0.5, 0.28, 0.2)
    coldless = figures(0.7, 0.7, 0.5, 0.3, 0.1)
    assert best_setting([alone, better, best, coldless], max_tail_loss=0.03) == 1
    assert best_setting([alone, better, best, coldless], max_tail_loss=0.1) == 2
    assert best_setting([alone, best, coldless], max_tail_loss=0.0) == 0
    assert best_setting([alone, figures(0.5, 0.6, 0.39, 0.3, 0.2)], max_tail_loss=0.0) == 0


@pytest.mark.parametrize("name", ["tail", "cold"])
def test_the_best_setting_keeps_early_places(name: str) -> None:
    alone, late = figures(0.5, 0.6, 0.4, 0.3, 0.2), figures(0.7, 0.7, 0.5, 0.3, 0.2)
    alone[name]["recall@10"], late[name]["recall@10"] = 0.1, 0.09
    assert best_setting([alone, late], max_tail_loss=0.05) == 0
    assert best_setting([alone, late], max_tail_loss=0.11) == 1
