"""A study over a few dozen packages, with work that costs nothing and is recorded."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

from longtail.artifacts import RunPaths
from longtail.config import Config, StudyConfig
from longtail.study.cells import Cell, Document
from longtail.study.grid import Plan
from longtail.study.runner import Event
from longtail.study.whole_study import Study
from longtail.study.workers import Outcome, Work, attempt
from tests.evaluation.small_project import SCHEMA, make_config, make_day
from tests.uncorrelated import write_correlations

AS_OF = date(2024, 5, 1)
SLICES = ("overall", "head", "tail", "cold")
METRICS = ("recall@10", "recall@50", "map@10", "map@50")


def make_project(home: Path, **sections: Any) -> Config:
    """Write a day with all its stages finished, and return its configuration."""
    config = make_config(home).model_copy(update=sections)
    make_day(config, AS_OF, 40)
    correlations = RunPaths(config, AS_OF).correlations
    names = [feature.name for feature in SCHEMA.item]
    plan = {name: [name, names[number - 1]] for number, name in enumerate(names)}
    write_correlations(correlations, names, plan)
    return config


def make_study(config: Config, folder: Path, **plan: Any) -> tuple[Study, list[Event]]:
    """Return a study, and the list that its events are appended to."""
    events: list[Event] = []
    variants = plan.pop("variants", ("baseline", "correlated_masking"))
    whole = Plan("A test", variants, **{"same_epochs": True, "num_epochs": 4, **plan})
    study = Study(config, AS_OF, whole, folder, events.append, command="longtail study")
    return study, events


def metrics_of(level: float) -> Document:
    """Return metrics by slice with the same figure everywhere."""
    return {name: dict.fromkeys(METRICS, level) | {"num_pairs": 7} for name in SLICES}


class FakeWork:
    """Computes the figures of a cell by a formula, and records the cell in `done`.

    Args:
        level: returns the figure of a cell after an epoch.
    """

    def __init__(self, level: Callable[[Cell, int], float]) -> None:
        self._level = level
        self.done: list[Cell] = []

    def __call__(self, cell: Cell) -> Document:
        self.done.append(cell)
        epochs = range(1, cell.num_epochs + 1)
        figures: Document = {
            "metrics": metrics_of(self._level(cell, cell.num_epochs)),
            "seconds": 1.0,
            "environment": {"torch": "1", "torchrec": "2", "num_threads": 1},
            "source": "abc",
        }
        if cell.part == "validation":
            curve = [{"epoch": n, "metrics": metrics_of(self._level(cell, n))} for n in epochs]
            return {**figures, "curve": curve}
        decile = {"min_count": 0, "max_count": 3, "num_pairs": 7}
        level = self._level(cell, cell.num_epochs)
        return {**figures, "deciles": [{**decile, "recall@50": level}]}


class Serial:
    """A pool that does each task in this process, when its outcome is asked for.

    Args:
        work: the function that does a task.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._tasks: list[Any] = []

    @property
    def num_idle(self) -> int:
        """One without a task, zero with one."""
        return 1 - len(self._tasks)

    def submit(self, task: Any) -> None:
        """Keep a task for `outcomes`."""
        self._tasks.append(task)

    def outcomes(self) -> Iterator[Outcome]:
        """Do the task, and yield its outcome."""
        yield attempt(self._work, self._tasks.pop())


QUICK_STUDY = StudyConfig(
    weights=(0.1, 1.0),
    value_dropouts=(0.2, 0.4),
    self_supervision_temperatures=(0.1, 0.2),
    learning_rate_scales=(1.0, 2.0),
    temperatures=(0.06, 0.12),
    patience=2,
)
