"""What all checks of a project found, as one document."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from longtail.errors import InputError
from longtail.features.finding import Finding


@dataclass(frozen=True)
class Problem:
    """A finding with the check that made it, and how bad it is here."""

    check: str
    severity: Literal["error", "warning"]
    finding: Finding

    def document(self) -> dict[str, Any]:
        """As `longtail check --json` prints it."""
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
    """Everything that was found, errors first.

    Attributes:
        as_of: the day that was looked at, or None where it could not be known.
        problems: errors first, otherwise in the order of the checks.
        refused: by table, as `admission.write_quarantine` gives it.
    """

    as_of: date | None
    problems: tuple[Problem, ...]
    refused: Mapping[str, Any]

    @property
    def errors(self) -> list[Problem]:
        """What stops a run."""
        return [problem for problem in self.problems if problem.severity == "error"]

    @property
    def warnings(self) -> list[Problem]:
        """What does not."""
        return [problem for problem in self.problems if problem.severity == "warning"]

    def document(self) -> dict[str, Any]:
        """As `longtail check --json` prints it."""
        return {
            "as_of": self.as_of and self.as_of.isoformat(),
            "problems": [problem.document() for problem in self.problems],
            "refused": dict(self.refused),
        }

    def require(self) -> date:
        """The day, where nothing stops a run.

        Raises:
            InputError: it names every error.
        """
        if self.errors:
            raise InputError("; ".join(problem.finding.message for problem in self.errors))
        assert self.as_of is not None
        return self.as_of

    def notices(self) -> list[str]:
        """What a run that goes on has to say: its warnings, and which rows it leaves out."""
        warnings = [f"{each.check}: {each.finding.message}" for each in self.warnings]
        return [*warnings, *self.left_out()]

    def left_out(self) -> list[str]:
        """Which rows are refused, table by table, and where they are written down."""
        return [
            f"{facts['num_refused']} of {facts['num_rows']} rows of {table} are refused, and left "
            f"out: {facts['file']}"
            for table, facts in self.refused.items()
            if facts["num_refused"]
        ]
