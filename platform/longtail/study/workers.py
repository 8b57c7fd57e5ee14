"""Worker processes: each does one task at a time, and its death fails only that task."""

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
    """The outcome of a task.

    Attributes:
        task: the task that was submitted.
        result: the result of the work; None if it failed.
        error: why it failed, on one line.
        expected: whether the code foresees the failure, such as a loss that diverges.
        details: the traceback of a failure.
    """

    task: Any
    result: Any = None
    error: str | None = None
    expected: bool = False
    details: str = ""


class Pool(Protocol):
    """An interface to workers that do tasks."""

    @property
    def num_idle(self) -> int:
        """The number of tasks that can be submitted now."""
        ...

    def submit(self, task: Any) -> None:
        """Begin a task; `num_idle` must not be 0."""
        ...

    def outcomes(self) -> Iterator[Outcome]:
        """Wait until a task has ended, and yield all that have ended since the last call."""
        ...


class Processes:
    """A pool of processes that live until the end, so that each imports torch once.

    Args:
        work: the function that does a task; it must belong to a module, because processes are
            spawned.
        num_workers: number of processes.
        num_threads: threads of each process, for torch and numpy.
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
        """The number of workers without a task, with those that are not started yet."""
        return self._num_workers - sum(worker.task is not None for worker in self._workers)

    def submit(self, task: Any) -> None:
        """Give a task to an idle worker, or to a new one if there is none."""
        idle = [worker for worker in self._workers if worker.task is None]
        if not idle:
            with _environment(self._environment):
                idle = [_Worker(self._work)]
            self._workers += idle
        idle[0].give(task)

    def outcomes(self) -> Iterator[Outcome]:
        """Wait for workers that have finished or died."""
        busy = [worker for worker in self._workers if worker.task is not None]
        ready = wait([worker.connection for worker in busy])
        for worker in busy:
            if worker.connection in ready:
                yield worker.take()
                if not worker.alive:
                    worker.end()
                    self._workers.remove(worker)


class _Worker:
    """One process, and the connection to it."""

    def __init__(self, work: Work) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(work, theirs), daemon=True)
        # A process that still imports cannot ignore Ctrl-C yet: it starts with the signal blocked.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()  # so that the connection ends when the process ends
        self.task: Any = None
        self.alive = True

    def give(self, task: Any) -> None:
        """Send a task to the process."""
        self.task = task
        self.connection.send(task)

    def take(self) -> Outcome:
        """Receive the outcome of the task; a process that died makes it a failure."""
        task, self.task = self.task, None
        try:
            outcome: Outcome = self.connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            self.alive = False
            return Outcome(task, error=f"its process ended ({self._process.exitcode})")
        return outcome

    def end(self) -> None:
        """End the process, in the middle of a task too."""
        self.connection.close()
        self._process.terminate()
        self._process.join()


def _serve(work: Work, connection: Connection) -> None:
    """Do tasks until the connection ends; this runs in the worker process."""
    # Ctrl-C reaches the parent too, which then ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A parent that ignores SIGTERM would pass that on, and this process could not be ended.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send(attempt(work, task))


def _end_with_parent() -> None:
    """End this process when its parent ends, even if the parent was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def attempt(work: Work, task: Any) -> Outcome:
    """Do a task, and return its outcome; an exception makes it a failure."""
    try:
        return Outcome(task, work(task))
    except Exception as error:
        expected = isinstance(error, LongtailError)
        reason = str(error) if expected else f"{type(error).__name__}: {error}"
        details = traceback.format_exc()
        return Outcome(task, error=" ".join(reason.split()), expected=expected, details=details)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables that a process spawned in this block has before its imports."""
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
