"""The checks of `longtail check` in Dagster: they are shown, and errors stop the run."""

from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets import features, sources, table_checks
from assets.resources import Project
from assets.run_events import RunReporter
from longtail.checks import preflight
from longtail.checks.preflight import check_tables
from longtail.checks.report import Report
from longtail.config import load_config
from tests.blocks import structured_choices, write_blocks
from tests.projects import write_tables

DAY = "2024-01-05"
STEPS = {"check_tables", "catalogue", "check_project", "vocabularies"}


def refreshed(
    project: Path, monkeypatch: pytest.MonkeyPatch, *, with_tables: bool = True
) -> tuple[set[str], dict[tuple[str, str], dg.AssetCheckEvaluation], RunReporter]:
    """Refresh a day.

    Args:
        project: its configuration file.
        monkeypatch: for the environment.
        with_tables: whether the job selects the checks of the tables, as `refresh` does;
            "Materialize all" and `dg launch --assets` do not.

    Returns:
        The steps that succeeded, the checks by asset and name, and the reporter of the run.
    """
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)
    selection = dg.AssetSelection.assets("catalogue", "vocabularies")
    if with_tables:
        selection |= dg.AssetSelection.checks_for_assets("interactions", "items", "queries")
    job = dg.Definitions(
        assets=[
            *(sources.interactions, sources.items, sources.queries),
            *(features.catalogue, features.vocabularies),
        ],
        asset_checks=table_checks.ALL,
        jobs=[dg.define_asset_job("everything", selection=selection)],
        resources={"project": Project(config_file=str(project))},
        executor=dg.in_process_executor,
    ).resolve_job_def("everything")
    told: list[dict[str, Any]] = []
    reporter = RunReporter(job, lambda event, **details: told.append({"event": event, **details}))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_event_listener(reporter.run_id, reporter.report)
        result = job.execute_in_process(
            instance=instance, partition_key=DAY, run_id=reporter.run_id, raise_on_error=False
        )
    done = {event.step_key for event in result.all_events if event.is_step_success}
    checks = {
        (check.asset_key.to_user_string(), check.check_name): check
        for check in result.get_asset_check_evaluations()
    }
    # The command must hear of each check that did not pass, and of no other.
    failed = {(event["stage"], event["check"]) for event in told if event["event"] == "check"}
    assert failed == {key for key, check in checks.items() if not check.passed}
    return {str(step) for step in done}, checks, reporter


def strangers(project: Path) -> None:
    """Let three of the interactions name an item that has no row."""
    rows = structured_choices()
    items = rows["item_id"].to_pylist()
    items[0] = items[700] = items[1500] = "ghost"
    write_tables(project.parent, interactions=rows.set_column(1, "item_id", pa.array(items)))


def test_clean_tables_pass_every_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, checks, reporter = refreshed(write_blocks(tmp_path), monkeypatch)
    assert steps == STEPS
    assert len(checks) == len(table_checks.OF_TABLES) + len(table_checks.OF_THE_PROJECT)
    assert all(check.passed for check in checks.values())
    assert reporter.failure is None


def test_a_warning_is_shown_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write_blocks(tmp_path)
    strangers(project)
    steps, checks, _ = refreshed(project, monkeypatch)
    assert steps == STEPS
    check = checks["interactions", "dangling_keys"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.metadata["num_rows"].value == 3
    (record,) = check.metadata["findings"].value.records
    assert record.data["column"] == "item_id"
    assert '"item_id": "ghost"' in record.data["examples"]
    assert [key for key, each in checks.items() if not each.passed] == [
        ("interactions", "dangling_keys")
    ]


def test_an_error_stops_the_run_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write_blocks(tmp_path, checks={"severity": {"dangling_keys": "error"}})
    strangers(project)
    steps, checks, reporter = refreshed(project, monkeypatch)
    assert steps == set()
    assert checks["interactions", "dangling_keys"].severity == dg.AssetCheckSeverity.ERROR
    assert not (load_config(project).home / "runs" / DAY / "catalogue").exists()
    assert reporter.failure is not None
    assert (reporter.failure.stage, reporter.failure.exit_code) == ("check_tables", 2)
    assert "3 of 1600 interactions" in reporter.failure.error
    assert "such as ghost" in reporter.failure.error


def test_a_run_that_leaves_the_checks_out_is_stopped_by_the_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write_blocks(tmp_path)
    items = pq.read_table(tmp_path / "feature_repo" / "data" / "items.parquet")
    prefixed = [f"sku:{item}" for item in items["item_id"].to_pylist()]
    write_tables(tmp_path, items=items.set_column(0, "item_id", pa.array(prefixed)))
    steps, _, reporter = refreshed(project, monkeypatch, with_tables=False)
    assert steps == set()
    assert not (load_config(project).home / "runs" / DAY / "catalogue").exists()
    assert reporter.failure is not None
    assert (reporter.failure.stage, reporter.failure.exit_code) == ("catalogue", 2)
    assert "sku:" in reporter.failure.error


@pytest.mark.parametrize("with_tables", [True, False])
def test_every_way_to_start_a_run_checks_the_tables_once(
    with_tables: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def counted(*arguments: Any) -> Report:
        looks.append(arguments)
        return check_tables(*arguments)

    monkeypatch.setattr(preflight, "check_tables", counted)
    steps, _, _ = refreshed(write_blocks(tmp_path), monkeypatch, with_tables=with_tables)
    assert steps == (STEPS if with_tables else STEPS - {"check_tables"})
    assert len(looks) == 1


def test_a_wrong_project_stops_the_run_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write_blocks(tmp_path, checks={"severity": {"dangling_kyes": "error"}})
    steps, checks, reporter = refreshed(project, monkeypatch)
    assert steps == {"check_tables", "catalogue"}
    assert not checks["catalogue", "configuration"].passed
    assert reporter.failure is not None
    assert reporter.failure.error.startswith(
        "configuration: `checks.severity.dangling_kyes` is not a check: remove it, or use one of "
    )
