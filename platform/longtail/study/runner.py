"""Runs cells: finished ones are read back, the others go to the pool, the longest first."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from longtail.study.cells import Cell, CellStore, Document
from longtail.study.tuning import Steps
from longtail.study.workers import Outcome, Pool


@dataclass(frozen=True)
class Event:
    """A change in the state of a cell, for the display of progress.

    Attributes:
        kind: `reused` is a finished cell that was read back.
        cell: the cell.
        document: its figures, if it has any.
        error: why it failed.
        details: the traceback of a failure.
    """

    kind: Literal["reused", "started", "finished", "failed"]
    cell: Cell
    document: Document | None = None
    error: str | None = None
    details: str = ""


@dataclass
class Line:
    """A line of work: a generator that asks for cells, and goes on once they are finished.

    Attributes:
        name: shown in `Runner.failures`.
        steps: the generator.
        ready: returns whether the line can begin.
        urgency: lines with a lower number go first; lines that others wait for have a lower one.
    """

    name: str
    steps: Steps
    ready: Callable[[], bool] = lambda: True
    urgency: int = 0


@dataclass
class _Request:
    """The cells that a line waits for; `missing` holds the positions of unfinished ones."""

    line: Line
    cells: list[Cell]
    documents: list[Document | None]
    missing: set[int] = field(default_factory=set)


class Runner:
    """Runs lines of work to their end.

    Args:
        pool: trains and measures cells.
        store: keeps finished cells.
        on_event: called with an event whenever a cell is reused, starts, finishes or fails.

    Attributes:
        failures: for each failed cell or line, by name, the reason.
    """

    def __init__(self, pool: Pool, store: CellStore, on_event: Callable[[Event], None]) -> None:
        self._pool = pool
        self._store = store
        self._on_event = on_event
        self._queue: list[tuple[_Request, int]] = []
        self._running: dict[str, tuple[_Request, int]] = {}
        self.failures: dict[str, str] = {}

    def run(self, lines: list[Line]) -> None:
        """Run all lines as far as possible; `failures` has the cells and lines that failed."""
        waiting = list(lines)
        while True:
            # A line that has just finished may let others begin, so all are asked in every round.
            begin = [line for line in waiting if line.ready()]
            for line in begin:
                waiting.remove(line)
                self._advance(line, None)
            self._submit()
            if self._running:
                for outcome in self._pool.outcomes():
                    self._take(outcome)
            elif not begin:
                # Nothing runs and nothing began: the remaining lines can never begin.
                break
        for line in waiting:
            self.failures[line.name] = "not run: the line that it waits for has failed"

    def _advance(self, line: Line, documents: list[Document | None] | None) -> None:
        """Let a line go on until it asks for a cell that is not finished."""
        while True:
            try:
                cells = next(line.steps) if documents is None else line.steps.send(documents)
            except StopIteration:
                return
            request = _Request(line, cells, [self._store.read(cell) for cell in cells])
            for number, document in enumerate(request.documents):
                if document is None:
                    request.missing.add(number)
                    self._queue.append((request, number))
                else:
                    self._on_event(Event("reused", cells[number], document))
            if request.missing:
                return
            documents = request.documents

    def _submit(self) -> None:
        """Give queued cells to idle workers, the most urgent and then the longest first."""
        self._queue.sort(key=lambda job: (job[0].line.urgency, -job[0].cells[job[1]].cost))
        while self._queue and self._pool.num_idle:
            request, number = self._queue.pop(0)
            cell = request.cells[number]
            self._running[cell.name] = (request, number)
            self._on_event(Event("started", cell))
            self._pool.submit(cell)

    def _take(self, outcome: Outcome) -> None:
        """Record how a cell ended, and let its line go on if it was the last one missing."""
        cell: Cell = outcome.task
        request, number = self._running.pop(cell.name)
        if outcome.error is None:
            document = self._store.write(cell, outcome.result)
            request.documents[number] = document
            self._on_event(Event("finished", cell, document))
        else:
            # A trial that diverges is a result: it is kept without a score, and not run again.
            if outcome.expected and cell.part == "validation":
                figures: Document = {"metrics": None, "curve": [], "error": outcome.error}
                request.documents[number] = self._store.write(cell, figures)
            else:
                self.failures[cell.name] = outcome.error
            kept = request.documents[number]
            self._on_event(Event("failed", cell, kept, outcome.error, outcome.details))
        request.missing.remove(number)
        if not request.missing:
            self._advance(request.line, request.documents)
