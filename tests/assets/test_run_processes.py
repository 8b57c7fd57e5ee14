"""Runs whose process is gone, with real processes that are killed."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher import WorkerStatus

from assets.instance_settings import INSTANCE_SETTINGS, write_settings
from assets.resources import Project
from assets.run_processes import CheckedRunLauncher, process_exists
from tests.integration.conftest import child_environment

# A process that takes the lock of a run, says so, and waits to be killed or told to end.
HOLDER = """
import sys
import dagster as dg
from assets.run_processes import held_by_this_process
with dg.DagsterInstance.get() as instance, held_by_this_process(instance, sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    write_settings(tmp_path / "dagster")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    with dg.DagsterInstance.get() as instance:
        yield instance


def started_run(instance: dg.DagsterInstance, process: int | None = None) -> dg.DagsterRun:
    @dg.op
    def nothing() -> None: ...

    @dg.job
    def refresh() -> None:
        nothing()

    run = instance.create_run_for_job(refresh, status=dg.DagsterRunStatus.STARTED)
    if process is not None:
        instance.report_engine_event("started", run, EngineEventData.in_process(process))
    return run


@contextmanager
def holder(home: str, run: dg.DagsterRun) -> "Iterator[subprocess.Popen[str]]":
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, run.run_id],
        env=child_environment(DAGSTER_HOME=home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_the_launcher_of_our_settings_finds_a_run_whose_process_was_killed(
    instance: dg.DagsterInstance,
) -> None:
    launcher = instance.run_launcher
    assert isinstance(launcher, CheckedRunLauncher)
    assert launcher.supports_check_run_worker_health
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_poll_interval_seconds <= 15
    assert instance.run_retries_enabled
    assert not instance.run_retries_retry_on_asset_or_op_failure
    # The number of the process is given to another one meanwhile: the lock tells them apart.
    run = started_run(instance, process=1)
    with holder(instance.root_directory, run) as process:
        assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
        process.kill()
    found = launcher.check_run_worker_health(run)
    assert found.status == WorkerStatus.NOT_FOUND
    assert found.msg is not None
    assert "the process of the run is gone" in found.msg


def test_a_run_that_ends_by_itself_is_never_called_lost(instance: dg.DagsterInstance) -> None:
    run = started_run(instance, process=1)  # process 1 always exists
    with holder(instance.root_directory, run) as process:
        process.communicate("\n")
    assert process.returncode == 0
    assert process_exists(instance, run.run_id)


def test_a_run_without_a_lock_is_judged_by_its_process(instance: dg.DagsterInstance) -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    assert not process_exists(instance, started_run(instance, process=ended.pid).run_id)
    assert process_exists(instance, started_run(instance, process=1).run_id)
    assert process_exists(instance, started_run(instance).run_id)


def test_every_run_that_asks_for_the_project_holds_its_lock(instance: dg.DagsterInstance) -> None:
    seen = []

    @dg.op
    def look(context: dg.OpExecutionContext, project: Project) -> None:
        files = list((Path(instance.root_directory) / "run_locks").iterdir())
        seen.append([file.name for file in files] == [context.run_id])

    @dg.job(executor_def=dg.in_process_executor, resource_defs={"project": Project()})
    def refresh() -> None:
        look()

    assert refresh.execute_in_process(instance=instance).success
    assert seen == [True]
    assert not list((Path(instance.root_directory) / "run_locks").iterdir())


def test_settings_that_somebody_edited_stay(tmp_path: Path) -> None:
    file = tmp_path / "dagster.yaml"
    write_settings(tmp_path)
    assert file.read_text() == INSTANCE_SETTINGS
    file.write_text("telemetry: {enabled: true}\n")
    write_settings(tmp_path)
    assert file.read_text() == "telemetry: {enabled: true}\n"
