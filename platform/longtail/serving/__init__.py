"""The library for downstream code: lookup, neighbours, encoding, recommendation (SERVING.md).

Each name loads its modules when it is first used: encoding needs neither Feast nor torch.

What a caller imports:

    client.py           `EmbeddingClient`: the embeddings of item ids, through Feast
    neighbours.py       `Neighbours`: the items nearest to an item or a vector
    recommend.py        `Recommender`: the items that fit a query
    encoders.py         `QueryEncoder`, `ItemEncoder`: vectors for feature values
    results.py          the types of what these return

What they are made of:

    served_version.py   follows the pointer file, and replaces the loaded version as a whole
    catalogue_index.py  the index of one version, and its search with filters
    query_search.py     the search for a query's items: index and memory
    feature_rows.py     encodes the feature values that a caller gives
    vocabulary_rows.py  finds the table rows of a few values
    item_keys.py        refuses what cannot be a list of keys
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longtail.embeddings.embedding_matrix import embedding_matrix
    from longtail.serving.catalogue_index import CatalogueIndex
    from longtail.serving.client import EmbeddingClient
    from longtail.serving.encoders import EncodedVectors, ItemEncoder, QueryEncoder
    from longtail.serving.neighbours import Neighbours
    from longtail.serving.recommend import Recommender
    from longtail.serving.results import (
        LookupResult,
        RankedItems,
        RankedItemsByKey,
        RankedItemsByRow,
        RankedSession,
        ScoredItem,
    )

__all__ = [
    "CatalogueIndex",
    "EmbeddingClient",
    "EncodedVectors",
    "ItemEncoder",
    "LookupResult",
    "Neighbours",
    "QueryEncoder",
    "RankedItems",
    "RankedItemsByKey",
    "RankedItemsByRow",
    "RankedSession",
    "Recommender",
    "ScoredItem",
    "embedding_matrix",
]

_MODULES = {
    "CatalogueIndex": "longtail.serving.catalogue_index",
    "EmbeddingClient": "longtail.serving.client",
    "EncodedVectors": "longtail.serving.encoders",
    "ItemEncoder": "longtail.serving.encoders",
    "LookupResult": "longtail.serving.results",
    "Neighbours": "longtail.serving.neighbours",
    "QueryEncoder": "longtail.serving.encoders",
    "RankedItems": "longtail.serving.results",
    "RankedItemsByKey": "longtail.serving.results",
    "RankedItemsByRow": "longtail.serving.results",
    "RankedSession": "longtail.serving.results",
    "Recommender": "longtail.serving.recommend",
    "ScoredItem": "longtail.serving.results",
    "embedding_matrix": "longtail.embeddings.embedding_matrix",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
