"""Shows the progress of a study: a line for each finished cell, and the time left."""

import time
from collections import Counter

from rich.console import Console
from rich.text import Text

from longtail.study.cells import Cell
from longtail.study.runner import Event


class StudyProgress:
    """Prints a line for every cell that ends.

    Args:
        console: the console to print to.
        planned: about the cells that will be run, to estimate the time left.
        num_workers: number of cells that run at the same time.
    """

    def __init__(self, console: Console, planned: list[Cell], num_workers: int) -> None:
        self._console = console
        self._num_planned = len(planned)
        self._cost_left = sum(cell.cost for cell in planned)
        self._num_workers = num_workers
        self._num_done = self._num_reused = 0
        self._cost_done = self._seconds = 0.0
        self._started: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        """Record an event, and print a line if a cell has ended."""
        cell = event.cell
        if event.kind == "started":
            self._started[cell.name] = time.monotonic()
            return
        self._num_done += 1
        self._cost_left = max(0.0, self._cost_left - cell.cost)
        if event.kind == "reused":
            self._num_reused += 1
            return
        self.tell_reused()
        seconds = time.monotonic() - self._started.pop(cell.name)
        self._cost_done += cell.cost
        self._seconds += seconds
        self._console.print(self._line(event, seconds), soft_wrap=True)

    def tell_reused(self) -> None:
        """Print the number of cells that were read back since it was printed last."""
        if self._num_reused:
            models = "1 model was" if self._num_reused == 1 else f"{self._num_reused} models were"
            self._console.print(Text(f"  {models} there already", style="dim"))
            self._num_reused = 0

    def _line(self, event: Event, seconds: float) -> Text:
        """Return the line of a cell that has ended."""
        cell = event.cell
        kind = "trial" if cell.part == "validation" else f"seed {cell.seed}"
        name = f"{cell.variant} at {cell.fraction:g}, {kind}"
        # Settings go without their section, except where that is ambiguous: two sections have a
        # temperature.
        short = {key: key.split(".")[1] for key in cell.settings}
        names = Counter(short.values())
        settings = ", ".join(
            f"{short[key] if names[short[key]] == 1 else key} {value:g}"
            for key, value in cell.settings.items()
        )
        line = Text.assemble(
            (f"[{self._num_done:>3}/{max(self._num_planned, self._num_done)}] ", "cyan"),
            (name, "bold"),
            (f" ({settings})" if settings and cell.part == "validation" else "", "dim"),
            ": ",
        )
        if event.kind == "failed" or event.document is None:
            return line.append(f"failed: {event.error}", style="yellow")
        curve = event.document.get("curve")
        if curve:
            best = max(curve, key=lambda entry: entry["metrics"]["overall"]["recall@50"])
            line.append(
                f"recall@50 {best['metrics']['overall']['recall@50']:.4f} (validation, epoch "
                f"{best['epoch']})"
            )
        else:
            metrics = event.document["metrics"]
            line.append(
                f"recall@50 {metrics['overall']['recall@50']:.4f}, map@50 "
                f"{metrics['overall']['map@50']:.4f}, tail {metrics['tail']['recall@50']:.4f}",
                style="green",
            )
        # Cells differ in cost, so the time left follows the seconds per unit of cost so far.
        left = self._cost_left * self._seconds / max(self._cost_done, 1e-9) / self._num_workers
        return line.append(f"  {seconds:.0f} s, {_duration(left)} left", style="dim")


def _duration(seconds: float) -> str:
    """Return a duration in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
