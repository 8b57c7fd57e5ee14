"""Histories, interactions and point-in-time features, compared with values found by hand."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from longtail.config import Config
from longtail.errors import InputError
from longtail.features.feast import repository as store_module
from longtail.features.feast.repository import FeatureRepository
from tests.features.conftest import UTC_US, day, interaction_rows, item_rows
from tests.projects import default_day, write_tables


@pytest.fixture
def repository(unchanged_project: Config) -> FeatureRepository:
    return FeatureRepository(unchanged_project)


@pytest.fixture
def own_repository(project: Config) -> FeatureRepository:
    repository = FeatureRepository(project)
    repository.apply()
    return repository


def keys(*pairs: tuple[str, datetime]) -> pa.Table:
    return pa.table(
        {
            "item_id": [key for key, _ in pairs],
            "event_timestamp": pa.array([moment for _, moment in pairs], UTC_US),
        }
    )


def test_point_in_time_is_what_held_at_that_instant(repository: FeatureRepository) -> None:
    instant = timedelta(microseconds=1)
    rows = repository.point_in_time(
        "item",
        keys(
            ("a", day(9)),  # valid from exactly then on
            ("a", day(9) - instant),
            ("c", day(5)),
            ("c", day(5) - instant),  # not there yet
            ("nobody", day(9)),
            ("a", day(1)),
            ("a", day(9)),  # once more
            ("b", day(3)),
        ),
    )
    assert rows["section"].to_pylist() == ["web", "net", None, None, None, "games", "web", "libs"]
    assert rows["size"].to_pylist() == [5, 3, None, None, None, 1, 5, 2]
    assert rows["tags"].to_pylist() == [["x"], ["y"], ["z"], None, None, ["x", "y"], ["x"], []]
    assert rows["item_id"].to_pylist() == ["a", "a", "c", "c", "nobody", "a", "a", "b"]
    assert rows["event_timestamp"][0].as_py() == day(9)
    assert rows.column_names == ["item_id", "event_timestamp", "section", "tags", "size"]
    assert rows.schema.field("size").type == pa.int64()
    assert rows.schema.field("tags").type == pa.list_(pa.string())


def test_point_in_time_keeps_every_row_in_order_over_chunks(
    repository: FeatureRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "POINT_IN_TIME_CHUNK", 70)
    rng = np.random.default_rng(0)
    ids = rng.choice(["a", "b", "c", "nobody"], 200)
    days = rng.integers(1, 12, 200)
    rows = repository.point_in_time(
        "item", keys(*((str(i), day(int(d))) for i, d in zip(ids, days, strict=True)))
    )

    def section(item: str, number: int) -> str | None:
        if item == "a":
            return "games" if number < 5 else "net" if number < 9 else "web"
        return "libs" if item == "b" else None

    assert rows["item_id"].to_pylist() == ids.tolist()
    assert rows["section"].to_pylist() == [section(i, d) for i, d in zip(ids, days, strict=True)]


def test_point_in_time_of_nothing_has_the_same_columns(repository: FeatureRepository) -> None:
    some = repository.point_in_time("item", keys(("a", day(1))))
    assert repository.point_in_time("item", keys()).schema == some.schema


def test_history_holds_what_was_known_by_the_end_of_the_day(
    repository: FeatureRepository,
) -> None:
    history = repository.history("item", date(2024, 1, 8))
    assert history["item_id"].to_pylist() == ["a", "a", "b", "c"]
    assert history["section"].to_pylist() == ["games", "net", "libs", None]
    assert history["active"].to_pylist() == [True, True, True, True]
    later = repository.history("item", date(2024, 1, 9))
    assert later["item_id"].to_pylist() == ["a", "a", "a", "b", "b", "c"]
    assert later["active"].to_pylist() == [True, True, True, True, False, True]
    assert "active" not in repository.history("query", date(2024, 1, 9)).column_names


def test_latest_is_one_row_a_key(repository: FeatureRepository) -> None:
    assert repository.latest("item", date(2024, 1, 8))["size"].to_pylist() == [3, 2, None]
    assert repository.latest("item", date(2024, 1, 1))["item_id"].to_pylist() == ["a", "b"]
    latest = repository.latest("query", date(2024, 1, 9))
    assert latest["query_id"].to_pylist() == ["a", "q"]
    assert latest["section"].to_pylist() == ["net", "libs"]


def test_interactions_are_pairs_at_their_earliest(repository: FeatureRepository) -> None:
    pairs = repository.interactions(date(2024, 1, 8))
    assert pairs.to_pydict() == {
        "query_id": ["a", "q"],
        "item_id": ["c", "a"],
        "event_timestamp": [day(8, 23), day(4)],
        "weight": [1.0, 9.0],  # null is 1; the largest of the three of (q, a)
    }
    assert pairs.schema.field("weight").type == pa.float32()
    assert repository.interactions(date(2024, 1, 9)).num_rows == 3


def test_interactions_without_weights_weigh_one(
    project: Config, own_repository: FeatureRepository
) -> None:
    write_tables(
        project.feature_repo.parent, interactions=interaction_rows().drop_columns("weight")
    )
    assert pc.unique(own_repository.interactions(date(2024, 1, 9))["weight"]).to_pylist() == [1.0]


def test_a_day_before_all_data_is_refused(repository: FeatureRepository) -> None:
    with pytest.raises(
        InputError,
        match="interactions\\.parquet has no row from before the end of 2024-01-03",
    ):
        repository.interactions(date(2024, 1, 3))
    with pytest.raises(InputError, match=r"items\.parquet has no row from before"):
        repository.history("item", date(2023, 12, 31))


def test_the_default_day_is_the_newest_interactions(
    project: Config, own_repository: FeatureRepository
) -> None:
    assert default_day(own_repository) == date(2024, 1, 9)
    rows = interaction_rows()
    epoch = pa.array([datetime(1970, 1, 1, tzinfo=UTC)] * rows.num_rows, UTC_US)
    write_tables(
        project.feature_repo.parent, interactions=rows.set_column(2, "event_timestamp", epoch)
    )
    before = datetime.now(UTC).date() - timedelta(days=1)
    resolved = default_day(own_repository)
    assert before <= resolved <= datetime.now(UTC).date() - timedelta(days=1)


def test_other_zones_and_units_are_the_same_moments(
    project: Config, own_repository: FeatureRepository
) -> None:
    rows = item_rows()
    column = rows.column_names.index("event_timestamp")
    elsewhere = rows["event_timestamp"].cast(pa.timestamp("ns", "Asia/Tokyo"))
    write_tables(
        project.feature_repo.parent, items=rows.set_column(column, "event_timestamp", elsewhere)
    )
    history = own_repository.history("item", date(2024, 1, 8))
    assert history["event_timestamp"].to_pylist() == [day(1), day(5), day(1), day(5)]
    assert history.schema.field("event_timestamp").type == UTC_US
    joined = own_repository.point_in_time("item", keys(("a", day(5)), ("a", day(5, 1))))
    assert joined["section"].to_pylist() == ["net", "net"]


PRINT_ROWS = """
import sys
from datetime import date
import pyarrow as pa
from longtail.config import load_config
from longtail.features.feast.repository import FeatureRepository
repository = FeatureRepository(load_config(sys.argv[1]))
history = repository.history("item", date(2024, 1, 8))
joined = repository.point_in_time("item", history.select(["item_id", "event_timestamp"]))
queries = repository.history("query", date(2024, 1, 8))
moments = [
    moment
    for rows in (history, queries)
    for moment in rows["event_timestamp"].cast(pa.int64()).to_pylist()
]
print(moments, joined["section"].to_pylist())
"""


def test_the_machines_own_zone_does_not_matter(
    project: Config, own_repository: FeatureRepository
) -> None:
    rows = item_rows()
    nanoseconds = rows["event_timestamp"].cast(pa.timestamp("ns", "UTC"))
    column = rows.column_names.index("event_timestamp")
    folder = project.feature_repo.parent
    write_tables(folder, items=rows.set_column(column, "event_timestamp", nanoseconds))
    run = subprocess.run(
        [sys.executable, "-c", PRINT_ROWS, str(folder / "longtail.yaml")],
        env={**os.environ, "TZ": "America/New_York", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    items = [day(1), day(5), day(1), day(5)]
    queries = [day(1), day(5), day(1)]
    expected = [int(moment.timestamp() * 1e6) for moment in items + queries]
    assert run.stdout.strip() == f"{expected} {['games', 'net', 'libs', None]}"
    assert run.stderr == ""


def test_columns_may_be_dictionary_encoded(
    project: Config, own_repository: FeatureRepository
) -> None:
    rows = item_rows()
    column = rows.column_names.index("section")
    encoded = rows.set_column(column, "section", rows["section"].dictionary_encode())
    write_tables(project.feature_repo.parent, items=encoded)
    history = own_repository.history("item", date(2024, 1, 8))
    assert history["section"].to_pylist() == ["games", "net", "libs", None]
    assert history.schema.field("section").type == pa.string()


def test_applying_twice_changes_nothing(project: Config, own_repository: FeatureRepository) -> None:
    def names() -> list[str]:
        return sorted(view.name for view in own_repository.store.list_all_feature_views())

    before = names()
    own_repository.apply()
    assert names() == before
    assert own_repository.schema() == FeatureRepository(project).schema()


def test_applying_removes_what_is_no_longer_defined(
    project: Config, own_repository: FeatureRepository
) -> None:
    extra = project.feature_repo / "extra.py"
    extra.write_text(
        "from feast import Entity, ValueType\n"
        "extra = Entity(name='extra', value_type=ValueType.STRING)\n",
        "utf-8",
    )
    own_repository.apply()
    assert "extra" in {entity.name for entity in own_repository.store.list_entities()}
    extra.unlink()
    own_repository.apply()
    names = {entity.name for entity in own_repository.store.list_entities()}
    assert "extra" not in names
    assert {"item", "query"} <= names


def test_a_definition_that_cannot_be_imported_is_named(
    project: Config, own_repository: FeatureRepository
) -> None:
    (project.feature_repo / "broken.py").write_text("import nothing_of_this_name\n", "utf-8")
    with pytest.raises(InputError, match=r"broken\.py cannot be imported: ModuleNotFoundError"):
        own_repository.apply()


def test_reading_definitions_leaves_nothing_behind(
    project: Config, own_repository: FeatureRepository
) -> None:
    assert not {"items", "queries", "entities", "services"} & set(sys.modules)
    assert str(project.feature_repo) not in sys.path
    assert "LONGTAIL_HOME" not in os.environ
    assert not list(Path(project.feature_repo).rglob("__pycache__"))
