"""The flow under a real `dagster dev`: by hand through its API, and by its schedule."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pytest

from assets.instance_settings import write_settings
from tests.blocks import structured_choices, timestamps, write_blocks
from tests.integration.conftest import child_environment
from tests.projects import write_tables

T = TypeVar("T")

DAY = "2024-01-05"
PUBLISHED_WITHIN_SECONDS = 600.0
LAUNCH = """
mutation Launch($job: ExecutionParams!) {
  launchPipelineExecution(executionParams: $job) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
START_SCHEDULE = """
mutation Start($schedule: ScheduleSelector!) {
  startSchedule(scheduleSelector: $schedule) {
    __typename
    ... on ScheduleStateResult { scheduleState { status } }
    ... on PythonError { message }
  }
}
"""
REPOSITORIES = """
query { repositoriesOrError { ... on RepositoryConnection {
  nodes { name location { name } schedules { name scheduleState { status } } }
} } }
"""
RUNS = "query { runsOrError { ... on Runs { results { runId status tags { key value } } } } }"


class DagsterDev:
    """A `dagster dev` of its own, on a small project.

    Attributes:
        pointer: the file that appears with the first publication.
        log: what the process printed.

    Args:
        folder: holds the project, which is written unless it is there.
        mark: a value of `LONGTAIL_TEST_RUN` in the environment of every process.
        config: sections of the configuration.
    """

    def __init__(self, folder: Path, mark: str = "", **config: Any) -> None:
        self._folder = folder
        home = folder / "dagster"
        write_settings(home)
        file = folder / "longtail.yaml"
        schedule = {"first_day": "2024-01-01", "cron": "* * * * *"}
        if not file.exists():
            write_blocks(folder, **{"schedule": schedule, **config})
        self.pointer = folder / ".longtail" / "published.json"
        self.log = folder / "dagster-dev.log"
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self._url = f"http://127.0.0.1:{port}/graphql"
        command = [sys.executable, "-m", "dagster", "dev", "-m", "assets.definitions"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "-h", "127.0.0.1", "-p", str(port)],
                cwd=folder,
                env=child_environment(
                    DAGSTER_HOME=str(home), LONGTAIL_CONFIG=str(file), LONGTAIL_TEST_RUN=mark
                ),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self) -> None:
        """End the process and everything that it started."""
        for number, seconds in ((signal.SIGINT, 30), (signal.SIGKILL, 30)):
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(seconds)
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue
        self._process.wait(30)

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Put one GraphQL question."""
        request = urllib.request.Request(
            self._url,
            json.dumps({"query": query, "variables": variables}).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    def repository(self) -> dict[str, Any] | None:
        """The code location, once it is loaded."""
        try:
            nodes = self.ask(REPOSITORIES)["repositoriesOrError"]["nodes"]
        except (urllib.error.URLError, ConnectionError):
            return None
        return nodes[0] if nodes else None

    def launch(self, repository: dict[str, Any]) -> str:
        """Start the job `refresh` for `DAY`; returns the id of the run."""
        selector = {
            "repositoryLocationName": repository["location"]["name"],
            "repositoryName": repository["name"],
            "jobName": "refresh",
        }
        tags = [{"key": "dagster/partition", "value": DAY}]
        launched = self.ask(
            LAUNCH,
            job={"selector": selector, "executionMetadata": {"tags": tags}, "mode": "default"},
        )["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def choose_yesterday(self) -> None:
        """Add interactions of yesterday to the project's table."""
        table = structured_choices()
        moment = datetime.now(UTC) - timedelta(days=1)
        # New pairs: a pair that is repeated counts at its first time, so that it is no news.
        late = table.slice(0, 20).set_column(2, "event_timestamp", timestamps(20, moment))
        late = late.set_column(1, table.column_names[1], table[1].slice(len(table) - 20, 20))
        write_tables(self._folder, interactions=pa.concat_tables([table, late]))

    def served_day(self) -> str | None:
        """The `as_of` of what is published."""
        return json.loads(self.pointer.read_text())["as_of"] if self.pointer.exists() else None

    def wait_for(self, what: str, ask: Callable[[], T | None], seconds: float) -> T:
        """Ask until there is an answer."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = ask()
            if answer:
                return answer
            assert self._process.poll() is None, self.log.read_text()
            time.sleep(0.5)
        runs = self.ask(RUNS)["runsOrError"]["results"]
        pytest.fail(f"no {what} in {seconds} s; runs: {runs}\n{self.log.read_text()[-5000:]}")


@pytest.fixture(scope="module")
def dagster_dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterDev]:
    dev = DagsterDev(tmp_path_factory.mktemp("dagster-dev"))
    try:
        yield dev
    finally:
        dev.stop()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_partition_launched_through_the_api_is_published(dagster_dev: DagsterDev) -> None:
    repository = dagster_dev.wait_for("code location", dagster_dev.repository, 120)
    assert sorted(each["name"] for each in repository["schedules"]) == [
        "daily_refresh",
        "hourly_freshness",
    ]
    assert {each["scheduleState"]["status"] for each in repository["schedules"]} == {"STOPPED"}
    dagster_dev.launch(repository)
    served = dagster_dev.wait_for("publication", dagster_dev.served_day, PUBLISHED_WITHIN_SECONDS)
    assert served == DAY


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_tick_of_the_schedule_publishes_the_last_complete_day(dagster_dev: DagsterDev) -> None:
    repository = dagster_dev.wait_for("code location", dagster_dev.repository, 120)
    before = dagster_dev.served_day()
    started = dagster_dev.ask(
        START_SCHEDULE,
        schedule={
            "repositoryLocationName": repository["location"]["name"],
            "repositoryName": repository["name"],
            "scheduleName": "daily_refresh",
        },
    )["startSchedule"]
    assert started["scheduleState"] == {"status": "RUNNING"}, started

    def runs_of_the_schedule() -> list[str]:
        return [
            run["status"]
            for run in dagster_dev.ask(RUNS)["runsOrError"]["results"]
            if any(tag["value"] == "daily_refresh" for tag in run["tags"])
        ]

    # There is no new row since DAY, so the first ticks train and publish nothing.
    dagster_dev.wait_for(
        "run without news",
        lambda: "SUCCESS" in runs_of_the_schedule(),
        60 + PUBLISHED_WITHIN_SECONDS,
    )
    assert dagster_dev.served_day() == before
    dagster_dev.choose_yesterday()
    yesterdays = {day_before(datetime.now(UTC))}
    served = dagster_dev.wait_for(
        "publication by the schedule",
        lambda: day if (day := dagster_dev.served_day()) != before else None,
        60 + PUBLISHED_WITHIN_SECONDS,
    )
    yesterdays.add(day_before(datetime.now(UTC)))  # midnight may have passed
    assert served in yesterdays
    tags = [
        {tag["key"]: tag["value"] for tag in run["tags"]}
        for run in dagster_dev.ask(RUNS)["runsOrError"]["results"]
    ]
    assert "daily_refresh" in {each.get("dagster/schedule_name") for each in tags}


def day_before(now: datetime) -> str:
    return (now.date() - timedelta(days=1)).isoformat()
