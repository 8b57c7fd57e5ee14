"""The items: one row a package and release, valid from the release's date on."""

from datetime import timedelta
from pathlib import Path

from entities import item
from feast import FeatureView, Field, FileSource
from feast.types import Bool, String
from package_features import package_features

items_source = FileSource(
    name="items_source",
    # Absolute: the DuckDB offline store would look in the working directory.
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
        # The tombstone: a last row with `false` takes the item out of the catalogue.
        Field(name="active", dtype=Bool, description="whether the release has the package"),
    ],
    source=items_source,
    online=False,  # what is served of an item is its embedding
)
