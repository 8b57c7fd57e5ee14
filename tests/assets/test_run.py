"""The refresh in a child process: the days that it refuses, and the events that it sends."""

import io
import json
import logging
import os
import signal
import sys
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from rich.console import Console

from assets.resources import Project as ProjectResource
from assets.run import Progress, check_day, followed_training
from assets.run_events import RunReporter, StageFailure
from assets.stage import stage
from assets.training import two_tower_model
from longtail.cli.run import _Outcome
from longtail.cli.training_bar import TrainingBar
from longtail.config import Config, ScheduleConfig
from longtail.errors import GateRefusedError, InputError
from longtail.training.launch.training_log import PROGRESS_FILE, progress_line
from tests.integration.conftest import child_environment
from tests.training.launch.launched import DAY, Project

DAYS = dg.DailyPartitionsDefinition("2024-01-01")
TODAY = date(2024, 2, 10)


@pytest.mark.parametrize("day", [date(2024, 1, 1), TODAY])
def test_the_first_day_and_today_can_be_refreshed(day: date) -> None:
    check_day(config(), day, today=TODAY)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2023, 12, 31), "before 2024-01-01.*set `schedule.first_day`"),
        (date(2024, 2, 11), "is in the future: it is 2024-02-10"),
    ],
)
def test_days_that_are_no_partitions_are_refused(day: date, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        check_day(config(), day, today=TODAY)


def config() -> Config:
    schedule = ScheduleConfig(first_day=date(2024, 1, 1))
    return Config.model_validate({"feature_repo": "nowhere", "schedule": schedule})


def test_progress_is_one_json_document_a_line() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    progress.send("stage", stage="catalogue", number=1)
    progress.send("log", message="two\nlines")
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {"event": "stage", "stage": "catalogue", "number": 1},
        {"event": "log", "message": "two\nlines"},
    ]


def test_a_reader_that_has_gone_interrupts_the_refresh_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *call: signals.append(call))
    progress = Progress(Closed())
    progress.send("stage", stage="catalogue", number=1)
    progress.send("log", message="nobody reads this")
    assert signals == [(os.getpid(), signal.SIGINT)]


# Dagster's own Pipes client calls what Dagster deprecates and previews (1.13.27).
@pytest.mark.filterwarnings("ignore:AssetExecutionContext.run_id:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::dagster_shared.utils.warnings.PreviewWarning")
def test_a_record_travels_as_an_event_from_the_first_rank_to_the_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real processes: Dagster's job, the launcher, torchrun and a rank."""
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)
    project = Project(tmp_path, training={"num_epochs": 2})
    job = dg.Definitions(
        assets=[two_tower_model],
        jobs=[dg.define_asset_job("training")],
        resources={
            "project": ProjectResource(config_file=str(project.file)),
            "pipes": dg.PipesSubprocessClient(env=child_environment()),
        },
        executor=dg.in_process_executor,
    ).resolve_job_def("training")
    stream = io.StringIO()
    progress = Progress(stream)
    reporter = RunReporter(job, progress.send)
    with dg.DagsterInstance.ephemeral() as instance, followed_training(progress):
        instance.add_event_listener(reporter.run_id, reporter.report)
        result = job.execute_in_process(
            instance=instance,
            partition_key=DAY.isoformat(),
            run_id=reporter.run_id,
            raise_on_error=False,
        )
        entries = instance.all_logs(reporter.run_id)
    assert result.success
    assert PROGRESS_FILE not in os.environ
    events = [json.loads(line) for line in stream.getvalue().splitlines()]

    # Each record of the training log arrives as it is, once and in order.
    records = [event["record"] for event in events if event["event"] == "progress"]
    assert records == project.records()
    assert records[-1]["step"] == records[-1]["num_steps"] == 10

    # Dagster's log has the lines for people, too. They are no events beside the records.
    details = [entry.user_message for entry in entries if entry.level == logging.DEBUG]
    assert any(progress_line(record) in details for record in records)
    messages = [event["message"] for event in events if event["event"] == "log"]
    assert any(message.startswith("training version") for message in messages)
    assert not any("examples/s" in message for message in messages)

    terminal = Console(file=io.StringIO(), force_terminal=True, width=160)
    with TrainingBar(terminal) as bar:
        outcome = _Outcome(terminal, bar)
        for event in events:
            outcome.handle(event)
    assert isinstance(terminal.file, io.StringIO)
    for record in records:
        assert f"step {record['step']} of 10" in terminal.file.getvalue()


def test_a_run_is_told_stage_by_stage_and_its_first_failure_is_kept() -> None:
    @dg.asset(partitions_def=DAYS)
    def measured(context: dg.AssetExecutionContext) -> None:
        context.log.info("recall 0.1")
        context.log.debug("a detail, for Dagster's log alone")

    @dg.asset_check(asset=measured)
    def high_enough() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN)

    @dg.asset(deps=[measured], partitions_def=DAYS)
    def approved(context: dg.AssetExecutionContext) -> None:
        with stage(context):
            raise GateRefusedError("worse than the popularity ranking")

    @dg.asset(deps=[approved], partitions_def=DAYS)
    def published() -> None:
        raise AssertionError("this must not run")

    definitions = dg.Definitions(
        assets=[measured, approved, published],
        asset_checks=[high_enough],
        jobs=[dg.define_asset_job("everything")],
        executor=dg.in_process_executor,
    )
    job = definitions.resolve_job_def("everything")
    told: list[dict[str, Any]] = []
    reporter = RunReporter(job, lambda event, **details: told.append({"event": event, **details}))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_event_listener(reporter.run_id, reporter.report)
        result = job.execute_in_process(
            instance=instance,
            partition_key="2024-02-03",
            run_id=reporter.run_id,
            raise_on_error=False,
        )
    assert not result.success
    assert reporter.num_stages == 3
    for event in told:
        event.pop("seconds", None)
    told.sort(key=lambda event: event["event"] == "check")  # it may run before or after `approved`
    assert told == [
        {"event": "stage", "stage": "measured", "number": 1},
        {"event": "log", "level": "INFO", "message": "recall 0.1"},
        {"event": "done", "stage": "measured"},
        {"event": "stage", "stage": "approved", "number": 2},
        {"event": "failed", "stage": "approved", "error": "worse than the popularity ranking"},
        {"event": "check", "stage": "measured", "check": "high_enough", "severity": "WARN"},
    ]
    assert reporter.failure == StageFailure("approved", "worse than the popularity ranking", 3)


def test_an_unknown_error_is_told_with_its_own_words() -> None:
    @dg.asset(partitions_def=DAYS)
    def catalogue() -> None:
        raise OSError("no space left on device")

    job = dg.Definitions(
        assets=[catalogue],
        jobs=[dg.define_asset_job("everything")],
        executor=dg.in_process_executor,
    ).resolve_job_def("everything")
    reporter = RunReporter(job, lambda event, **details: None)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_event_listener(reporter.run_id, reporter.report)
        job.execute_in_process(
            instance=instance,
            partition_key="2024-02-03",
            run_id=reporter.run_id,
            raise_on_error=False,
        )
    assert reporter.failure == StageFailure("catalogue", "OSError: no space left on device", 1)


@pytest.mark.filterwarnings("ignore:AssetExecutionContext.run_id:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::dagster_shared.utils.warnings.PreviewWarning")
def test_an_error_on_the_other_side_of_pipes_is_told_with_its_words() -> None:
    program = (
        "from dagster_pipes import open_dagster_pipes\n"
        "from longtail.errors import LongtailError\n"
        "with open_dagster_pipes():\n"
        "    raise LongtailError('the loss is not finite: lower the learning rates')"
    )

    @dg.asset(partitions_def=DAYS)
    def model(
        context: dg.AssetExecutionContext, pipes: dg.PipesSubprocessClient
    ) -> dg.MaterializeResult[None]:
        command = [sys.executable, "-c", program]
        return pipes.run(context=context, command=command).get_materialize_result()

    job = dg.Definitions(
        assets=[model],
        jobs=[dg.define_asset_job("everything")],
        resources={"pipes": dg.PipesSubprocessClient(env=child_environment())},
        executor=dg.in_process_executor,
    ).resolve_job_def("everything")
    reporter = RunReporter(job, lambda event, **details: None)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_event_listener(reporter.run_id, reporter.report)
        job.execute_in_process(
            instance=instance,
            partition_key="2024-02-03",
            run_id=reporter.run_id,
            raise_on_error=False,
        )
    assert reporter.failure == StageFailure(
        "model", "the loss is not finite: lower the learning rates", 1
    )
