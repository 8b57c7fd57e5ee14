"""A stage inside an asset: its errors, its day, its log lines."""

import logging

import dagster as dg
import pytest

from assets.stage import forwarded_log, stage
from longtail.errors import GateRefusedError, InputError, LongtailError

DAYS = dg.DailyPartitionsDefinition("2024-01-01")


@pytest.mark.parametrize(
    ("error", "exit_code", "num_attempts"),
    [
        (LongtailError("the disk is full"), 1, 2),
        (InputError("`item_id` is null in row 3"), 2, 1),
        (GateRefusedError("worse than the popularity ranking"), 3, 1),
    ],
)
def test_an_error_becomes_a_failure_with_its_exit_code(
    error: LongtailError, exit_code: int, num_attempts: int
) -> None:
    attempts = []

    @dg.asset(partitions_def=DAYS, retry_policy=dg.RetryPolicy(max_retries=1))
    def made(context: dg.AssetExecutionContext) -> None:
        attempts.append(context.retry_number)
        with stage(context):
            raise error

    result = dg.materialize([made], partition_key="2024-02-03", raise_on_error=False)
    data = result.failure_data_for_node("made")
    assert data is not None
    failure = data.user_failure_data
    assert failure is not None
    assert failure.description == str(error)
    assert failure.metadata["exit_code"].value == exit_code
    assert len(attempts) == num_attempts


def test_the_day_is_the_partition_and_log_lines_arrive(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("longtail.features")
    days = []

    @dg.asset(partitions_def=DAYS)
    def made(context: dg.AssetExecutionContext) -> None:
        with stage(context) as as_of:
            days.append(as_of.isoformat())
            logger.info("catalogue: %d items", 7)
        logger.info("said outside of a stage")

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([made], partition_key="2024-02-03", instance=instance)
        records = instance.all_logs(result.run_id)
    messages = [record.user_message for record in records if not record.is_dagster_event]
    assert days == ["2024-02-03"]
    assert messages == ["catalogue: 7 items"]


def test_the_logger_is_left_as_it_was() -> None:
    logger = logging.getLogger("longtail")
    before = (logger.level, list(logger.handlers))
    with forwarded_log(dg.build_asset_context()):
        assert logger.level == logging.INFO
    assert (logger.level, list(logger.handlers)) == before
