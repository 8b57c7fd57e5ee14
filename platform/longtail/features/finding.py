"""What a check found: what is wrong, where, examples, and what to do about it."""

from dataclasses import dataclass
from typing import Any, Literal

TableName = Literal["items", "queries", "interactions"]
TABLES: tuple[TableName, ...] = ("items", "queries", "interactions")

MAX_EXAMPLES = 3
"""Examples that stand in a finding."""


@dataclass(frozen=True)
class Finding:
    """One problem, worded for the owner of the data.

    Attributes:
        what: what is wrong, and where; no full stop.
        cure: what to do about it; no full stop.
        table: whose rows it is about, or None where it is about the project or the machine.
        source: the file, or the data source in Feast, or what else is to be changed.
        column: the column, where there is one.
        num_rows: how many rows are concerned.
        examples: at most `MAX_EXAMPLES` rows or values, of JSON's types.
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
        """The whole as one line."""
        return f"{self.what}: {self.cure}"

    @classmethod
    def of(cls, message: str, source: str) -> "Finding":
        """The finding of an error's message, which says what is wrong, a colon, and the cure."""
        what, _, cure = message.partition(": ")
        return cls(what, cure or "correct it", source)
