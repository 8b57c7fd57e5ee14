"""What a check is: a function from what was read to findings, with a name and a severity."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from longtail.checks.inspection import Inspection
from longtail.features.finding import Finding, TableName

Severity = Literal["error", "warning", "ignore"]
Find = Callable[[Inspection], Iterator[Finding]]


@dataclass(frozen=True)
class Check:
    """One thing that is looked at.

    Attributes:
        name: the function's name; `checks.severity` goes by it.
        severity: what a finding is, where the configuration does not say otherwise.
        tables: whose rows its findings are about; empty for the project and the machine.
        explanation: the first paragraph of the function's docstring.
        find: the function.
    """

    name: str
    severity: Severity
    tables: tuple[TableName, ...]
    explanation: str
    find: Find


def check(severity: Severity, *tables: TableName) -> Callable[[Find], Check]:
    """Make a check of a function; it counts once it stands in `registry.CHECKS`."""

    def decorate(find: Find) -> Check:
        explanation = " ".join((inspect.getdoc(find) or "").split("\n\n")[0].split())
        return Check(find.__name__, severity, tables, explanation, find)

    return decorate
