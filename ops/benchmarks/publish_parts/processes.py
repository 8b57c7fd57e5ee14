"""Runs one contender in a process of its own, so that its peak memory is its own.

`python processes.py publish|materialize HOME REPOSITORY` prints one JSON document. Imports and the
opening of the store are not timed, but count in the peak memory of both contenders.
"""

import json
import logging
import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

_BENCHMARKS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_BENCHMARKS), str(_BENCHMARKS.parents[1] / "platform")]


def main() -> None:
    """Run the contender that the command line names, and print its figures as JSON."""
    what, home, repository = sys.argv[1:]
    from longtail.config import Config

    config = Config(feature_repo=Path(repository), home=Path(home))
    figures = {"publish": _publish, "materialize": _materialize}[what](config)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({**figures, "peak_rss_mb": peak}))


class _Clock(logging.Handler):
    """Notes the time at which a publication entered each of its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.entered: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, "step"):
            self.entered[record.step] = time.perf_counter()


def _publish(config: Any) -> dict[str, float]:
    """Publish a version: validate, write, read back, commit. Return the seconds of the steps."""
    from publish_parts.rows import DAY

    from longtail.embeddings import step_names as steps
    from longtail.embeddings.publish import publish
    from longtail.embeddings.step_names import Step
    from longtail.features.feast.online_connection import open_online

    open_online(config)  # imports Feast before the clock starts
    # A publication logs each step that it enters; the times between them are the steps' seconds.
    clock = _Clock()
    steps.log.addHandler(clock)
    steps.log.setLevel(logging.DEBUG)
    start = time.perf_counter()
    document = publish(config, DAY)
    end = time.perf_counter()
    assert document["published"], document
    at = clock.entered
    return {
        "empty_s": at[Step.WRITE] - at[Step.EMPTY_SLOT],
        "write_s": at[Step.READ_BACK] - at[Step.WRITE],
        "read_s": at[Step.COMMIT] - at[Step.READ_BACK],
        "validate_s": at[Step.CHOOSE_SLOT] - at[Step.VALIDATE],
        "whole_s": end - start,
    }


def _materialize(config: Any) -> dict[str, float]:
    """Let Feast materialize the same rows into a view of its own. Return its seconds."""
    from publish_parts.rows import DAY

    from longtail.features.feast.online_connection import open_online
    from longtail.features.feast.sources import duckdb_session

    store = open_online(config)
    day = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
    start = time.perf_counter()
    with duckdb_session():
        store.materialize(
            start_date=day - timedelta(days=1),
            end_date=day + timedelta(days=1),
            feature_views=["reference"],
        )
    return {"materialize_s": time.perf_counter() - start}


if __name__ == "__main__":
    main()
