"""A scheduled day with nothing new ends after its catalogue, and makes nothing look fresh."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
import yaml

from assets import features, sources
from assets.definitions import defs
from assets.resources import Project
from assets.schedules import hourly_freshness
from longtail.artifacts import RunPaths, VersionPaths, published_pointer, read_json, write_json
from longtail.config import Config, load_config
from longtail.embeddings.published_pointer import read_pointer
from longtail.embeddings.refresh.news import data_age
from tests.blocks import choices, structured_choices, write_blocks
from tests.projects import write_tables

SERVED_DAY, DAY = "2024-01-05", "2024-01-06"
VERSION = "20240105-0000000a"
NEWEST = "2024-01-05T12:00:00+00:00"  # of the interactions in tests/blocks.py
BY_SCHEDULE = {"dagster/schedule_name": "daily_refresh"}


def refreshed(file: Path, day: str, tags: dict[str, str]) -> tuple[set[str], list[str]]:
    """Return the assets that a run made, and what it said in observations."""
    job = dg.Definitions(
        assets=[
            *(sources.interactions, sources.items, sources.queries),
            *(features.catalogue, features.vocabularies),
        ],
        jobs=[
            dg.define_asset_job(
                "everything", selection=dg.AssetSelection.assets("catalogue", "vocabularies")
            )
        ],
        resources={"project": Project(config_file=str(file))},
        executor=dg.in_process_executor,
    ).resolve_job_def("everything")
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, partition_key=day, tags=tags)
    assert result.success
    events = result.all_events
    made = {
        event.step_materialization_data.materialization.asset_key.to_user_string()
        for event in events
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION
    }
    said = [
        str(event.asset_observation_data.asset_observation.description)
        for event in events
        if event.event_type == dg.DagsterEventType.ASSET_OBSERVATION
    ]
    return made, said


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project whose day is served, as `publish` and the launcher write it down."""
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)
    file = write_blocks(tmp_path)
    made, _ = refreshed(file, SERVED_DAY, BY_SCHEDULE)
    assert made == {"catalogue", "vocabularies"}
    config = load_config(file)
    stamp = read_json(
        RunPaths(config, datetime.fromisoformat(SERVED_DAY).date()).catalogue / "stamp.json"
    )
    assert stamp["newest_row"] == NEWEST
    point(config, stamp["fingerprint"])
    settings = config.model_dump(mode="json", exclude={"home", "feature_repo", "feature_store"})
    write_json(VersionPaths(config, VERSION).config, settings)
    return file


def point(config: Config, data: str | None, newest: str | None = NEWEST) -> None:
    served = {"version": VERSION, "as_of": SERVED_DAY, "published_at": "2024-01-06T00:00:00"}
    served |= {"num_items": 240, "slot": "b", "newest_row": newest, "data": data}
    write_json(
        published_pointer(config), {**served, "previous": None, "slots": {}, "leaving": None}
    )


def test_the_schedule_trains_nothing_on_a_day_without_new_rows(file: Path) -> None:
    made, said = refreshed(file, DAY, BY_SCHEDULE)
    assert made == set()
    (word,) = said
    assert word == (
        f"{DAY} has no row that the served version {VERSION} was not made from: the newest is of "
        f"{NEWEST}. Nothing was trained"
    )


def test_a_person_may_refresh_such_a_day(file: Path) -> None:
    assert refreshed(file, DAY, {}) == ({"catalogue", "vocabularies"}, [])


def test_one_new_row_is_enough(file: Path) -> None:
    late = choices([0], [1])
    moment = pa.array([datetime(2024, 1, 6, 9, tzinfo=UTC)], pa.timestamp("us", tz="UTC"))
    late = late.set_column(2, "event_timestamp", moment)
    write_tables(file.parent, interactions=pa.concat_tables([structured_choices(), late]))
    assert refreshed(file, DAY, BY_SCHEDULE) == ({"catalogue", "vocabularies"}, [])


def test_another_configuration_is_trained_on_the_same_rows(file: Path) -> None:
    settings = yaml.safe_load(file.read_text())
    settings["training"]["tower_learning_rate"] = 0.01
    file.write_text(yaml.safe_dump(settings))
    assert refreshed(file, DAY, BY_SCHEDULE) == ({"catalogue", "vocabularies"}, [])


def test_a_pointer_of_an_earlier_release_skips_nothing(file: Path) -> None:
    config = load_config(file)
    pointer = read_json(published_pointer(config))
    write_json(
        published_pointer(config),
        {name: value for name, value in pointer.items() if name not in ("newest_row", "data")},
    )
    assert refreshed(file, DAY, BY_SCHEDULE) == ({"catalogue", "vocabularies"}, [])
    served = read_pointer(config)
    assert served is not None
    # Its age is counted from the end of its day.
    now = datetime(2024, 1, 7, 6, tzinfo=UTC)
    assert data_age(served.served, now) == timedelta(hours=30)


@pytest.mark.parametrize(("hours", "is_fresh"), [(35.9, True), (36.1, False)])
def test_freshness_is_of_the_newest_row_and_not_of_the_run(
    hours: float, is_fresh: bool, file: Path
) -> None:
    config = load_config(file)
    assert config.schedule.max_age_hours == 36
    newest = datetime.now(UTC) - timedelta(hours=hours)
    point(config, None, newest.isoformat())
    result = defs.resolve_job_def("freshness").execute_in_process(
        run_config={"resources": {"project": {"config": {"config_file": str(file)}}}}
    )
    (found,) = result.get_asset_check_evaluations()
    assert found.passed is is_fresh
    age = found.metadata["age_hours"].value
    assert age == pytest.approx(hours, abs=0.05)


def test_freshness_is_asked_every_hour_once_it_is_switched_on() -> None:
    assert hourly_freshness.default_status == dg.DefaultScheduleStatus.STOPPED
    assert hourly_freshness.job_name == "freshness"
