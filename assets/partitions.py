"""One partition a day: the `as_of` of a refresh."""

from datetime import UTC, date, datetime, timedelta

from dagster import DailyPartitionsDefinition

from longtail.config import load_config

# `end_offset`: the running day can be refreshed on demand, with what there is so far (the default
# `as_of` is the day of the newest interaction, which may be today). The schedule asks for the
# last complete day only.
DAILY = DailyPartitionsDefinition(
    start_date=load_config().schedule.first_day.isoformat(), timezone="UTC", end_offset=1
)


def last_complete_day(now: datetime) -> date:
    """The newest day that is over, in UTC, at the moment `now` (with a zone)."""
    return now.astimezone(UTC).date() - timedelta(days=1)
