"""The items: one row per package and release, valid from the date of the release on."""

from datetime import timedelta
from pathlib import Path

from entities import item
from feast import FeatureView, Field, FileSource
from feast.types import Bool, String
from package_features import package_features

items_source = FileSource(
    name="items_source",
    # Absolute, because the DuckDB offline store takes a path relative to the working directory.
    path=str(Path(__file__).resolve().parent / "data" / "items.parquet"),
    timestamp_field="event_timestamp",
)

items = FeatureView(
    name="items",
    entities=[item],
    ttl=timedelta(0),  # a row holds until the next one
    schema=[
        Field(name="item_id", dtype=String),
        *package_features,
        # The tombstone: a last row with `false` removes the item from the catalogue.
        Field(name="active", dtype=Bool, description="whether the release has the package"),
    ],
    source=items_source,
    online=False,  # an item is served as its embedding, so its features are not needed online
)
