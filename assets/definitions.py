"""The definitions that Dagster loads: assets, checks, jobs, the schedule and resources."""

from dagster import Definitions, in_process_executor

from assets import (
    checks,
    evaluation,
    features,
    jobs,
    publication,
    resources,
    schedules,
    sources,
    table_checks,
    training,
)

defs = Definitions(
    assets=[
        sources.interactions,
        sources.items,
        sources.queries,
        features.catalogue,
        features.vocabularies,
        features.feature_correlations,
        training.training_set,
        training.two_tower_model,
        evaluation.retrieval_evaluation,
        evaluation.approved_model,
        publication.item_embeddings,
        publication.item_index,
        publication.online_item_embeddings,
        publication.online_query_features,
    ],
    asset_checks=[*table_checks.ALL, *checks.ALL],
    jobs=[jobs.refresh, jobs.rollback, jobs.freshness],
    schedules=[schedules.daily_refresh, schedules.hourly_freshness],
    resources=resources.resources(),
    # The flow is a line, so a process per step would gain nothing, and each would import Feast
    # again (5 seconds). Training still has processes of its own, through Pipes.
    executor=in_process_executor,
)
