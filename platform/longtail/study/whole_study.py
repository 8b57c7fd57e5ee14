"""A study from beginning to end: tune, train, measure, summarize, write."""

import os
import platform
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from longtail.artifacts import write_json
from longtail.config import Config
from longtail.config.changes import with_settings
from longtail.fingerprints import fingerprint
from longtail.study.cells import Cell, CellStore, Document, Part, StudyData
from longtail.study.grid import Plan
from longtail.study.report import write_html, write_markdown
from longtail.study.runner import Event, Line, Runner
from longtail.study.search_axes import inherited_keys, num_trials, waits_for_baseline
from longtail.study.summary import summarize
from longtail.study.tuning import Choice, Search, Steps
from longtail.study.variants import BASELINE, VARIANTS
from longtail.study.workers import Pool

RESULT = "study.json"


class Study:
    """A grid over the data of one day, kept in one folder.

    Args:
        config: the project.
        as_of: the day; its training set and correlations must exist.
        plan: the grid.
        folder: the folder of cells and tables; finished cells in it are not run again.
        on_event: called with an event whenever a cell is reused, starts, finishes or fails.
        command: the command line, for the record; default: the one of this process.

    Raises:
        InputError: the plan cannot be run.
        LongtailError: a stage of the day has not finished.
    """

    def __init__(
        self,
        config: Config,
        as_of: date,
        plan: Plan,
        folder: Path,
        on_event: Callable[[Event], None] = lambda event: None,
        *,
        command: str | None = None,
    ) -> None:
        plan.check()
        self.plan = plan
        self.folder = folder
        self.base = with_settings(config, plan.settings)
        self.data = StudyData.of_day(config, as_of, plan.measures(self.base))
        self._as_of = as_of
        self.on_event = on_event
        self._command = command or shlex.join(["longtail", *sys.argv[1:]])
        self._store = CellStore(folder)
        self._choices: dict[tuple[str, float], Choice] = {}
        self._cells: dict[str, Document] = {}
        self._trials: dict[str, Document] = {}

    @property
    def num_cells(self) -> int:
        """The number of reported cells when all is done."""
        return len(self.plan.variants) * len(self.plan.fractions) * self.plan.num_seeds

    def planned(self) -> list[Cell]:
        """Return about the cells that will be run, to estimate the time.

        Settings and numbers of epochs are not chosen yet, so these are those of the start.
        """
        cells = []
        for variant in self.plan.variants:
            for fraction in self.plan.fractions:
                epochs = self.plan.epochs(self.base, fraction)
                count = num_trials(variant, self.base) if self.plan.tune else 0
                choice = Choice({}, epochs)
                cells += count * [self._trial(variant, fraction, {})]
                cells += self._reported(variant, fraction, choice)
        return cells

    def run(self, pool: Pool) -> Document:
        """Run the cells that are missing, and write the results.

        Returns:
            The content of `study.json`: `{"cells": [...], "summary": see `summarize`,
            "choices", "trials", "failures": {name: reason}, "manifest"}`; see `cells.CellStore`
            and `cell_measurement.train_and_measure` for a cell.
        """
        runner = Runner(pool, self._store, self._see)
        lines = [
            Line(
                f"{variant} at {fraction:g}",
                self._steps(variant, fraction),
                self._begins(variant, fraction),
                urgency=0 if variant == BASELINE else 1,
            )
            for variant in self.plan.variants
            for fraction in self.plan.fractions
        ]
        runner.run(lines)
        document = self._write(failures=runner.failures)
        write_html(self.folder, document)
        return document

    def _begins(self, variant: str, fraction: float) -> Callable[[], bool]:
        """Return a function that says whether a variant can begin."""
        if not waits_for_baseline(variant, self.plan.variants, tune=self.plan.tune):
            return lambda: True
        return lambda: (BASELINE, fraction) in self._choices

    def _steps(self, variant: str, fraction: float) -> Steps:
        """Yield a variant's trials, and then the reported cells with the best settings."""
        choice: Choice | None = Choice({}, self.plan.epochs(self.base, fraction))
        if self.plan.tune:
            inherited = self._inherited(variant, fraction)
            trial = partial(self._trial, variant, fraction)
            search = Search(variant, self.base, inherited, trial)
            yield from search.steps()
            choice = search.choice
            if choice is None:  # every trial failed
                return
        assert choice is not None
        self._choices[variant, fraction] = choice
        yield self._reported(variant, fraction, choice)

    def _inherited(self, variant: str, fraction: float) -> dict[str, Any]:
        """Return the settings that a variant takes over from the baseline's choice."""
        baseline = self._choices.get((BASELINE, fraction))
        if baseline is None or variant == BASELINE:
            return {}
        return {k: v for k, v in baseline.settings.items() if k in inherited_keys()}

    def _trial(self, variant: str, fraction: float, settings: dict[str, Any]) -> Cell:
        epochs = self.plan.epochs(self.base, fraction)
        seed = self.base.study.tuning_seed
        return self._cell(variant, fraction, seed, epochs, "validation", settings)

    def _reported(self, variant: str, fraction: float, choice: Choice) -> list[Cell]:
        return [
            self._cell(variant, fraction, seed, choice.num_epochs, "test", choice.settings)
            for seed in range(1, self.plan.num_seeds + 1)
        ]

    def _cell(
        self,
        variant: str,
        fraction: float,
        seed: int,
        num_epochs: int,
        part: Part,
        settings: dict[str, Any],
    ) -> Cell:
        measure = VARIANTS[variant](self.base).correlation.measure
        data = self.data.fingerprints[measure]
        return Cell(variant, fraction, seed, num_epochs, part, settings, self.base, data)

    def _see(self, event: Event) -> None:
        """Collect the figures of a cell, and pass the event on."""
        if event.document is not None:
            known = self._cells if event.cell.part == "test" else self._trials
            known[event.cell.name] = event.document
        if event.kind == "finished" and event.cell.part == "test":
            self._write()  # so that finished cells can be read while the others still run
        self.on_event(event)

    def _write(self, *, failures: dict[str, str] | None = None) -> Document:
        document = self.document(failures=failures)
        write_json(self.folder / RESULT, document)
        write_markdown(self.folder, document)
        return document

    def document(self, *, failures: dict[str, str] | None = None) -> Document:
        """Return the content of `study.json` as far as it is known by now."""
        order = {name: number for number, name in enumerate(self.plan.variants)}
        cells = sorted(
            self._cells.values(), key=lambda c: (-c["fraction"], order[c["variant"]], c["seed"])
        )
        return {
            "cells": [_without_identity(cell) for cell in cells],
            "summary": summarize(cells, self.plan.reference),
            "choices": [
                {"variant": variant, "fraction": fraction, **asdict(choice)}
                for (variant, fraction), choice in self._choices.items()
            ],
            "trials": [_without_identity(trial) for trial in self._trials.values()],
            "failures": failures or {},
            "manifest": self._manifest(cells),
        }

    def _manifest(self, cells: list[Document]) -> Document:
        """Return how the figures came about: command, data, plan, configuration, machine."""
        # Without the paths of this machine, so that the hash is the same elsewhere.
        settings = self.base.model_dump(
            mode="json", exclude={"home", "feature_repo", "feature_store"}
        )
        sources = sorted({cell["source"] for cell in cells})
        return {
            "command": self._command,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "as_of": self._as_of.isoformat(),
            "data": self.data.fingerprints[self.base.correlation.measure],
            "plan": asdict(self.plan),
            "num_cells": self.num_cells,
            "config": settings,
            "config_hash": fingerprint(settings),
            "sources": sources,
            "environments": _distinct([cell["environment"] for cell in cells]),
            "machine": machine(),
            "seconds": sum(cell["seconds"] for cell in cells),
        }


def machine() -> Document:
    """Return the number of cores and the name of the CPU."""
    model = None
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = [line for line in info.read_text("utf-8").splitlines() if "model name" in line]
        model = lines[0].split(":", 1)[1].strip() if lines else None
    return {"num_cores": os.cpu_count(), "cpu": model or platform.processor() or None}


def _without_identity(document: Document) -> Document:
    return {name: value for name, value in document.items() if name != "identity"}


def _distinct(documents: list[Document]) -> list[Document]:
    """Return the documents without repetitions."""
    return list({fingerprint(document): document for document in documents}.values())
