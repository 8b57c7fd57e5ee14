"""Three days of a catalogue that grows and decays, each trained on top of the one before.

From the second day on the learning rates are as good as zero, so that what a day's checkpoint holds
is what its warm start began with: a value has the numbers that it had the day before, whatever row
it stands in, and a new one has none of them.
"""

import itertools
import logging
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from longtail.artifacts import RunPaths, VersionPaths, read_json
from longtail.config import load_config
from tests.content import LENGTH, NUM_CLUSTERS, moments, texts
from tests.projects import write_project, write_tables

pytestmark = pytest.mark.slow

DAYS = [date(2024, 1, day) for day in (5, 6, 7)]
QUERIES = 36
ITEMS = {
    DAYS[0]: [*range(60)],
    DAYS[1]: [*range(80)],
    DAYS[2]: [*range(10), *range(20, 80), *range(90, 96)],  # ten are gone, six are new
}
SETTINGS: dict[str, Any] = {
    "features": {"default_dim": 8},
    "model": {"hidden": [16], "output_dim": 8},
    "training": {
        "batch_size": 64,
        "num_epochs": 4,
        "warm_start_epochs": 1,
        "threads_per_rank": 1,
        "table_learning_rate": 0.1,
        "tower_learning_rate": 0.02,
    },
    "gate": {"better_than_popularity": False, "min_recall_ratio": 0.0},
}
AT_REST = {"table_learning_rate": 1e-12, "tower_learning_rate": 1e-12}
_TABLE = "model.embedding_bags.embedding_bags.package.weight"
_SUMS = "optim.state.tables.embedding_bags.embedding_bags.package.weight.package.momentum1"
_PROJECTION = "model.projections.item_text"
_TOWER = "model.item_tower.input_layer.weight"


def tables_of(day: date) -> dict[str, pa.Table]:
    """The three tables as their owner has them on a day; who left them is nowhere any more."""
    numbers = np.array(ITEMS[day])
    born = np.where(numbers < 60, 5, np.where(numbers < 80, 6, 7))
    vectors = texts(2, np.arange(100) % NUM_CLUSTERS)[numbers].tolist()
    liked = [numbers[numbers % NUM_CLUSTERS == q % NUM_CLUSTERS][:10] for q in range(QUERIES)]
    query = np.repeat(np.arange(QUERIES), [len(items) for items in liked])
    item = np.concatenate(liked)
    ids = dict(zip(numbers.tolist(), born.tolist(), strict=True))
    return {
        "items": pa.table(
            {
                "item_id": [f"item-{number:02}" for number in numbers],
                "shop": [f"shop-{number % 7}" for number in numbers],
                "text": pa.array(vectors, pa.list_(pa.float32())),
                "event_timestamp": moments(born),
            }
        ),
        "queries": pa.table(
            {
                "query_id": [f"query-{number:02}" for number in range(QUERIES)],
                "country": [f"country-{number % 5}" for number in range(QUERIES)],
                "event_timestamp": moments([5] * QUERIES),
            }
        ),
        "interactions": pa.table(
            {
                "query_id": [f"query-{number:02}" for number in query],
                "item_id": [f"item-{number:02}" for number in item],
                "event_timestamp": moments([ids[number] for number in item.tolist()]),
            }
        ),
    }


def refresh(file: Path, day: date) -> VersionPaths:
    """All stages of a day up to a committed version."""
    from longtail.correlation.mine import mine_correlations
    from longtail.dataset.build_training_set import build_training_set
    from longtail.embeddings.export import export_catalogue
    from longtail.embeddings.index import build_index
    from longtail.evaluation.evaluate import evaluate_version
    from longtail.evaluation.gate import approve
    from longtail.features.feast.catalogue import build_catalogue
    from longtail.features.vocabulary import build_vocabularies
    from longtail.training.launch.launcher import train

    config = load_config(file)
    build_catalogue(config, day)
    mine_correlations(config, day)
    build_vocabularies(config, day)
    build_training_set(config, day)
    version = train(file, day)["version"]
    evaluate_version(config, version)
    approve(config, day)
    export_catalogue(config, day)
    build_index(config, day)
    return VersionPaths(config, version)


class Learned:
    """What a version's checkpoint and vocabulary hold of the table of ids."""

    def __init__(self, paths: VersionPaths) -> None:
        from longtail.training.checkpoint_files import newest_checkpoint, read_tensors

        names = [_TABLE, _SUMS, _PROJECTION, _TOWER]
        read = read_tensors(newest_checkpoint(paths.checkpoints), names)
        self.tensors = {name: tensor.numpy() for name, tensor in read.items()}
        values = pq.read_table(paths.vocabularies / "package.parquet")["value"].to_pylist()
        self.row = {value: row for row, value in enumerate(values) if value is not None}

    def of(self, name: str, value: str) -> npt.NDArray[np.float32]:
        row: npt.NDArray[np.float32] = self.tensors[name][self.row[value]]
        return row


@pytest.fixture(scope="module")
def versions(
    tmp_path_factory: pytest.TempPathFactory, own_environment: pytest.MonkeyPatch
) -> list[VersionPaths]:
    folder = tmp_path_factory.mktemp("days")
    file = write_project(folder, *tables_of(DAYS[0]).values(), SETTINGS)
    done = [refresh(file, DAYS[0])]
    settings = yaml.safe_load(file.read_text())
    settings["training"].update(AT_REST)
    file.write_text(yaml.safe_dump(settings))
    for day in DAYS[1:]:
        write_tables(folder, **tables_of(day))
        done.append(refresh(file, day))
    return done


def test_each_day_starts_from_the_one_before(versions: list[VersionPaths]) -> None:
    parents = [read_json(paths.training)["parent"] for paths in versions]
    assert parents == [None, versions[0].version, versions[1].version]
    stamps = [read_json(paths.vocabularies / "stamp.json") for paths in versions]
    assert [stamp["previous"] and stamp["previous"]["as_of"] for stamp in stamps] == [
        None,
        "2024-01-05",
        "2024-01-06",
    ]
    turnover = [stamp["turnover"]["package"] for stamp in stamps]
    counts = [
        [each[name] for name in ("rows", "new", "kept", "freed", "free")] for each in turnover
    ]
    assert counts[0] == [QUERIES + 60, QUERIES + 60, 0, 0, 0]
    assert counts[1] == [QUERIES + 80, 20, QUERIES + 60, 0, 0]
    assert counts[2] == [QUERIES + 80, 6, QUERIES + 70, 10, 4]


@pytest.mark.parametrize("name", [_TABLE, _SUMS])
def test_a_value_keeps_what_it_has_learned_and_a_new_one_inherits_nothing(
    versions: list[VersionPaths], name: str
) -> None:
    learned = [Learned(paths) for paths in versions]
    num_rows = [len(each.tensors[name]) for each in learned]
    assert num_rows == [QUERIES + 60, QUERIES + 80, QUERIES + 80]
    for before, after in itertools.pairwise(learned):
        gone = {row: value for value, row in before.row.items() if value not in after.row}
        inherited = 0
        for value, row in after.row.items():
            now = after.of(name, value)
            if value in before.row:
                assert row == before.row[value]
                then = before.of(name, value)
                if name == _TABLE:
                    np.testing.assert_allclose(now, then, atol=1e-6)
                else:  # an epoch adds squares of gradients to the sums that it starts from
                    assert (now >= then).all()
            elif row in gone:
                inherited += 1
                then = before.of(name, gone[row])
                if name == _TABLE:
                    assert np.abs(now - then).max() > 1e-3
                else:
                    assert (now < then).any()
        assert inherited == (6 if gone else 0)


def test_the_projection_of_a_dense_feature_goes_on_learning_from_where_it_was(
    versions: list[VersionPaths],
) -> None:
    first, *later = (Learned(paths).tensors for paths in versions)
    assert first[_PROJECTION].shape == (8, LENGTH)
    for each in later:
        for name in (_PROJECTION, _TOWER):
            np.testing.assert_allclose(each[name], first[name], atol=1e-6)


def test_items_that_came_later_are_near_their_kind(versions: list[VersionPaths]) -> None:
    """The last day's new items have been trained with a learning rate of nothing."""
    table = pq.read_table(versions[2].embeddings)
    vectors = np.array(table["embedding"].to_pylist())
    numbers = np.array([int(item.removeprefix("item-")) for item in table["item_id"].to_pylist()])
    assert numbers.tolist() == ITEMS[DAYS[2]]
    new = numbers >= 90
    scores = vectors[new] @ vectors[~new].T
    nearest = numbers[~new][np.argsort(-scores, axis=1)[:, :5]]
    assert (nearest % NUM_CLUSTERS == numbers[new, None] % NUM_CLUSTERS).mean() > 0.8


def test_a_day_run_again_changes_nothing(
    versions: list[VersionPaths], caplog: pytest.LogCaptureFixture
) -> None:
    file = versions[0].folder.parents[2] / "longtail.yaml"
    config = load_config(file)
    stamp = RunPaths(config, DAYS[2]).vocabularies / "stamp.json"
    before = stamp.stat().st_mtime_ns
    caplog.set_level(logging.INFO, "longtail")
    assert refresh(file, DAYS[2]).version == versions[2].version
    assert f"version {versions[2].version} is trained already" in caplog.text
    assert stamp.stat().st_mtime_ns == before
