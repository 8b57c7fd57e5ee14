"""The three tables that Feast reads. Other systems write them."""

from dagster import AssetSpec

interactions = AssetSpec(
    "interactions",
    description="The pairs of a query and the item that it chose, and when. Positives only.",
    group_name="sources",
    kinds={"feast", "table"},
)
items = AssetSpec(
    "items",
    description="Features of the items. A row holds from its `event_timestamp` on.",
    group_name="sources",
    kinds={"feast", "table"},
)
queries = AssetSpec(
    "queries",
    description="Features of the queries, such as users, pages or packages. A row holds from its "
    "`event_timestamp` on.",
    group_name="sources",
    kinds={"feast", "table"},
)
