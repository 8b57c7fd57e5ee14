"""Running cells: what is finished is read back, the rest goes to the pool, long ones first."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from longtail.study.cells import Cell, CellStore, Document
from longtail.study.tuning import Steps
from longtail.study.workers import Outcome, Pool


@dataclass(frozen=True)
class Event:
    """Something that people want to see.

    Attributes:
        kind: `reused` is a finished cell that was read back.
        cell: which one.
        document: its figures, where it has some.
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
    """One line of work: steps that ask for cells, and go on when they have them.

    Attributes:
        name: for people.
        steps: the generator.
        ready: whether it can begin.
        urgency: lines that others wait for have a lower one, and go first.
    """

    name: str
    steps: Steps
    ready: Callable[[], bool] = lambda: True
    urgency: int = 0


@dataclass
class _Request:
    line: Line
    cells: list[Cell]
    documents: list[Document | None]
    missing: set[int] = field(default_factory=set)


class Runner:
    """Brings lines of work to their ends.

    Args:
        pool: trains and measures cells.
        store: keeps the finished ones.
        on_event: told of every cell.

    Attributes:
        failures: by name of a cell or line, why it failed.
    """

    def __init__(self, pool: Pool, store: CellStore, on_event: Callable[[Event], None]) -> None:
        self._pool = pool
        self._store = store
        self._on_event = on_event
        self._queue: list[tuple[_Request, int]] = []
        self._running: dict[str, tuple[_Request, int]] = {}
        self.failures: dict[str, str] = {}

    def run(self, lines: list[Line]) -> None:
        """Run all lines as far as they come; `failures` says what did not."""
        waiting = list(lines)
        while True:
            begin = [line for line in waiting if line.ready()]
            for line in begin:
                waiting.remove(line)
                self._advance(line, None)
            self._submit()
            if self._running:
                for outcome in self._pool.outcomes():
                    self._take(outcome)
            elif not begin:
                break
        for line in waiting:
            self.failures[line.name] = "what it waits for has failed"

    def _advance(self, line: Line, documents: list[Document | None] | None) -> None:
        """Let a line go on until it needs a cell that is not finished."""
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
        self._queue.sort(key=lambda job: (job[0].line.urgency, -job[0].cells[job[1]].cost))
        while self._queue and self._pool.num_idle:
            request, number = self._queue.pop(0)
            cell = request.cells[number]
            self._running[cell.name] = (request, number)
            self._on_event(Event("started", cell))
            self._pool.submit(cell)

    def _take(self, outcome: Outcome) -> None:
        cell: Cell = outcome.task
        request, number = self._running.pop(cell.name)
        if outcome.error is None:
            document = self._store.write(cell, outcome.result)
            request.documents[number] = document
            self._on_event(Event("finished", cell, document))
        else:
            # A trial whose loss diverges has told what there is to know: it is kept, with no score.
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
