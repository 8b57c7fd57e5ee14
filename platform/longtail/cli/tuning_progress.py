"""Shows the progress of `longtail tune`: a line for each trial that ends."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from longtail.cli.training_bar import duration
from longtail.tuning.tune import Event

_REASONS = {
    "no rise": "no more rise",
    "all epochs": "all epochs",
    "pruned": "pruned: behind the median",
    "out of time": "the time was up",
    "failed": "failed",
}


class TuningProgress:
    """Prints a line for every trial that ends; on a terminal, also what the present one does.

    Args:
        console: the console to print to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("") if console.is_terminal else None

    def __enter__(self) -> "TuningProgress":
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if event.trained is not None:
            self._console.print(self._line(event), soft_wrap=True)
        elif self._status is not None:
            reached = "" if event.objective is None else f": {event.objective:.4f}"
            best = "" if event.best is None else f", best so far {event.best:.4f}"
            self._status.update(f"trial {event.number}, after epoch {event.epoch}{reached}{best}")

    def _line(self, event: Event) -> Text:
        trained = event.trained
        assert trained is not None
        changed = changes(event.settings, event.present)
        line = Text.assemble((f"[{event.number:>3}] ", "cyan"))
        if event.chosen is not None:
            figure = event.chosen["objective"]
            is_new = event.best is None or figure > event.best
            line.append(f"{figure:.4f}", style="bold green" if is_new else "")
            line.append(f" (epoch {event.chosen['epoch']} of {len(trained.curve)}) ")
        line.append(changed or "the present configuration")
        reason = _REASONS[trained.ended] + (f": {trained.error}" if trained.error else "")
        return line.append(f"  {reason}, {duration(trained.seconds)}", style="dim")


def changes(settings: Mapping[str, Any], present: Mapping[str, Any]) -> str:
    """Return the settings that are not those of the present configuration, in a line."""
    return ", ".join(
        f"{key} {text_of(value)}" for key, value in settings.items() if value != present.get(key)
    )


def text_of(value: Any) -> str:
    """Return a setting as text."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
