"""The three tables that Feast reads. Somebody else writes them."""

from dagster import AssetSpec

interactions = AssetSpec(
    "interactions",
    description="Which query chose which item, and when. Positives only.",
    group_name="sources",
    kinds={"feast", "table"},
)
items = AssetSpec(
    "items",
    description="Features of the items, each row from its `event_timestamp` on.",
    group_name="sources",
    kinds={"feast", "table"},
)
queries = AssetSpec(
    "queries",
    description="Features of what asks: a user, a page, a package.",
    group_name="sources",
    kinds={"feast", "table"},
)
