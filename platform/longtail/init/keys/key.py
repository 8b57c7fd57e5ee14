"""The key of the items or of the queries."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Key:
    """The key of the items or of the queries.

    Attributes:
        column: the column in their own table; None if they have no table and their ids come from
            the interactions.
        interactions_column: the column in the interactions.
        known: share of the different ids in the interactions that have a row in the table.
        is_text: the ids are strings in both tables, not numbers.
        why: what speaks for the two columns; in words for the user.
    """

    column: str | None
    interactions_column: str
    known: float
    is_text: bool
    why: str = ""
