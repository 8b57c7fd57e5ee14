"""The model's schema: the features of both sides, as the Feast registry declares them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Side = Literal["query", "item"]


@dataclass(frozen=True)
class Feature:
    """One categorical feature of a query or an item.

    Attributes:
        name: the column's name in Feast; the join key itself is the feature `is_id`.
        side: whose feature it is.
        kind: `single` (one value) or `multi` (a list of values).
        dtype: the type of its values.
        table: embedding tables are shared by name; default `<side>_<name>`.
        dim: embedding size, equal for all features of a table.
        vocabulary: `exact` (one table row a value) or `hash` (a fixed number of `buckets`).
        buckets: table rows of a hashed vocabulary, else None.
        is_id: whether it is the entity's join key.
    """

    name: str
    side: Side
    kind: Literal["single", "multi"]
    dtype: Literal["string", "integer"]
    table: str
    dim: int
    vocabulary: Literal["exact", "hash"] = "exact"
    buckets: int | None = None
    is_id: bool = False

    @property
    def key(self) -> str:
        """Its name in a KeyedJaggedTensor, unique over both sides."""
        return f"{self.side}.{self.name}"


@dataclass(frozen=True)
class Schema:
    """All features, queries' and items', each in the order in which the registry lists them.

    The join key comes first on either side. Both lists are non-empty.
    """

    query: tuple[Feature, ...]
    item: tuple[Feature, ...]

    def side(self, side: Side) -> tuple[Feature, ...]:
        """The features of one side."""
        return self.query if side == "query" else self.item

    @property
    def features(self) -> tuple[Feature, ...]:
        """Queries' features, then items'."""
        return self.query + self.item

    @property
    def tables(self) -> dict[str, list[Feature]]:
        """Embedding tables by name, each with the features that share it."""
        tables: dict[str, list[Feature]] = {}
        for feature in self.features:
            tables.setdefault(feature.table, []).append(feature)
        return tables

    @property
    def query_key(self) -> str:
        """The column that identifies a query."""
        return next(f.name for f in self.query if f.is_id)

    @property
    def item_key(self) -> str:
        """The column that identifies an item."""
        return next(f.name for f in self.item if f.is_id)

    @property
    def shared_ids(self) -> bool:
        """Whether a query and an item of one id are the same thing: their keys share a table."""
        return self.query[0].table == self.item[0].table

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `from_json` reads back."""
        return {"query": [asdict(f) for f in self.query], "item": [asdict(f) for f in self.item]}

    @classmethod
    def from_json(cls, document: dict[str, Sequence[dict[str, Any]]]) -> "Schema":
        """The schema that `to_json` wrote."""
        return cls(
            query=tuple(Feature(**feature) for feature in document["query"]),
            item=tuple(Feature(**feature) for feature in document["item"]),
        )
