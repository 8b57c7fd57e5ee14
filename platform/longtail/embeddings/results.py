"""The types of what the stages of this package return.

They are plain dictionaries at run time, so `--json` prints them as they are; an editor completes
their keys, and mypy checks them.
"""

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict


class ScoredItem(TypedDict):
    """An item and how well it fits what was searched for.

    Attributes:
        item: the item's id.
        score: the inner product of two unit vectors, -1 to 1. Where a version recommends, the
            item's bias is added if it has one, and a version with a memory gives p(item | query),
            0 to 1.
    """

    item: str
    score: float


class ExportSummary(TypedDict):
    """The result of `export_catalogue`: the size of what it wrote, or found written.

    Attributes:
        version: the version's name.
        num_items: rows of `item_embeddings.parquet`.
        embedding_dim: length of a vector.
    """

    version: str
    num_items: int
    embedding_dim: int


# By call, because `recall@100` is no name in Python.
IndexRecall = TypedDict(
    "IndexRecall",
    {
        "recall@100": float,
        "item_recall@100": float,
        "num_sampled_queries": int,
        "num_sampled_items": int,
    },
)
"""The share of an exact search that an index finds, for sampled queries and for sampled items."""

IndexRecord = TypedDict(
    "IndexRecord",
    {
        "kind": Literal["flat", "hnsw"],
        "hnsw_links": NotRequired[int],
        "hnsw_build_width": NotRequired[int],
        "hnsw_search_width": NotRequired[int],
        "recall@100": NotRequired[float],
        "item_recall@100": NotRequired[float],
        "num_sampled_queries": NotRequired[int],
        "num_sampled_items": NotRequired[int],
    },
)
"""A manifest's entry `index`: the kind of index, the settings that shaped it, and its recall.

The settings `hnsw_...` are there for a graph only. A version of an early release has no recall.
"""


class IndexSample(TypedDict):
    """A popular item and its nearest neighbours, for a person to look at.

    Attributes:
        item: the item's id.
        neighbours: the items nearest to it, without itself, best first.
    """

    item: str
    neighbours: list[ScoredItem]


class IndexSummary(IndexRecord):
    """The result of `build_index`: the manifest's record of the index, and samples to look at.

    Attributes:
        version: the version's name.
        num_items: vectors in the index.
        embedding_dim: length of a vector.
        samples: the items with most interactions, with their neighbours.
    """

    version: str
    num_items: int
    embedding_dim: int
    samples: list[IndexSample]


class Manifest(TypedDict):
    """The content of a version's `manifest.json`.

    Attributes:
        version: the version's name.
        as_of: its day, ISO 8601.
        created_at: when it was committed, UTC, ISO 8601.
        embedding_dim: length of a vector.
        num_items: rows of `item_embeddings.parquet`.
        num_queries: queries of the day's catalogue.
        schema_fingerprint: the hash of its `schema.json`.
        split: the section `dataset` of its configuration.
        seed: the seed of its training.
        parent: the version that its training started from, or None.
        score: what a query's score of an item is: the cosine of their vectors, or that and the
            item's bias; missing from versions of an early release, which have cosines.
        beta: the weight of log popularity in the biases, if they are calibrated.
        index: what is known of its index; missing from versions of an early release.
        files: the SHA-256 of each of its files, by path relative to its folder.
    """

    version: str
    as_of: str
    created_at: str
    embedding_dim: int
    num_items: int
    num_queries: int
    schema_fingerprint: str
    split: dict[str, Any]
    seed: int
    parent: str | None
    score: NotRequired[Literal["cosine", "cosine_plus_bias"]]
    beta: NotRequired[float]
    index: NotRequired[IndexRecord | None]
    files: dict[str, str]


VersionState: TypeAlias = Literal["served", "previous", "kept", "incomplete"]


class VersionEntry(TypedDict):
    """One version on disk, as `list_versions` lists it.

    Attributes:
        version: the version's name.
        as_of: its day, ISO 8601.
        state: `incomplete` before its manifest is written; `served` and `previous` as the pointer
            file says; else `kept`.
        created_at: when it was committed, UTC, ISO 8601; None for an incomplete version.
        num_items: rows of its embeddings; None for an incomplete version.
    """

    version: str
    as_of: str
    state: VersionState
    created_at: str | None
    num_items: int | None


class ServedStatus(TypedDict):
    """The version that is served.

    Attributes:
        version: the version's name.
        as_of: its day, ISO 8601.
        published_at: when the pointer was flipped to it, UTC, ISO 8601.
        num_items: rows in its slot.
        slot: the slot that holds them.
        newest_row: the timestamp of the newest row of the data that it was made from, UTC, ISO
            8601; None if it is not known.
        previous: the version that was served before it; None if there was none.
    """

    version: str
    as_of: str
    published_at: str
    num_items: int
    slot: str
    newest_row: str | None
    previous: str | None


class NothingServed(TypedDict):
    """The status before the first publication.

    Attributes:
        version: None.
    """

    version: None


Status: TypeAlias = ServedStatus | NothingServed
"""The result of `status`. If `status["version"]` is not None, all other keys exist."""


class Published(ServedStatus):
    """The status after a publication or a rollback that changed it.

    Attributes:
        published: True.
    """

    published: Literal[True]


class NotPublished(ServedStatus):
    """The status where a publication or a rollback had nothing to do.

    Attributes:
        published: False.
        reason: why nothing was published.
    """

    published: Literal[False]
    reason: str


PublicationResult: TypeAlias = Published | NotPublished
"""The result of `publish` and `rollback`."""


class OnlineQueryFeatures(TypedDict):
    """The query features that are online.

    Attributes:
        as_of: their day, ISO 8601.
        num_queries: how many queries have features.
    """

    as_of: str
    num_queries: int


class QueryFeaturesPublished(OnlineQueryFeatures):
    """The query features that have just been written.

    Attributes:
        published: True.
    """

    published: Literal[True]


class QueryFeaturesNotPublished(OnlineQueryFeatures):
    """The query features that were online already.

    Attributes:
        published: False.
        reason: why nothing was written.
    """

    published: Literal[False]
    reason: str


QueryFeaturesResult: TypeAlias = QueryFeaturesPublished | QueryFeaturesNotPublished
"""The result of `publish_query_features`."""
