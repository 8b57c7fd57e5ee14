"""The evaluation of the model, and the gate that approves it for publication."""

from collections.abc import Mapping, Sequence
from typing import Any

from dagster import AssetExecutionContext, MaterializeResult, MetadataValue, asset

from assets.metadata import charted, health_figures, image, slice_table, table
from assets.partitions import DAILY
from assets.resources import Project
from assets.stage import stage
from assets.training import two_tower_model


@asset(deps=[two_tower_model], partitions_def=DAILY, group_name="evaluation", kinds={"torch"})
def retrieval_evaluation(
    context: AssetExecutionContext, project: Project
) -> MaterializeResult[None]:
    """Measure exact recall and MAP by slice, simple rankings beside them, and embedding health."""
    from longtail.artifacts import RunPaths, VersionPaths, read_json
    from longtail.evaluation.baselines import comparison
    from longtail.evaluation.evaluate import RECALL_PLOT, evaluate_version

    with stage(context) as as_of:
        config = project.load()
        version = read_json(RunPaths(config, as_of).model)["version"]
        document = evaluate_version(config, version, baselines=True)
        remarks = comparison.baselines_ahead(document) + comparison.remarks(document["baselines"])
        plot = VersionPaths(config, version).folder / RECALL_PLOT
        return MaterializeResult(
            metadata={
                "version": version,
                "metrics": slice_table(document["metrics"]),
                **_session(document),
                "recall": image(plot, "recall by slice"),
                "baselines": table(comparison.comparison_rows(document)),
                "baseline_remarks": MetadataValue.md(_listed(remarks)),
                **charted(document["metrics"]),
                **health_figures(document["health"]),
            }
        )


@asset(deps=[retrieval_evaluation], partitions_def=DAILY, group_name="evaluation", kinds={"json"})
def approved_model(context: AssetExecutionContext, project: Project) -> MaterializeResult[None]:
    """Ask the gate: write a pointer to the version that may be published, or stop the run.

    The gate is an asset and not a check, because a failed check leaves the checked asset
    materialized and does not stop another run.
    """
    from longtail.evaluation.gate import approve

    with stage(context) as as_of:
        approval = approve(project.load(), as_of)
        return MaterializeResult(
            metadata={
                "version": approval["version"],
                "reasons": MetadataValue.md(_listed(approval["reasons"])),
                "warnings": MetadataValue.md(_listed(approval.get("warnings", []))),
            }
        )


def _session(document: Mapping[str, Any]) -> dict[str, MetadataValue[Any]]:
    """Return the table of what a session without an id finds, of a version with histories."""
    if "session" not in document:
        return {}
    return {"history_alone": slice_table(document["session"]["metrics"])}


def _listed(sentences: Sequence[str]) -> str:
    """Return sentences as a list in Markdown."""
    return "\n".join(f"- {sentence}" for sentence in sentences) or "none"
