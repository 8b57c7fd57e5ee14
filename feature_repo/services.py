"""The inputs of the model. Its schema is derived from these two services and nothing else."""

from feast import FeatureService
from items import items
from queries import queries

query_features = FeatureService(name="query_features", features=[queries])

item_features = FeatureService(
    name="item_features",
    features=[items[[field.name for field in items.features if field.name != "active"]]],
)
