"""The report of all checks of a project, as one document."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from longtail.errors import InputError
from longtail.features.finding import Finding


@dataclass(frozen=True)
class Problem:
    """A finding with the name of its check and its severity in this project."""

    check: str
    severity: Literal["error", "warning"]
    finding: Finding

    def document(self) -> dict[str, Any]:
        """Return the problem as `longtail check --json` prints it."""
        found = self.finding
        return {
            "check": self.check,
            "severity": self.severity,
            "source": found.source,
            "column": found.column,
            "num_rows": found.num_rows,
            "examples": list(found.examples),
            "what": found.what,
            "cure": found.cure,
        }


@dataclass(frozen=True)
class Report:
    """All problems of a project, and its refused rows.

    Attributes:
        as_of: the day that was checked, or None if it could not be found out.
        problems: errors first, otherwise in the order of the checks.
        refused: the refused rows of each table, as `refused_rows.write_quarantine` returns them.
    """

    as_of: date | None
    problems: tuple[Problem, ...]
    refused: Mapping[str, Any]

    @property
    def errors(self) -> list[Problem]:
        """The problems that stop a run."""
        return [problem for problem in self.problems if problem.severity == "error"]

    @property
    def warnings(self) -> list[Problem]:
        """The problems that do not stop a run."""
        return [problem for problem in self.problems if problem.severity == "warning"]

    def document(self) -> dict[str, Any]:
        """Return the report as `longtail check --json` prints it."""
        return {
            "as_of": self.as_of and self.as_of.isoformat(),
            "problems": [problem.document() for problem in self.problems],
            "refused": dict(self.refused),
        }

    def require(self) -> date:
        """Return the day, if no problem stops a run.

        Raises:
            InputError: there are errors; the message lists all of them.
        """
        if self.errors:
            raise InputError("; ".join(problem.finding.message for problem in self.errors))
        assert self.as_of is not None
        return self.as_of

    def notices(self) -> list[str]:
        """Return the lines that a run shows before it goes on: warnings, and rows left out."""
        warnings = [f"{each.check}: {each.finding.message}" for each in self.warnings]
        return [*warnings, *self.left_out()]

    def left_out(self) -> list[str]:
        """Return a line for each table with refused rows: how many, and their file."""
        return [
            f"{facts['num_refused']} of {facts['num_rows']} rows of {table} are refused and left "
            f"out: see {facts['file']}"
            for table, facts in self.refused.items()
            if facts["num_refused"]
        ]
