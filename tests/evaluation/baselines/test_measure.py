"""Tuning and measuring: the questions of an evaluation, choices by validation, reasons."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from longtail.config import Config
from longtail.dataset.training_set import Examples, TrainingSet
from longtail.errors import InputError
from longtail.evaluation.baselines import ease, ials, method
from longtail.evaluation.baselines.item_knn import ItemKNN
from longtail.evaluation.baselines.measure import measure_baselines
from longtail.evaluation.baselines.names import UNTUNED
from longtail.evaluation.baselines.registry import TUNED
from longtail.evaluation.baselines.untuned import baseline_metrics
from longtail.evaluation.held_out import held_out_pairs
from longtail.evaluation.metrics import metrics_by_slice
from longtail.evaluation.slices import item_slices
from tests.evaluation.baselines.plain import loop_rank, prepared, scores_of, small_training_set
from tests.evaluation.small_project import make_config

ALL = (*UNTUNED, *TUNED)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return make_config(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def training_set(config: Config) -> TrainingSet:
    return small_training_set(config.home, 90)


@pytest.fixture(scope="module")
def measured(training_set: TrainingSet, config: Config) -> dict:
    return dict(measure_baselines(training_set, config))


def without(examples: Examples) -> Examples:
    return Examples(**{f.name: getattr(examples, f.name)[:0] for f in dataclasses.fields(examples)})


def test_every_baseline_is_asked_what_the_model_is_asked(
    measured: dict, training_set: TrainingSet, config: Config
) -> None:
    assert tuple(measured) == ALL
    held_out = held_out_pairs(training_set, "test")
    count = training_set.train_count[held_out.candidate]
    slices = item_slices(count, config.evaluation.head_fraction)
    plain = baseline_metrics(held_out, count, slices, seed=config.training.seed)
    assert measured["popularity"]["metrics"] == plain["popularity_ranking"]
    assert measured["random"]["metrics"] == plain["random_ranking"]
    for name in ALL:
        for part, members in slices.items():
            num_pairs = int(members[held_out.pair_item].sum())  # type: ignore[index]
            assert measured[name]["metrics"][part]["num_pairs"] == num_pairs
    # The settings are values of the grid.
    known = prepared(training_set)[0]
    for name, baseline in TUNED.items():
        for axis, values in baseline(known).axes().items():
            assert measured[name]["settings"][axis] in values


def test_the_metrics_are_those_of_a_sort_by_the_chosen_settings(
    measured: dict, training_set: TrainingSet, config: Config
) -> None:
    known, held_out, _ = prepared(training_set)
    scores = scores_of(ItemKNN(known), measured["item_knn"]["settings"], held_out).tolist()
    count = training_set.train_count[held_out.candidate]
    ranks = [
        loop_rank(held_out, pair, scores[int(held_out.pair_query[pair])], count.tolist())
        for pair in range(len(held_out.pair_query))
    ]
    slices = item_slices(count, config.evaluation.head_fraction)
    expected = metrics_by_slice(np.array(ranks), held_out, slices)
    assert measured["item_knn"]["metrics"] == expected


def test_settings_are_the_best_of_the_validation_part_and_do_not_see_the_test_part(
    measured: dict, training_set: TrainingSet, config: Config
) -> None:
    # Another test part: half of it, on other items.
    test = training_set.test
    half = np.arange(0, len(test), 2)
    other = Examples(
        test.query_row[half], test.item_row[half][::-1], test.weight[half], test.timestamp[half]
    )
    again = measure_baselines(replace(training_set, test=other), config, names=tuple(TUNED))
    for name in TUNED:
        assert again[name]["settings"] == measured[name]["settings"]
        assert again[name]["metrics"] != measured[name]["metrics"]
    # Another validation part changes at least one choice.
    swapped = replace(training_set, validation=other)
    found = measure_baselines(swapped, config, names=tuple(TUNED))
    assert any(found[name]["settings"] != measured[name]["settings"] for name in TUNED)
    # No value of any setting alone is better on the validation part.
    chosen = measured["item_knn"]["settings"]
    best = recall_on_validation(training_set, config, chosen)
    for value in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5):
        assert recall_on_validation(training_set, config, {**chosen, "popularity": value}) <= best


def recall_on_validation(training_set: TrainingSet, config: Config, settings: dict) -> float:
    """Return recall@50 by a sort."""
    known = prepared(training_set)[0]
    asked = held_out_pairs(training_set, "validation")
    scores = scores_of(ItemKNN(known), settings, asked).tolist()
    count = training_set.train_count[asked.candidate].tolist()
    ranks = [
        loop_rank(asked, pair, scores[int(asked.pair_query[pair])], count)
        for pair in range(len(asked.pair_query))
    ]
    return float(np.mean(np.array(ranks) <= 50))


def test_names_and_parts_can_be_chosen(training_set: TrainingSet, config: Config) -> None:
    found = measure_baselines(training_set, config, names=("ease", "popularity"), part="validation")
    assert list(found) == ["ease", "popularity"]
    num_pairs = len(held_out_pairs(training_set, "validation").pair_item)
    assert found["ease"]["metrics"]["overall"]["num_pairs"] == num_pairs
    with pytest.raises(InputError, match="no such baseline: slim; there are popularity, random"):
        measure_baselines(training_set, config, names=("slim",))


def test_nothing_to_tune_on_is_said(training_set: TrainingSet, config: Config) -> None:
    untuned = replace(training_set, validation=without(training_set.validation))
    found = measure_baselines(untuned, config, names=tuple(TUNED))
    for name, baseline in TUNED.items():
        axes = baseline(prepared(training_set)[0]).axes()
        assert found[name]["settings"] == {axis: values[0] for axis, values in axes.items()}
        assert "not tuned" in found[name]["notes"][-1]


def test_what_is_not_possible_is_left_out_with_the_reason(
    training_set: TrainingSet, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tables of their own for each side: no feature can be compared.
    schema = training_set.schema
    own = replace(schema, query=tuple(replace(f, table=f"q_{f.name}") for f in schema.query))
    found = measure_baselines(replace(training_set, schema=own), config, names=("tfidf_cosine",))
    reason = "no feature of the queries shares a table with one of the items"
    assert found == {"tfidf_cosine": {"left_out": reason}}
    # Ids alone.
    ids = replace(
        schema,
        item=tuple(
            replace(f, kind="dense", table=f"d_{f.name}") if f.name != "item_id" else f
            for f in schema.item
        ),
    )
    found = measure_baselines(
        replace(training_set, schema=ids), config, names=("tfidf_cosine", "tfidf_profile")
    )
    assert found["tfidf_cosine"] == {"left_out": reason}
    assert "no categorical feature" in found["tfidf_profile"]["left_out"]
    # No training link.
    nothing = replace(
        training_set,
        train=without(training_set.train),
        train_count=np.zeros_like(training_set.train_count),
    )
    found = measure_baselines(nothing, config)
    left_out = {name for name, one in found.items() if "left_out" in one}
    assert left_out == {"item_knn", "query_knn", "ease", "ials", "tfidf_profile"}
    assert found["ease"]["left_out"] == "no training interaction has an item of the catalogue"
    # Too large.
    monkeypatch.setattr(method, "MAX_PRODUCTS", 10)
    monkeypatch.setattr(ials, "MAX_LINKS", 10)
    monkeypatch.setattr(ease, "MAX_ITEMS", 10)
    found = measure_baselines(training_set, config, names=tuple(TUNED))
    for name in ("item_knn", "query_knn", "tfidf_cosine", "tfidf_profile"):
        assert "billion multiplications" in found[name]["left_out"]
    assert "links" in found["ials"]["left_out"]
    assert found["ease"]["notes"][0].startswith("on the 10 most interacted")


def test_nothing_to_measure_gives_zeros(training_set: TrainingSet, config: Config) -> None:
    empty = replace(training_set, test=without(training_set.test))
    for one in measure_baselines(empty, config).values():
        overall = one["metrics"]["overall"]  # type: ignore[typeddict-item]
        assert overall["num_pairs"] == overall["recall@50"] == 0
