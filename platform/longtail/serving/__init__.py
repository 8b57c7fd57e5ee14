"""What downstream code imports: lookup, neighbours, encoding, recommendation (SERVING.md).

Each name loads what it needs, when it is first used: encoding needs neither Feast nor torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longtail.embeddings.embedding_matrix import embedding_matrix
    from longtail.serving.client import EmbeddingClient
    from longtail.serving.encoders import ItemEncoder, QueryEncoder
    from longtail.serving.neighbours import Neighbours
    from longtail.serving.recommend import Recommender

__all__ = [
    "EmbeddingClient",
    "ItemEncoder",
    "Neighbours",
    "QueryEncoder",
    "Recommender",
    "embedding_matrix",
]

_MODULES = {
    "EmbeddingClient": "longtail.serving.client",
    "ItemEncoder": "longtail.serving.encoders",
    "Neighbours": "longtail.serving.neighbours",
    "QueryEncoder": "longtail.serving.encoders",
    "Recommender": "longtail.serving.recommend",
    "embedding_matrix": "longtail.embeddings.embedding_matrix",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
