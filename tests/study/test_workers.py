"""Real worker processes: their tasks, their environment, their failures and their end."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from longtail.study.workers import Outcome, Processes
from tests.integration.conftest import child_environment
from tests.study.tasks import do

PARENT = """
import sys
from longtail.study.workers import Processes
from tests.study.tasks import do

with Processes(do, 1, num_threads=1) as pool:
    pool.submit(("process", None))
    print(next(pool.outcomes()).result, flush=True)
    pool.submit(("sleep", 60))
    next(pool.outcomes())
"""


def run(pool: Processes, tasks: list[tuple[str, object]]) -> list[Outcome]:
    """Do all tasks, and keep all workers busy."""
    left, outcomes = list(tasks), []
    while left or len(outcomes) < len(tasks):
        while left and pool.num_idle:
            pool.submit(left.pop(0))
        outcomes += pool.outcomes()
    return outcomes


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    with Processes(do, 2, num_threads=3) as pool:
        assert pool.num_idle == 2
        return run(
            pool,
            [
                *(("square", number) for number in range(6)),
                ("environment", "OMP_NUM_THREADS"),
                ("environment", "OMP_WAIT_POLICY"),
                ("refuse", "a loss is not finite"),
                ("fail", "out of\nluck"),
                ("die", 7),
                ("die", 8),
                ("die", 9),
                ("square", 11),
                *(("process", number) for number in range(4)),
            ],
        )


def result(outcomes: list[Outcome], kind: str, value: object) -> Outcome:
    (found,) = [outcome for outcome in outcomes if outcome.task == (kind, value)]
    return found


def test_every_task_has_its_own_outcome(outcomes: list[Outcome]) -> None:
    for number in (*range(6), 11):
        assert result(outcomes, "square", number).result == number * number
    assert len(outcomes) == 18


def test_threads_are_set_before_anything_is_imported(outcomes: list[Outcome]) -> None:
    assert result(outcomes, "environment", "OMP_NUM_THREADS").result == ("3", False)
    assert result(outcomes, "environment", "OMP_WAIT_POLICY").result == ("PASSIVE", False)
    assert os.environ.get("OMP_NUM_THREADS") != "3"


def test_failures_are_told_apart(outcomes: list[Outcome]) -> None:
    refused = result(outcomes, "refuse", "a loss is not finite")
    assert (refused.error, refused.expected) == ("a loss is not finite", True)
    failed = result(outcomes, "fail", "out of\nluck")
    assert (failed.error, failed.expected) == ("ValueError: out of luck", False)
    assert "tasks.py" in failed.details


def test_a_worker_that_dies_takes_only_its_task_along(outcomes: list[Outcome]) -> None:
    for code in (7, 8, 9):
        died = result(outcomes, "die", code)
        assert died.error == f"its process ended ({code})"
        assert not died.expected


def test_processes_stay(outcomes: list[Outcome]) -> None:
    ids = {outcome.result for outcome in outcomes if outcome.task[0] == "process"}
    assert 1 <= len(ids) <= 2
    assert os.getpid() not in ids


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie has ended but was not waited for."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + 30
    while alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.05)


def test_leaving_the_pool_ends_busy_workers() -> None:
    start = time.monotonic()
    with Processes(do, 1, num_threads=1) as pool:
        pool.submit(("process", None))
        (first,) = pool.outcomes()
        pool.submit(("sleep", 60))
    assert time.monotonic() - start < 30
    assert not alive(first.result)


def test_a_killed_parent_takes_its_workers_along() -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(
        command, env=child_environment(), stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert alive(worker)
        parent.kill()
    wait_for_end(worker)
