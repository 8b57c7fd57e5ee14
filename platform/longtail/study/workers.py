"""Worker processes: each takes one task at a time, and takes nobody with it when it dies."""

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol, Self

from longtail.errors import LongtailError

Work = Callable[[Any], Any]


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    Attributes:
        task: what was submitted.
        result: what the work returned; None where it failed.
        error: why it failed, on one line.
        expected: whether the failure is one that the code foresees, such as a loss that diverges.
        details: the traceback of a failure.
    """

    task: Any
    result: Any = None
    error: str | None = None
    expected: bool = False
    details: str = ""


class Pool(Protocol):
    """Something that does tasks."""

    @property
    def num_idle(self) -> int:
        """How many tasks can be submitted now."""
        ...

    def submit(self, task: Any) -> None:
        """Begin a task; `num_idle` must not be 0."""
        ...

    def outcomes(self) -> Iterator[Outcome]:
        """What has ended since the last call; waits until something has."""
        ...


class Serial:
    """A pool that does each task in this process, when its outcome is asked for.

    Args:
        work: what is done with a task.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._tasks: list[Any] = []

    @property
    def num_idle(self) -> int:
        """One task at a time."""
        return 1 - len(self._tasks)

    def submit(self, task: Any) -> None:
        """Keep a task for `outcomes`."""
        self._tasks.append(task)

    def outcomes(self) -> Iterator[Outcome]:
        """Do the task."""
        task = self._tasks.pop()
        yield _attempt(self._work, task)


class Processes:
    """A pool of processes that stay, so that each imports torch once.

    Args:
        work: what is done with a task; a function of a module, since processes are spawned.
        num_workers: processes.
        num_threads: of each, for torch and numpy.
    """

    def __init__(self, work: Work, num_workers: int, *, num_threads: int) -> None:
        self._work = work
        self._num_workers = num_workers
        self._environment = {
            "OMP_NUM_THREADS": str(num_threads),
            "OPENBLAS_NUM_THREADS": str(num_threads),
            "MKL_NUM_THREADS": str(num_threads),
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.end()

    @property
    def num_idle(self) -> int:
        """Workers without a task, those not yet started included."""
        return self._num_workers - sum(worker.task is not None for worker in self._workers)

    def submit(self, task: Any) -> None:
        """Give a task to an idle worker, and start one where there is none."""
        idle = [worker for worker in self._workers if worker.task is None]
        if not idle:
            with _environment(self._environment):
                idle = [_Worker(self._work)]
            self._workers += idle
        idle[0].give(task)

    def outcomes(self) -> Iterator[Outcome]:
        """Wait for workers that have finished, or died."""
        busy = [worker for worker in self._workers if worker.task is not None]
        ready = wait([worker.connection for worker in busy])
        for worker in busy:
            if worker.connection in ready:
                yield worker.take()
                if not worker.alive:
                    worker.end()
                    self._workers.remove(worker)


class _Worker:
    def __init__(self, work: Work) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(work, theirs), daemon=True)
        self._process.start()
        theirs.close()  # so that the end of the process is the end of the connection
        self.task: Any = None
        self.alive = True

    def give(self, task: Any) -> None:
        self.task = task
        self.connection.send(task)

    def take(self) -> Outcome:
        task, self.task = self.task, None
        try:
            outcome: Outcome = self.connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            self.alive = False
            return Outcome(task, error=f"its process ended ({self._process.exitcode})")
        return outcome

    def end(self) -> None:
        self.connection.close()
        self._process.terminate()
        self._process.join()


def _serve(work: Work, connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a parent that ignores it would hand that down
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send(_attempt(work, task))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _attempt(work: Work, task: Any) -> Outcome:
    try:
        return Outcome(task, work(task))
    except Exception as error:
        expected = isinstance(error, LongtailError)
        reason = str(error) if expected else f"{type(error).__name__}: {error}"
        details = traceback.format_exc()
        return Outcome(task, error=" ".join(reason.split()), expected=expected, details=details)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Variables that a process spawned meanwhile finds before it imports anything."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
