"""The rollback job, on real stores, with versions that were not trained."""

import json
from pathlib import Path

import dagster as dg
import pytest

from assets.definitions import defs
from longtail.artifacts import published_pointer, read_json
from longtail.embeddings.publish import publish
from longtail.embeddings.refresh.withdrawn import withdrawal
from tests.publications import DAYS, Published, moved, prepared_project


@pytest.fixture
def published(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Published:
    """Return a project in which two days were published, one after the other."""
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)
    prepared = prepared_project(tmp_path_factory.getbasetemp() / "published")
    project = moved(prepared, tmp_path)
    for day in DAYS[:2]:
        assert publish(project.config, day)["published"]
    return project


def roll_back(published: Published, **version: str) -> dg.ExecuteInProcessResult:
    # JSON is YAML as well.
    file = published.config.home / "longtail.yaml"
    file.write_text(json.dumps(published.config.model_dump(mode="json")))
    return defs.resolve_job_def("rollback").execute_in_process(
        run_config={
            "resources": {"project": {"config": {"config_file": str(file)}}},
            "ops": {"serve_earlier_version": {"config": version}},
        },
        raise_on_error=False,
    )


def test_rollback_serves_the_previous_version_and_says_so(published: Published) -> None:
    first, second = (published.versions[day] for day in DAYS[:2])
    pointer = published_pointer(published.config)
    assert read_json(pointer)["version"] == second
    result = roll_back(published, note="odd results")
    assert result.success
    withdrawn = withdrawal(published.config, second)
    assert withdrawn is not None
    assert withdrawn["note"] == "odd results"
    assert read_json(pointer)["version"] == first
    (observation,) = [
        event.asset_observation_data.asset_observation
        for event in result.all_events
        if event.event_type == dg.DagsterEventType.ASSET_OBSERVATION
    ]
    assert observation.asset_key == dg.AssetKey("online_item_embeddings")
    assert observation.metadata["version"].value == first
    # The page of the asset shows what was materialized last, so that must be what is served.
    (shown,) = [
        event.step_materialization_data.materialization
        for event in result.all_events
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION
    ]
    assert shown.asset_key == dg.AssetKey("online_item_embeddings")
    assert (shown.partition, shown.metadata["version"].value) == (DAYS[0].isoformat(), first)

    assert roll_back(published, version=second).success
    assert read_json(pointer)["version"] == second

    unknown = roll_back(published, version="20200101-00000000")
    assert not unknown.success
    assert read_json(pointer)["version"] == second
