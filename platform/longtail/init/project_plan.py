"""The whole of what is inferred: what the three tables are, and what each column becomes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from longtail.init.feature_kinds import Column
from longtail.init.key_columns import Key
from longtail.init.names import PLACEHOLDER
from longtail.init.time_columns import Moment


@dataclass(frozen=True)
class Request:
    """What the user asks for: her tables, and the columns that she names herself.

    Attributes:
        queries: None where the queries are the ids in the interactions.
        item_key: `COLUMN`, or `COLUMN=INTERACTIONS_COLUMN` where the interactions call it
            otherwise; None infers it.
        query_key: likewise.
        timestamp: of every table that has this column.
        weight: of the interactions.
        shared_ids: whether an item and a query of one id are the same thing.
    """

    items: Path
    interactions: Path
    queries: Path | None = None
    item_key: str | None = None
    query_key: str | None = None
    timestamp: str | None = None
    weight: str | None = None
    shared_ids: bool | None = None


@dataclass(frozen=True)
class SidePlan:
    """Items or queries.

    Attributes:
        path: of the table that was given; None where the rows come from the interactions.
        num_rows: of the table.
        num_keys: different items or queries.
        columns: all but key, timestamp and tombstone, in the order of the table.
        table: the embedding table that the key shares, else None.
        buckets: rows of the key's hashed vocabulary; None where it is exact.
        active: SQL for the tombstone over the view of readings; None where there is none.
        repeats: rows are given more than once, and written once.
    """

    side: Literal["item", "query"]
    path: Path | None
    num_rows: int
    num_keys: int
    key: Key
    moment: Moment
    columns: tuple[Column, ...]
    table: str | None = None
    buckets: int | None = None
    active: str | None = None
    repeats: bool = False

    @property
    def view(self) -> Literal["items", "queries"]:
        """The name of its Feast view, and of its file."""
        return "items" if self.side == "item" else "queries"

    @property
    def features(self) -> list[Column]:
        """What the model gets."""
        return [column for column in self.columns if not column.left_out]

    @property
    def declared(self) -> list[Column]:
        """What the project's table and view have: the features, and what may become one."""
        return [column for column in self.columns if column.kind != "none"]

    @property
    def has_placeholder(self) -> bool:
        """Whether nothing is known but the id: a Feast view must have a feature all the same."""
        return not self.features

    @property
    def feature_names(self) -> list[str]:
        """The names of the features that the model gets besides the id."""
        return [column.name for column in self.features] or [PLACEHOLDER]


@dataclass(frozen=True)
class InteractionsPlan:
    """The interactions.

    Attributes:
        weight: their column of weights; None where all count the same.
        unused: columns that nothing reads.
        num_pairs: different pairs of query and item.
        unknown_items: share of the interactions whose item has no row in the items' table.
    """

    path: Path
    num_rows: int
    num_pairs: int
    moment: Moment
    weight: str | None
    unused: tuple[str, ...]
    unknown_items: float
    unknown_queries: float


@dataclass(frozen=True)
class ProjectPlan:
    """A project before anything of it is written."""

    name: str
    items: SidePlan
    queries: SidePlan
    interactions: InteractionsPlan
    notes: tuple[str, ...] = field(default=())

    @property
    def shared_ids(self) -> bool:
        """Whether queries and items share ids."""
        return self.items.table is not None and self.items.table == self.queries.table
