"""The jobs: `refresh` makes a day, `rollback` serves an earlier version, `freshness` asks."""

from dagster import (
    AssetCheckKey,
    AssetKey,
    AssetObservation,
    AssetSelection,
    Config,
    OpExecutionContext,
    define_asset_job,
    job,
    op,
)
from pydantic import Field

from assets.metadata import figures
from assets.resources import Project
from assets.served import served_now
from assets.stage import failures, forwarded_log

TABLES = ("interactions", "items", "queries")

refresh = define_asset_job(
    "refresh",
    # Other systems write the tables; our part of the flow is to check them.
    selection=(AssetSelection.all() - AssetSelection.assets(*TABLES))
    | AssetSelection.checks_for_assets(*TABLES),
    description="The whole flow for one day: from the raw tables to served embeddings.",
    # A run that lost its process is started again whole: stages that are done cost nothing.
    tags={"dagster/retry_strategy": "ALL_STEPS"},
)


freshness = define_asset_job(
    "freshness",
    selection=AssetSelection.checks(
        AssetCheckKey(AssetKey("online_item_embeddings"), "served_data_are_fresh")
    ),
    description="Ask how old the data of the served version are.",
)


class RollbackConfig(Config):
    """The version to serve again."""

    version: str | None = Field(
        default=None, description="Version to serve; default: the one served before the current one"
    )
    note: str = Field(default="", description="The reason, for the record")


@op
def serve_earlier_version(
    context: OpExecutionContext, config: RollbackConfig, project: Project
) -> None:
    """Publish an earlier version, whole and verified, in place of the served one.

    The replaced version is withdrawn: no refresh publishes it before `longtail approve`.
    """
    from longtail.embeddings.publish import rollback as roll_back

    with forwarded_log(context), failures():
        document = roll_back(project.load(), config.version, note=config.note)
        context.log_event(AssetObservation("online_item_embeddings", metadata=figures(document)))
        context.log_event(served_now(document))


@job(description="Serve an earlier version again, at once.")
def rollback() -> None:
    serve_earlier_version()
