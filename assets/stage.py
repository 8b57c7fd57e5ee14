"""Runs a stage inside an asset: log lines go to Dagster, errors become failures."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from dagster import AssetCheckExecutionContext, AssetExecutionContext, Failure, OpExecutionContext

from longtail.errors import GateRefusedError, InputError, LongtailError

Context = AssetExecutionContext | AssetCheckExecutionContext | OpExecutionContext


class _ForwardingHandler(logging.Handler):
    """Passes records of the logger `longtail` to the log of a Dagster step."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._log = context.log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.log(record.levelno, record.getMessage())


@contextmanager
def stage(context: Context) -> Iterator[date]:
    """Run a stage of longtail inside a partitioned step, and yield the partition's `as_of`.

    Raises:
        Failure: the stage raised a LongtailError. Its `exit_code` is in the metadata. Wrong input
            and a refusal of the gate are not retried, because they would fail again.
    """
    with forwarded_log(context), failures():
        yield date.fromisoformat(context.partition_key)


@contextmanager
def forwarded_log(context: Context) -> Iterator[None]:
    """Send the log lines of `longtail` to the log of the step, too."""
    logger = logging.getLogger("longtail")
    handler, level = _ForwardingHandler(context), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


@contextmanager
def failures() -> Iterator[None]:
    """Turn a LongtailError into a Dagster Failure with its exit code."""
    try:
        yield
    except LongtailError as error:
        raise Failure(
            description=str(error),
            metadata={"exit_code": error.exit_code},
            allow_retries=not isinstance(error, InputError | GateRefusedError),
        ) from error
