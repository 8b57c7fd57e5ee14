"""A problem that a check found: what is wrong, where, examples, and what to do about it."""

from dataclasses import dataclass
from typing import Any, Literal

TableName = Literal["items", "queries", "interactions"]
TABLES: tuple[TableName, ...] = ("items", "queries", "interactions")

MAX_EXAMPLES = 3
"""Examples in one finding, at most."""


@dataclass(frozen=True)
class Finding:
    """One problem, worded for the owner of the data.

    Attributes:
        what: what is wrong, and where; no full stop.
        cure: what to do about it; no full stop.
        source: the thing to change: a file, a data source in Feast, or another.
        table: the table concerned; None for a problem of the project or the machine.
        column: the column concerned, if there is one.
        num_rows: number of rows concerned.
        examples: at most `MAX_EXAMPLES` rows or values, in JSON's types.
    """

    what: str
    cure: str
    source: str
    table: TableName | None = None
    column: str | None = None
    num_rows: int = 0
    examples: tuple[Any, ...] = ()

    @property
    def message(self) -> str:
        """The problem and its cure in one line."""
        return f"{self.what}: {self.cure}"

    @classmethod
    def of(cls, message: str, source: str) -> "Finding":
        """Make a finding from an error's message, which reads `what is wrong: the cure`."""
        what, _, cure = message.partition(": ")
        return cls(what, cure or "correct it", source)
