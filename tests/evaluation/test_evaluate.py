"""The evaluation of a version, against plain loops over its pairs."""

import json
import math
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longtail.artifacts import RunPaths, VersionPaths, published_pointer, read_json, write_json
from longtail.config import Config, GateConfig, HistoryConfig
from longtail.embeddings.export import export_catalogue
from longtail.encoder.torch_encoder import load_encoder
from longtail.errors import InputError, LongtailError
from longtail.evaluation.baselines.registry import TUNED
from longtail.evaluation.evaluate import evaluate_version
from longtail.evaluation.gate import approve
from longtail.evaluation.linear_probes import frequent_classes, probe
from longtail.features.encoding import encode_table
from longtail.features.vocabulary import load_vocabularies
from tests.evaluation.small_project import Day, make_config, make_day, make_version

FIRST, SECOND = date(2023, 6, 10), date(2025, 8, 9)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return make_config(tmp_path)


def encode_by_id(config: Config, version: str, day: Day, side: Any) -> dict[str, np.ndarray]:
    """Return the vector of every key, encoded one by one from the tables of the day."""
    folder = VersionPaths(config, version).folder
    encoder, vocabularies = load_encoder(folder), load_vocabularies(folder / "vocabularies")
    file = RunPaths(config, day.as_of).catalogue / ("items" if side == "item" else "queries")
    table = pq.read_table(file.with_suffix(".parquet"))
    features = encoder.schema.side(side)
    vectors = {}
    for row in range(table.num_rows):
        one = table.slice(row, 1)
        if "history" in one.column_names:
            one = with_training_items(one, day)
        rows = encode_table(one, features, vocabularies)
        vectors[one[features[0].name][0].as_py()] = encoder.encode(side, rows)[0]
    return vectors


def with_training_items(row: pa.Table, day: Day) -> pa.Table:
    """Return the row of a query with its items of the training part as its history."""
    query = row["query_id"][0].as_py()
    history = [[item for asker, item in day.train if asker == query]]
    kept = [name for name in row.column_names if name != "history"]
    column = pa.array(history, pa.list_(pa.string()))
    return row.select(kept).append_column("history", column)


def looped_recall(
    day: Day,
    queries: dict[str, np.ndarray],
    items: dict[str, np.ndarray],
    ranked: set[str],
    inside: set[str],
    k: int,
) -> tuple[float, int]:
    """Return recall@k of the pairs with a ranked item that is inside a slice, and their number."""
    found = total = 0
    for query, right in day.test:
        if right not in ranked or right == query or right not in inside:
            continue
        hidden = {item for asker, item in day.train if asker == query} | {query}
        scores = {item: float(queries[query] @ items[item]) for item in ranked - hidden}
        found += sorted(scores, key=lambda item: -scores[item]).index(right) < k
        total += 1
    return found / total, total


def slices_of(day: Day) -> dict[str, set[str]]:
    counts = dict.fromkeys(day.catalogue, 0)
    for _, item in day.train:
        if item in counts:
            counts[item] += 1
    most = sorted(day.catalogue, key=lambda item: (-counts[item], item))
    head = set(most[: len(day.catalogue) // 10])
    return {
        "overall": set(day.catalogue),
        "head": head,
        "tail": set(day.catalogue) - head,
        "cold": {item for item in day.catalogue if counts[item] == 0},
    }


def query_vectors(config: Config, version: str, day: Day) -> dict[str, np.ndarray]:
    """Return the vectors of all queries; the query without features has its id alone."""
    vectors = encode_by_id(config, version, day, "query")
    folder = VersionPaths(config, version).folder
    encoder, vocabularies = load_encoder(folder), load_vocabularies(folder / "vocabularies")
    for query, _ in day.test:
        if query not in vectors:
            one = pa.table({"query_id": [query], "section": pa.array([None], pa.string())})
            if encoder.schema.history is not None:
                one = with_training_items(one, day)
            rows = encode_table(one, encoder.schema.query, vocabularies)
            vectors[query] = encoder.encode("query", rows)[0]
    return vectors


@pytest.mark.parametrize("length", [0, 50])
def test_metrics_equal_loops_over_all_pairs(config: Config, length: int) -> None:
    config = config.model_copy(update={"history": HistoryConfig(length=length)})
    day = make_day(config, FIRST, 70)
    version = make_version(config, day, seed=1)
    document = evaluate_version(config, version, baselines=True)
    queries = query_vectors(config, version, day)
    items = encode_by_id(config, version, day, "item")
    catalogue = set(day.catalogue)
    for name, inside in slices_of(day).items():
        measured = document["metrics"][name]
        assert measured["num_pairs"] > 0
        for k in (10, 50):
            recall, num_pairs = looped_recall(day, queries, items, catalogue, inside, k)
            assert measured[f"recall@{k}"] == pytest.approx(recall, abs=1e-12)
            assert measured["num_pairs"] == num_pairs
    unrankable = [pair for pair in day.test if pair[1] not in catalogue or pair[0] == pair[1]]
    assert ("p007", "p007") in unrankable
    assert document["num_pairs_without_item"] == len(unrankable)
    assert document["against_served"] is None
    assert set(document["baselines"]) == {"popularity_ranking", "random_ranking", "tuned"}
    assert set(document["baselines"]["tuned"]) == set(TUNED)
    stored = read_json(VersionPaths(config, version).metrics)
    assert stored["metrics"] == document["metrics"]
    assert (VersionPaths(config, version).folder / "recall.png").stat().st_size > 1_000


def test_health_is_of_the_vectors_that_are_measured(config: Config) -> None:
    day = make_day(config, FIRST, 120)
    version = make_version(config, day, seed=1)
    document = evaluate_version(config, version)
    text = VersionPaths(config, version).metrics.read_text()
    stored = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert stored["health"] == document["health"]
    health = document["health"]

    # The items that any query has among its first 50, by sorting all scores.
    queries = query_vectors(config, version, day)
    items = encode_by_id(config, version, day, "item")
    retrieved: set[str] = set()
    for query in {q for q, item in day.test if item in items and item != q}:
        hidden = {item for asker, item in day.train if asker == query} | {query}
        scores = {item: float(queries[query] @ items[item]) for item in items.keys() - hidden}
        retrieved.update(sorted(scores, key=lambda item: -scores[item])[:50])
    # Every figure of every slice, from the definition over single pairs.
    for name, inside in slices_of(day).items():
        values = health["slices"][name]
        assert values["num_items"] == len(inside)
        missed = len(inside - retrieved) / len(inside)
        assert values["never_retrieved"] == pytest.approx(missed, abs=1e-12)
        terms = [
            math.exp(-2.0 * float(((items[one] - items[other]).astype(np.float64) ** 2).sum()))
            for one in inside
            for other in inside
            if one != other
        ]
        uniformity = math.log(sum(terms) / len(terms))
        assert values["uniformity"] == pytest.approx(uniformity, abs=1e-5)
        distances = [
            float(((queries[query] - items[item]).astype(np.float64) ** 2).sum())
            for query, item in day.test
            if item in inside and item != query
        ]
        assert values["alignment"] == pytest.approx(sum(distances) / len(distances), abs=1e-5)
    assert 1.0 < health["effective_rank"] <= health["dim"] == 8
    for value in health["popularity_correlation"].values():
        assert -1.0 <= value <= 1.0


def test_probes_do_not_see_the_feature_that_they_ask_for(config: Config) -> None:
    day = make_day(config, FIRST, 120)
    version = make_version(config, day, seed=1)
    measured = evaluate_version(config, version)["health"]["probes"]
    assert set(measured) == {"section", "tags"}

    folder = VersionPaths(config, version).folder
    encoder, vocabularies = load_encoder(folder), load_vocabularies(folder / "vocabularies")
    table = pq.read_table(RunPaths(config, FIRST).catalogue / "items.parquet")
    features = encoder.schema.item
    shown = encode_table(table, features, vocabularies)
    for position, feature in enumerate(features[1:], start=1):
        # The vectors that the probe must get: encoded from a table that lacks the feature.
        column = table.schema.get_field_index(feature.name)
        empty = pa.nulls(table.num_rows, table.schema.field(column).type)
        hidden = encode_table(table.set_column(column, feature.name, empty), features, vocabularies)
        vectors = encoder.encode("item", hidden)
        generator = np.random.default_rng((config.training.seed, position))
        chosen, labels = frequent_classes(shown, position, generator)
        order = generator.permutation(len(chosen))
        num_measured = len(chosen) // 5
        accuracy, majority = probe(
            vectors[chosen], labels, order[num_measured:], order[:num_measured]
        )
        found = measured[feature.name]
        assert (found["accuracy"], found["majority"]) == pytest.approx((accuracy, majority))
        counts = Counter(
            value
            for cell in table[feature.name].to_pylist()
            for value in (set(cell) if feature.kind == "multi" else {cell})
        )
        assert found["num_classes"] == sum(count >= 10 for count in counts.values())


@pytest.mark.parametrize("length", [0, 50])
def test_the_served_version_is_asked_the_same_on_the_items_that_both_know(
    config: Config, length: int
) -> None:
    config = config.model_copy(update={"history": HistoryConfig(length=length)})
    first = make_day(config, FIRST, 50)
    served = make_version(config, first, seed=1)
    write_json(RunPaths(config, FIRST).approved, {"version": served})
    export_catalogue(config, FIRST)
    write_json(published_pointer(config), {"version": served, "as_of": "2023-06-10"})
    second = make_day(config, SECOND, 80)
    version = make_version(config, second, seed=2)

    against = evaluate_version(config, version)["against_served"]
    common = set(first.catalogue)  # all of them are still there
    assert against["version"] == served
    assert against["num_common_items"] == len(common)
    for key, name in (("metrics", version), ("served_metrics", served)):
        queries = query_vectors(config, name, second)
        items = encode_by_id(config, name, second, "item")
        for slice_name in ("overall", "tail"):
            inside = slices_of(second)[slice_name]
            expected = looped_recall(second, queries, items, common, inside, 10)
            measured = against[key][slice_name]
            assert (measured["recall@10"], measured["num_pairs"]) == pytest.approx(expected)
    # The served version has no version to beat, and an older day never replaces a newer one.
    assert evaluate_version(config, served)["against_served"] is None


def test_the_gate_measures_against_what_is_served_when_it_decides(config: Config) -> None:
    first = make_day(config, FIRST, 50)
    served = make_version(config, first, seed=1)
    write_json(RunPaths(config, FIRST).approved, {"version": served})
    export_catalogue(config, FIRST)
    version = make_version(config, make_day(config, SECOND, 80), seed=2)
    assert evaluate_version(config, version)["against_served"] is None
    # The served version is published only after the evaluation.
    write_json(published_pointer(config), {"version": served, "as_of": "2023-06-10"})
    rules = GateConfig(better_than_popularity=False, min_recall_ratio=0.0, min_map_ratio=0.0)
    lenient = config.model_copy(update={"gate": rules})
    approved = approve(lenient, SECOND)
    assert approved["served"] == served
    assert any(served in reason and "47 common items" in reason for reason in approved["reasons"])
    written = RunPaths(config, SECOND).approved.stat().st_mtime_ns
    assert approve(lenient, SECOND) == approved
    assert RunPaths(config, SECOND).approved.stat().st_mtime_ns == written


def test_metrics_are_kept_until_something_changes(config: Config) -> None:
    day = make_day(config, FIRST, 40)
    version = make_version(config, day, seed=1)
    first = evaluate_version(config, version)
    file = VersionPaths(config, version).metrics
    written = file.stat().st_mtime_ns
    assert evaluate_version(config, version) == first
    assert file.stat().st_mtime_ns == written
    assert "baselines" not in first
    other = config.model_copy(
        update={"evaluation": config.evaluation.model_copy(update={"head_fraction": 0.5})}
    )
    assert evaluate_version(other, version)["metrics"] != first["metrics"]
    assert file.stat().st_mtime_ns != written


def test_a_committed_version_is_never_written_to(config: Config) -> None:
    day = make_day(config, FIRST, 40)
    version = make_version(config, day, seed=1)
    paths = VersionPaths(config, version)
    evaluate_version(config, version)
    write_json(paths.manifest, {"version": version})
    content = paths.metrics.read_bytes()
    other = config.model_copy(
        update={"evaluation": config.evaluation.model_copy(update={"head_fraction": 0.5})}
    )
    assert evaluate_version(other, version)["metrics"] != read_json(paths.metrics)["metrics"]
    assert paths.metrics.read_bytes() == content


def test_what_cannot_be_measured_says_so(config: Config) -> None:
    day = make_day(config, FIRST, 40)
    version = make_version(config, day, seed=1)
    paths = VersionPaths(config, version)
    with pytest.raises(InputError, match="longtail versions"):
        evaluate_version(config, "20230610-ffffffff")
    write_json(RunPaths(config, FIRST).vocabularies / "stamp.json", {"fingerprint": "new"})
    with pytest.raises(LongtailError, match="has changed since"):
        evaluate_version(config, version)
    paths.encoder.unlink()
    with pytest.raises(LongtailError, match="longtail train"):
        evaluate_version(config, version)
    assert not paths.metrics.exists()
