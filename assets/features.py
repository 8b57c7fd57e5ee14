"""The inputs of a model: the day's catalogue, the vocabularies, the feature correlations."""

from collections.abc import Iterator

from dagster import (
    AssetExecutionContext,
    AssetObservation,
    DataVersion,
    MaterializeResult,
    asset,
)

from assets.associations import association_table
from assets.metadata import figures, image, table, turnover_table
from assets.partitions import DAILY
from assets.resources import Project
from assets.stage import stage
from assets.table_checks import require_checked

# The tag of a run that a schedule started.
SCHEDULE_NAME = "dagster/schedule_name"


@asset(
    deps=["interactions", "items", "queries"],
    partitions_def=DAILY,
    group_name="features",
    kinds={"feast", "duckdb", "parquet"},
    # Without it, Dagster skips all that is downstream, and the run succeeds.
    output_required=False,
)
def catalogue(
    context: AssetExecutionContext, project: Project
) -> Iterator[MaterializeResult[None] | AssetObservation]:
    """Read all active items as of the day, the latest queries, both histories, the interactions.

    The three tables are checked before. Their checks are on their own pages. If the schedule
    started the run, and the day has nothing new, the run ends here.
    """
    from longtail.artifacts import RunPaths
    from longtail.embeddings.refresh.news import nothing_new
    from longtail.features.feast.catalogue import build_catalogue

    with stage(context) as as_of:
        config = project.load()
        require_checked(context, config, as_of)
        summary = build_catalogue(config, as_of)
        word = nothing_new(config, as_of) if SCHEDULE_NAME in context.run.tags else None
        if word is not None:
            context.log.warning(word)
            yield AssetObservation(
                "catalogue",
                partition=context.partition_key,
                description=word,
                metadata={**figures(summary), "skipped": word},
            )
            return
        folder = RunPaths(config, as_of).catalogue
        yield MaterializeResult(
            metadata={**figures(summary), "folder": str(folder)},
            data_version=DataVersion(summary["fingerprint"]),
        )


@asset(deps=[catalogue], partitions_def=DAILY, group_name="features", kinds={"parquet"})
def vocabularies(context: AssetExecutionContext, project: Project) -> MaterializeResult[None]:
    """List the values of every embedding table, and their changes since an earlier day."""
    from longtail.artifacts import RunPaths
    from longtail.features.vocabulary import build_vocabularies

    with stage(context) as as_of:
        config = project.load()
        stamp = build_vocabularies(config, as_of)
        changes = stamp["turnover"].values()
        previous = stamp["previous"]
        return MaterializeResult(
            metadata={
                "num_rows": sum(stamp["num_rows"].values()),
                "num_new": sum(change["new"] for change in changes),
                "num_kept": sum(change["kept"] for change in changes),
                "num_freed": sum(change["freed"] for change in changes),
                "tables": turnover_table(stamp),
                "follows": "none before it" if previous is None else previous["as_of"],
                "folder": str(RunPaths(config, as_of).vocabularies),
            }
        )


@asset(deps=[catalogue], partitions_def=DAILY, group_name="features", kinds={"duckdb"})
def feature_correlations(
    context: AssetExecutionContext, project: Project
) -> MaterializeResult[None]:
    """Measure how item features correlate, by which values, and plan what is masked together."""
    from longtail.artifacts import RunPaths
    from longtail.correlation.mine import mine_correlations

    with stage(context) as as_of:
        config = project.load()
        document = mine_correlations(config, as_of)
        folder = RunPaths(config, as_of).correlations
        plan = [
            {"seed": seed, "masked": ", ".join(document["plan"][seed])}
            for seed in document["features"]
            if seed in document["plan"]
        ]
        return MaterializeResult(
            metadata={
                "measure": str(document["measure"]),
                "heat_map": image(folder / "heat_map.png", "correlation of item features"),
                "associations": association_table(document),
                "num_items": document["num_items"],
                "sample_fraction": document["sample_fraction"],
                "folder": str(folder),
                # Dagster's tables need a row, and a plan of fewer than two features has none.
                **({"masking_plan": table(plan)} if plan else {}),
            }
        )
