"""The schedules. Both are off until they are switched on in Dagster."""

from dagster import (
    DagsterRunStatus,
    DefaultScheduleStatus,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from assets.jobs import freshness, refresh
from assets.partitions import last_complete_day
from longtail.config import load_config

_UNFINISHED = [
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


@schedule(
    job=refresh,
    cron_schedule=load_config().schedule.cron,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.STOPPED,
)
def daily_refresh(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
    """Refresh the last complete day, unless a refresh of it is under way.

    A tick for a day that is done already starts a run that finds every stage up to date. So a cron
    that ticks more than once a day picks up late data. A day without new data ends after its
    catalogue.
    """
    day = last_complete_day(context.scheduled_execution_time).isoformat()
    if context.instance.get_runs_count(
        RunsFilter(job_name=refresh.name, statuses=_UNFINISHED, tags={"dagster/partition": day})
    ):
        return SkipReason(f"a refresh of {day} is under way")
    return RunRequest(partition_key=day)


hourly_freshness = ScheduleDefinition(
    name="hourly_freshness",
    job=freshness,
    cron_schedule="7 * * * *",
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.STOPPED,
    description="Ask every hour how old the data of the served version are.",
)
