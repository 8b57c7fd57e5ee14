"""A check: a function that yields findings about a project, with a name and a severity."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from longtail.checks.inspected_project import Inspection
from longtail.features.finding import Finding, TableName

Severity = Literal["error", "warning", "ignore"]
Find = Callable[[Inspection], Iterator[Finding]]


@dataclass(frozen=True)
class Check:
    """One check of a project, its tables or the machine.

    Attributes:
        name: the function's name, and the check's key in `checks.severity`.
        severity: the severity of its findings, unless the configuration sets another.
        tables: the tables that its findings are about; empty for the project and the machine.
        explanation: the first paragraph of the function's docstring; Dagster shows it.
        find: the function.
    """

    name: str
    severity: Severity
    tables: tuple[TableName, ...]
    explanation: str
    find: Find


def check(severity: Severity, *tables: TableName) -> Callable[[Find], Check]:
    """Return a decorator that makes a `Check` of a function.

    The check runs once it is listed in `registry.CHECKS`.
    """

    def decorate(find: Find) -> Check:
        explanation = " ".join((inspect.getdoc(find) or "").split("\n\n")[0].split())
        return Check(find.__name__, severity, tables, explanation, find)

    return decorate
