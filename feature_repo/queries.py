"""The queries: one row per package and release, valid from the date of the release on."""

from datetime import timedelta
from pathlib import Path

from entities import query
from feast import FeatureView, Field, FileSource
from feast.types import String
from package_features import package_features

queries_source = FileSource(
    name="queries_source",
    path=str(Path(__file__).resolve().parent / "data" / "queries.parquet"),
    timestamp_field="event_timestamp",
)

queries = FeatureView(
    name="queries",
    entities=[query],
    ttl=timedelta(0),
    schema=[Field(name="query_id", dtype=String), *package_features],
    source=queries_source,
    online=True,  # a query is encoded from its features when it asks
)
