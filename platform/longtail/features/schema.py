"""The model's schema: the features of both sides, as the Feast registry declares them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import pyarrow as pa

Side = Literal["query", "item"]
SIDES: tuple[Side, Side] = ("query", "item")


@dataclass(frozen=True)
class Scale:
    """The measures that normalise a dense feature's values, taken with the vocabularies.

    A vector is scaled to unit length, and needs no mean and no deviation: they stay 0 and 1.

    Attributes:
        length: numbers in one value; 1 for a number.
        mean: mean of the number over the catalogue.
        deviation: standard deviation of the number over the catalogue; positive.
    """

    length: int
    mean: float = 0.0
    deviation: float = 1.0


@dataclass(frozen=True)
class Feature:
    """One feature of a query or an item: categorical or dense.

    Attributes:
        name: the column's name in Feast; the join key itself is the feature `is_id`.
        side: the side that the feature belongs to.
        kind: `single` (one category), `multi` (a list of categories) or `dense`.
        dtype: type of the values; `number` or `vector` for a dense feature.
        table: name of the embedding table; features with one name share it. Dense features share
            a projection in the same way. Default `<side>_<name>`.
        dim: embedding size, equal for all features of a table.
        vocabulary: `exact` (one table row per value) or `hash` (a fixed number of `buckets`).
        buckets: table rows of a hashed vocabulary, else None.
        is_id: whether the feature is the entity's join key.
        min_count: a value of an exact vocabulary must occur at least this often in the data.
        scale: scale of a dense feature; None until the vocabularies are built.
        is_history: whether the values are the query's own newest items, which the platform derives
            from the interactions: no source has such a column.
    """

    name: str
    side: Side
    kind: Literal["single", "multi", "dense"]
    dtype: Literal["string", "integer", "number", "vector"]
    table: str
    dim: int
    vocabulary: Literal["exact", "hash"] = "exact"
    buckets: int | None = None
    is_id: bool = False
    min_count: int = 1
    scale: Scale | None = None
    is_history: bool = False

    @property
    def is_dense(self) -> bool:
        """Whether the values are numbers to project, not categories to look up."""
        return self.kind == "dense"

    @property
    def length(self) -> int:
        """Numbers in one value of a dense feature; the scale must be known."""
        assert self.scale is not None, f"the scale of {self.key} is not measured yet"
        return self.scale.length

    @property
    def key(self) -> str:
        """Name of the feature in a KeyedJaggedTensor, unique over both sides."""
        return f"{self.side}.{self.name}"


@dataclass(frozen=True)
class Schema:
    """The features of queries and of items, in the order of the registry.

    The join key comes first on either side, so neither is empty.
    """

    query: tuple[Feature, ...]
    item: tuple[Feature, ...]

    def side(self, side: Side) -> tuple[Feature, ...]:
        """Return the features of one side."""
        return self.query if side == "query" else self.item

    @property
    def features(self) -> tuple[Feature, ...]:
        """Queries' features, then items'."""
        return self.query + self.item

    def sourced(self, side: Side) -> tuple[Feature, ...]:
        """Return the features of one side that the data sources hold: all but the history."""
        return tuple(feature for feature in self.side(side) if not feature.is_history)

    @property
    def history(self) -> Feature | None:
        """The queries' history, their last feature, or None."""
        return self.query[-1] if self.query[-1].is_history else None

    @property
    def tables(self) -> dict[str, list[Feature]]:
        """Embedding tables by name, each with the categorical features that share it."""
        return _by_table(feature for feature in self.features if not feature.is_dense)

    @property
    def projections(self) -> dict[str, list[Feature]]:
        """Learned projections by name, each with the dense features that share it."""
        return _by_table(feature for feature in self.features if feature.is_dense)

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
        """Whether a query and an item with one id are the same thing: their keys share a table."""
        return self.query[0].table == self.item[0].table

    def scaled(self, scales: Mapping[str, Scale]) -> "Schema":
        """Return the schema with the scales of its dense features.

        Args:
            scales: the scale of every projection, by name.
        """

        def measured(feature: Feature) -> Feature:
            return replace(feature, scale=scales[feature.table]) if feature.is_dense else feature

        return Schema(tuple(map(measured, self.query)), tuple(map(measured, self.item)))

    def to_json(self) -> dict[str, Any]:
        """Return a JSON document that `from_json` reads back."""
        return {
            "query": [_document(feature) for feature in self.query],
            "item": [_document(feature) for feature in self.item],
        }

    @classmethod
    def from_json(cls, document: dict[str, Sequence[dict[str, Any]]]) -> "Schema":
        """Read the schema that `to_json` wrote."""
        return cls(
            query=tuple(map(_feature, document["query"])),
            item=tuple(map(_feature, document["item"])),
        )


# Fields that were added later, and are left out of the document where they have these values. Such
# a schema reads as it did before, so that everything measured on it, published studies included,
# stays valid.
_LATER: dict[str, Any] = {"min_count": 1, "scale": None, "is_history": False}


def _document(feature: Feature) -> dict[str, Any]:
    return {
        name: value
        for name, value in asdict(feature).items()
        if name not in _LATER or value != _LATER[name]
    }


def _feature(document: dict[str, Any]) -> Feature:
    scale = document.get("scale")
    return Feature(**{**document, "scale": Scale(**scale) if scale else None})


def _by_table(features: Iterable[Feature]) -> dict[str, list[Feature]]:
    tables: dict[str, list[Feature]] = {}
    for feature in features:
        tables.setdefault(feature.table, []).append(feature)
    return tables


def arrow_type(feature: Feature) -> pa.DataType:
    """Return the Arrow type of a feature's column."""
    types = {
        "string": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "vector": pa.list_(pa.float32()),
    }
    one = types[feature.dtype]
    return pa.list_(one) if feature.kind == "multi" else one
