"""The bar that a training run shows on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn


class TrainingBar:
    """Shows the steps done, the loss, the examples a second, and the time left.

    The bar appears with the first record of a run, and goes away when the block ends.

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
        """Show a record of the training log.

        Args:
            record: a record of losses, as `Meter.report` writes it.
        """
        left = duration(record["seconds_left"])
        rate = record["examples_per_second"]
        text = f"loss {record['loss']:.3f}, {rate:.0f} examples/s, {left} left"
        step, num_steps = record["step"], record["num_steps"]
        # The bar starts here, since only a record says how many steps there are.
        if not self._progress.tasks:
            self._progress.add_task(text, total=num_steps, completed=step)
            self._progress.start()
        (task,) = self._progress.tasks
        self._progress.update(
            task.id, completed=step, total=num_steps, description=text, refresh=True
        )


@contextmanager
def training_bar(console: Console, *, wanted: bool) -> Iterator[TrainingBar | None]:
    """Yield a bar, or None if the console is no terminal.

    Args:
        console: where the bar goes.
        wanted: whether there is to be a bar on a terminal.
    """
    if not wanted or not console.is_terminal:
        yield None
        return
    with TrainingBar(console) as bar:
        yield bar


def duration(seconds: float) -> str:
    """Return a time as people say it, such as `3 s`, `10 min` or `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
