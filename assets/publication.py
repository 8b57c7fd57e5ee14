"""The way from an approved model to online embeddings.

Only writes to the online store are retried: they are I/O, and may succeed a moment later.
"""

from dagster import (
    AssetExecutionContext,
    Backoff,
    MaterializeResult,
    RetryPolicy,
    asset,
)

from assets.evaluation import approved_model
from assets.features import catalogue
from assets.metadata import figures, table
from assets.partitions import DAILY
from assets.resources import Project
from assets.stage import stage

RETRY = RetryPolicy(max_retries=2, delay=5, backoff=Backoff.EXPONENTIAL)


@asset(deps=[approved_model], partitions_def=DAILY, group_name="publication", kinds={"parquet"})
def item_embeddings(context: AssetExecutionContext, project: Project) -> MaterializeResult[None]:
    """Write the embedding of every catalogue item to one Parquet file of the version."""
    from longtail.embeddings.export import export_catalogue

    with stage(context) as as_of:
        return MaterializeResult(metadata=figures(export_catalogue(project.load(), as_of)))


@asset(deps=[item_embeddings], partitions_def=DAILY, group_name="publication", kinds={"faiss"})
def item_index(context: AssetExecutionContext, project: Project) -> MaterializeResult[None]:
    """Build the nearest-neighbour index, and commit the version, which is whole with it."""
    from longtail.embeddings.index import build_index

    with stage(context) as as_of:
        summary = build_index(project.load(), as_of)
        rows = [
            {
                "item": sample["item"],
                "neighbours": ", ".join(found["item"] for found in sample["neighbours"]),
            }
            for sample in summary["samples"]
        ]
        return MaterializeResult(metadata={**figures(summary), "sample_neighbours": table(rows)})


@asset(
    deps=[catalogue],
    partitions_def=DAILY,
    group_name="publication",
    kinds={"feast"},
    retry_policy=RETRY,
)
def online_query_features(
    context: AssetExecutionContext, project: Project
) -> MaterializeResult[None]:
    """Write the latest features of every query to the online store, for query encoding."""
    from longtail.embeddings.publish import publish_query_features

    with stage(context) as as_of:
        return MaterializeResult(metadata=figures(publish_query_features(project.load(), as_of)))


@asset(
    # A version with histories is served only when the histories are online.
    deps=[item_index, online_query_features],
    partitions_def=DAILY,
    group_name="publication",
    kinds={"feast"},
    retry_policy=RETRY,
)
def online_item_embeddings(
    context: AssetExecutionContext, project: Project
) -> MaterializeResult[None]:
    """Write the version to the next slot of the online store, read it back, then serve it.

    A day older than the served one is not published; the metadata says so.
    """
    from longtail.embeddings.publish import publish

    with stage(context) as as_of:
        return MaterializeResult(metadata=figures(publish(project.load(), as_of)))
