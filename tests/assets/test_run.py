"""The refresh in a child process: what it refuses, and what it tells."""

import io
import json
import sys
from datetime import date
from typing import Any

import dagster as dg
import pytest

from assets.run import Progress, check_day
from assets.run_events import RunReporter, StageFailure
from assets.stage import stage
from longtail.config import Config, ScheduleConfig
from longtail.errors import GateRefusedError, InputError
from tests.integration.conftest import child_environment

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


def test_a_run_is_told_stage_by_stage_and_its_first_failure_is_kept() -> None:
    @dg.asset(partitions_def=DAYS)
    def measured(context: dg.AssetExecutionContext) -> None:
        context.log.info("recall 0.1")

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
