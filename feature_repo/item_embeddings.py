"""The embeddings that are served: one for every item, in one of three identical slots.

`longtail publish` writes a new version into a slot that is not being read, and only then points the
FeatureService `item_embeddings` at it. Consumers read that service, never a slot.
The slots have no offline source: only a publication fills them.
"""

import json
import os
from pathlib import Path

from entities import item
from feast import FeatureService, FeatureView, Field
from feast.types import Array, Float32, String


def slot(name: str) -> FeatureView:
    """Define one of the three slots for the embeddings of all items."""
    return FeatureView(
        name=f"item_embeddings_{name}",
        entities=[item],
        schema=[
            Field(name="embedding", dtype=Array(Float32), description="unit length"),
            Field(
                name="model_version",
                dtype=String,
                description="compare vectors of one version only",
            ),
            Field(
                name="bias",
                dtype=Float32,
                description="added to a query's cosine; null in a version without biases",
            ),
        ],
        description="filled by `longtail publish`; read it through the service item_embeddings",
    )


def published_slot() -> str:
    """Return the slot that the pointer file names, so that `feast apply` keeps what is served.

    Before the first publication it is slot a, which is empty.
    """
    home = os.environ.get("LONGTAIL_HOME") or Path(__file__).resolve().parents[1] / ".longtail"
    pointer = Path(home).expanduser() / "published.json"
    return str(json.loads(pointer.read_text("utf-8"))["slot"]) if pointer.is_file() else "a"


item_embeddings_a = slot("a")
item_embeddings_b = slot("b")
item_embeddings_c = slot("c")

item_embeddings = FeatureService(
    name="item_embeddings",
    features=[
        {"a": item_embeddings_a, "b": item_embeddings_b, "c": item_embeddings_c}[
            published_slot()
        ].with_name("item_embeddings")
    ],
    description="the embeddings of the published version, whichever slot holds them",
)
