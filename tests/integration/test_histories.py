"""Histories from tables to answers: no held-out item in training, every item in what is served."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from longtail.artifacts import RunPaths, read_json
from longtail.config import Config, load_config
from longtail.dataset.training_set import TrainingSet, load_training_set
from longtail.features.schema import Schema
from tests.content import moments
from tests.projects import write_project

pytestmark = pytest.mark.slow

ITEMS, QUERIES, CLUSTERS, PICKS = 120, 240, 6, 9
LAST = date(2024, 1, PICKS + 1)
SETTINGS: dict[str, Any] = {
    "features": {"default_dim": 16},
    "history": {"length": 20},
    "model": {"hidden": [32], "output_dim": 16},
    "training": {
        "batch_size": 128,
        "num_epochs": 20,
        "threads_per_rank": 1,
        "table_learning_rate": 0.1,
        "tower_learning_rate": 0.02,
    },
    "gate": {"baselines": "off"},
}


@dataclass
class Served:
    """A project whose only day went through all stages."""

    config: Config
    metrics: dict[str, Any]
    chosen: dict[str, list[str]]
    """The items of each query, the newest first."""

    @property
    def training_set(self) -> TrainingSet:
        return load_training_set(RunPaths(self.config, LAST).training_set)


def make_project(folder: Path) -> tuple[Path, dict[str, list[str]]]:
    """Queries that choose an item of their cluster each day, and have no feature but their id."""
    random = np.random.default_rng(5)
    chosen = {}
    for query in range(QUERIES):
        numbers = random.permutation(ITEMS // CLUSTERS)[:PICKS] * CLUSTERS + query % CLUSTERS
        chosen[f"query-{query:03}"] = [f"item-{number:03}" for number in numbers]
    shops = [f"shop-{number}" for number in random.integers(0, 9, ITEMS)]
    items = {
        "item_id": [f"item-{number:03}" for number in range(ITEMS)],
        "shop": shops,
        "event_timestamp": moments([1] * ITEMS),
    }
    queries = {
        "query_id": list(chosen),
        "land": [f"land-{number}" for number in random.integers(0, 4, QUERIES)],
        "event_timestamp": moments([1] * QUERIES),
    }
    interactions = {
        "query_id": np.repeat(list(chosen), PICKS),
        "item_id": [item for picked in chosen.values() for item in picked],
        # The first pick is the newest.
        "event_timestamp": moments([*range(PICKS + 1, 1, -1)] * QUERIES),
    }
    tables = (pa.table(items), pa.table(queries), pa.table(interactions))
    return write_project(folder, *tables, SETTINGS), chosen


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, own_environment: pytest.MonkeyPatch) -> Served:
    from longtail.correlation.mine import mine_correlations
    from longtail.dataset.build_training_set import build_training_set
    from longtail.embeddings.export import export_catalogue
    from longtail.embeddings.index import build_index
    from longtail.embeddings.publish import publish, publish_query_features
    from longtail.evaluation.evaluate import evaluate_version
    from longtail.evaluation.gate import approve
    from longtail.features.feast.catalogue import build_catalogue
    from longtail.features.vocabulary import build_vocabularies
    from longtail.training.launch.launcher import train

    file, chosen = make_project(tmp_path_factory.mktemp("histories"))
    config = load_config(file)
    for stage in (build_catalogue, mine_correlations, build_vocabularies, build_training_set):
        stage(config, LAST)
    version = train(file, LAST, num_ranks=1)["version"]
    metrics = evaluate_version(config, version)
    approve(config, LAST)
    export_catalogue(config, LAST)
    build_index(config, LAST)
    publish_query_features(config, LAST)
    publish(config, LAST)
    return Served(config, metrics, chosen)  # type: ignore[arg-type]


def test_training_sees_no_held_out_item_and_what_is_served_sees_all(served: Served) -> None:
    from longtail.features.feast.online_query_features import OnlineQueries
    from longtail.features.vocabulary import load_vocabularies

    run = RunPaths(served.config, LAST)
    schema = Schema.from_json(read_json(run.catalogue_files.schema))
    queries = list(served.chosen)
    published = OnlineQueries(served.config).read(queries, schema.query)["history"].to_pylist()
    assert published == list(served.chosen.values())

    s = served.training_set
    assert schema.history is not None
    values = load_vocabularies(run.vocabularies)[schema.history.table].values
    training: dict[str, set[str]] = {query: set() for query in queries}
    for query, item in zip(
        s.query_of_row[s.train.query_row], s.item_of_row[s.train.item_row], strict=True
    ):
        training[s.query_ids[int(query)].as_py()].add(s.item_ids[int(item)].as_py())
    assert sum(map(len, training.values())) == len(s.train) < len(queries) * PICKS
    last = len(schema.query) - 1
    for row, query in enumerate(s.query_of_row):
        cell = row * len(schema.query) + last
        first, end = s.query_rows.offsets[cell : cell + 2]
        name = s.query_ids[int(query)].as_py()
        seen = values.take(pa.array(s.query_rows.values[first:end])).to_pylist()
        assert seen == [item for item in served.chosen[name] if item in training[name]]


def test_a_known_query_and_a_stranger_get_items_of_their_cluster(served: Served) -> None:
    from longtail.serving import Recommender

    recommender = Recommender(served.config)
    known, strange = 0, 0
    for query, items in list(served.chosen.items())[:24]:
        cluster = int(query[-3:]) % CLUSTERS
        # Half of what the query chose stands for a stranger, who has no id and no features.
        answers = (
            recommender.recommend(query, 5, exclude_seen=True)["results"],
            recommender.recommend_to({"history": items[:4]}, 5)["results"][0],
        )
        in_cluster = [
            sum(int(result["item"][-3:]) % CLUSTERS == cluster for result in results)
            for results in answers
        ]
        assert not {result["item"] for result in answers[1]} & set(items[:4])
        known, strange = known + in_cluster[0], strange + in_cluster[1]
    # By chance a sixth of 120 are right.
    assert known > 80
    assert strange > 80


def test_the_evaluation_shows_what_a_session_keeps(served: Served) -> None:
    session = served.metrics["session"]
    overall = served.metrics["metrics"]["overall"]
    # Every query has training items, so the figures with the id are those of the version.
    assert session["num_queries"] > 0.9 * QUERIES * 0.6
    assert session["with_id"]["overall"] == pytest.approx(overall)
    assert session["metrics"]["overall"]["num_pairs"] == overall["num_pairs"]
    assert session["recall_kept"] > 0.8
