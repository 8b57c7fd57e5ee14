"""The bar that a training run shows on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from longtail.training.launch.training_log import PROGRESS_LINE


class TrainingBar:
    """Steps done, the loss, examples a second, and how long it will still take.

    It appears with the first report of a run, and goes when the block ends.

    Args:
        console: a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("  step {task.completed} of {task.total}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Take the bar away."""
        self._progress.stop()

    def record(self, record: dict[str, Any]) -> None:
        """Show a record of the training log."""
        left = duration(record["seconds_left"])
        rate = record["examples_per_second"]
        self._show(
            record["step"],
            record["num_steps"],
            f"loss {record['loss']:.3f}, {rate:.0f} examples/s, {left} left",
        )

    def line(self, message: str) -> bool:
        """Show a log line, as `progress_line` writes it; whether it was one."""
        found = PROGRESS_LINE.fullmatch(message)
        if found is None:
            return False
        self._show(int(found[1]), int(found[2]), found[3])
        return True

    def _show(self, step: int, num_steps: int, text: str) -> None:
        if not self._progress.tasks:
            self._progress.add_task(text, total=num_steps, completed=step)
            self._progress.start()
        (task,) = self._progress.tasks
        self._progress.update(
            task.id, completed=step, total=num_steps, description=text, refresh=True
        )


@contextmanager
def training_bar(console: Console, *, wanted: bool) -> Iterator[TrainingBar | None]:
    """A bar where people watch; None where it is not wanted, or nobody can see it move."""
    if not wanted or not console.is_terminal:
        yield None
        return
    with TrainingBar(console) as bar:
        yield bar


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
