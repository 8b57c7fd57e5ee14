"""The partitions: one per day, the `as_of` of a refresh."""

from datetime import UTC, date, datetime, timedelta

from dagster import DailyPartitionsDefinition

from longtail.config import load_config

# `end_offset=1` adds the running day: it can be refreshed on demand with the data so far. The
# default `as_of` is the day of the newest interaction, which may be today. The schedule asks only
# for the last complete day.
DAILY = DailyPartitionsDefinition(
    start_date=load_config().schedule.first_day.isoformat(), timezone="UTC", end_offset=1
)


def last_complete_day(now: datetime) -> date:
    """Return the newest day that is over in UTC at the moment `now`, which has a zone."""
    return now.astimezone(UTC).date() - timedelta(days=1)
