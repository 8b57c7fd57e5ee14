"""The types of what the classes of `longtail.serving` return.

They are plain dictionaries at run time, so `--json` prints them as they are; an editor completes
their keys, and mypy checks them. Each names the version that the answer is of.
"""

from typing import NotRequired, TypedDict

from longtail.embeddings.results import ScoredItem

__all__ = [
    "LookupResult",
    "RankedItems",
    "RankedItemsByKey",
    "RankedItemsByRow",
    "RankedSession",
    "ScoredItem",
]


class LookupResult(TypedDict):
    """The embeddings of items.

    Attributes:
        version: the version that all of them are of.
        embeddings: by item id, in the order asked for: `dim` floats, or None for an item that the
            version does not have.
        missing: the items that the version does not have.
        biases: by item id, what is added to the cosine of a query and the item; only where at least
            one of the items has a bias, so never in a version without biases.
    """

    version: str
    embeddings: dict[str, list[float] | None]
    missing: list[str]
    biases: NotRequired[dict[str, float | None]]


class RankedItems(TypedDict):
    """The items that fit one query, or that are nearest to one item.

    Attributes:
        version: the version that ranked them.
        query: the id of the query or item.
        results: the items, best first.
    """

    version: str
    query: str
    results: list[ScoredItem]


class RankedItemsByKey(TypedDict):
    """The items that fit each of several queries, or that are nearest to each of several items.

    Attributes:
        version: the version that ranked them.
        results: by the id of the query or item: the items, best first.
    """

    version: str
    results: dict[str, list[ScoredItem]]


class RankedItemsByRow(TypedDict):
    """The items that fit each of several rows of feature values.

    Attributes:
        version: the version that ranked them.
        results: one list for each row: the items, best first.
    """

    version: str
    results: list[list[ScoredItem]]


class RankedSession(TypedDict):
    """The items that fit a session, which is known by its history alone.

    Attributes:
        version: the version that ranked them.
        history: the given items, the newest first.
        unknown: those of them that the version does not know, and that count for nothing.
        results: the items, best first.
    """

    version: str
    history: list[str]
    unknown: list[str]
    results: list[ScoredItem]
