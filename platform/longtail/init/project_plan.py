"""The plan of a project: everything that is inferred from the three tables, before any writing."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from longtail.init.feature_kinds import Column
from longtail.init.keys.key import Key
from longtail.init.safe_names import PLACEHOLDER
from longtail.init.tables.raw_tables import Role
from longtail.init.times.time_columns import Moment
from longtail.init.tombstones import Tombstone
from longtail.init.weights import Weight

RoleName = Literal["key", "time", "weight", "tombstone", "feature", "left out", "unused"]


@dataclass(frozen=True)
class Request:
    """The user's request: the tables, and the columns that the user names. None infers a column.

    Attributes:
        items: a Parquet or CSV file, or a folder of either, like the other two tables.
        queries: None if the queries are the ids in the interactions.
        item_key: `COLUMN`, or `COLUMN=INTERACTIONS_COLUMN` if its name differs in the interactions.
        query_key: the same for the queries.
        time_column: the column of timestamps, in every table that has a column of this name.
        time_format: forms of the timestamps, each for the tables that it fits; see
            `times/time_formats.py`.
        weight: the column of weights in the interactions.
        shared_ids: whether an item and a query with the same id are the same thing; None infers it.
        comment: lines of CSV files that begin with it are skipped.
        ids: rules of `keys/id_rules.py` that make the ids of the tables alike.
        ignore: columns to treat as if they were not there: `COLUMN`, or `TABLE.COLUMN`.
    """

    items: Path
    interactions: Path
    queries: Path | None = None
    item_key: str | None = None
    query_key: str | None = None
    time_column: str | None = None
    time_format: tuple[str, ...] = ()
    weight: str | None = None
    shared_ids: bool | None = None
    comment: str | None = None
    ids: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


def answered(request: Request, field: str, answer: str) -> Request:
    """Return the request with the answer to an `OpenQuestion`.

    Args:
        field: `OpenQuestion.field`.
        answer: the answer of one of its choices.
    """
    # Another table may be written in another form, so a form adds to those that were named before.
    value = (*request.time_format, answer) if field == "time_format" else answer
    changes: dict[str, Any] = {field: value}
    return replace(request, **changes)


@dataclass(frozen=True)
class SidePlan:
    """The plan of the items or of the queries.

    Attributes:
        path: the user's table; None if the rows come from the interactions.
        num_rows: number of rows of the user's table.
        num_keys: number of different items or queries.
        columns: all columns but key, timestamp and tombstone, in the order of the table.
        table: the embedding table that the key shares with a feature or the other key, else None.
        buckets: rows of the key's hashed vocabulary; None if it is exact.
        tombstone: the column that says whether an item still exists; None if there is none.
        repeats: some rows are given more than once; each is written once.
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
    tombstone: Tombstone | None = None
    repeats: bool = False

    @property
    def view(self) -> Literal["items", "queries"]:
        """The name of the side's Feast view, and of its file."""
        return "items" if self.side == "item" else "queries"

    @property
    def features(self) -> list[Column]:
        """The columns that the model uses."""
        return [column for column in self.columns if not column.left_out]

    @property
    def declared(self) -> list[Column]:
        """The columns that the project's table and view have: features, and those left out."""
        return [column for column in self.columns if column.kind != "none"]

    @property
    def has_placeholder(self) -> bool:
        """Whether the view needs a placeholder, because no feature but the id is known.

        Feast requires a feature in every view.
        """
        return not self.features

    @property
    def feature_names(self) -> list[str]:
        """The names of the features that the model uses besides the id."""
        return [column.name for column in self.features] or [PLACEHOLDER]


@dataclass(frozen=True)
class InteractionsPlan:
    """The plan of the interactions.

    Attributes:
        num_pairs: number of different pairs of query and item.
        weight: the column of weights; None if all interactions count the same.
        num_reweighted: number of pairs that have several rows with different weights.
        unused: the columns that nothing reads.
        unknown_items: share of the interactions that name an item without a row, in [0, 1].
        unknown_queries: the same for the queries.
    """

    path: Path
    num_rows: int
    num_pairs: int
    moment: Moment
    weight: Weight | None
    num_reweighted: int
    unused: tuple[str, ...]
    unknown_items: float
    unknown_queries: float


@dataclass(frozen=True)
class ColumnRole:
    """The role of one column.

    Attributes:
        table: the table that it belongs to.
        column: its name in the user's table.
        name: its name in the project; empty if the project does not have it.
        role: what the project does with it.
        why: what the role rests on, or how the values are read; in words for the user.
        sample: one of its values as text; empty if it has none that can be read.
    """

    table: Role
    column: str
    name: str
    role: RoleName
    why: str
    sample: str


@dataclass(frozen=True)
class ProjectPlan:
    """The plan of a whole project.

    Attributes:
        columns: every column of the three tables, with the role that it got.
        measured: figures about the roles that `longtail check` compares later; see `roles_file.py`.
        notes: how the tables were read, where it was not as they stand; in words for the user.
        doubts: guesses that a careful person would look at before going on; in words too.
    """

    name: str
    items: SidePlan
    queries: SidePlan
    interactions: InteractionsPlan
    columns: tuple[ColumnRole, ...] = ()
    measured: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def shared_ids(self) -> bool:
        """Whether items and queries have the same ids, and so share their embedding table."""
        return self.items.table is not None and self.items.table == self.queries.table
