"""The evaluation of the model, and the gate that approves it for publication."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetObservation,
    MaterializeResult,
    MetadataValue,
    asset,
)

from assets.metadata import charted, health_figures, image, slice_table, table
from assets.partitions import DAILY
from assets.resources import Project
from assets.stage import stage
from assets.training import two_tower_model

GATE = "gate"


@asset(deps=[two_tower_model], partitions_def=DAILY, group_name="evaluation", kinds={"torch"})
def retrieval_evaluation(
    context: AssetExecutionContext, project: Project
) -> MaterializeResult[None]:
    """Measure exact recall and MAP by slice, simple rankings beside them, and embedding health."""
    from longtail.artifacts import RunPaths, VersionPaths, read_json
    from longtail.evaluation.baselines import comparison
    from longtail.evaluation.evaluate import CALIBRATION_PLOT, RECALL_PLOT, evaluate_version

    with stage(context) as as_of:
        config = project.load()
        version = read_json(RunPaths(config, as_of).model)["version"]
        document = evaluate_version(config, version, baselines=True)
        remarks = comparison.baselines_ahead(document) + comparison.remarks(document["baselines"])
        folder = VersionPaths(config, version).folder
        # A version without validation pairs, or of an older release, has no curve.
        curve = folder / CALIBRATION_PLOT
        drawn = {"calibration": image(curve, "weight of popularity")} if curve.is_file() else {}
        return MaterializeResult(
            metadata={
                "version": version,
                "metrics": slice_table(document["metrics"]),
                **_session(document),
                "recall": image(folder / RECALL_PLOT, "recall by slice"),
                **drawn,
                "baselines": table(comparison.comparison_rows(document)),
                "baseline_remarks": MetadataValue.md(_listed(remarks)),
                **charted(document["metrics"]),
                **health_figures(document["health"]),
            }
        )


@asset(
    deps=[retrieval_evaluation],
    partitions_def=DAILY,
    group_name="evaluation",
    kinds={"json"},
    check_specs=[
        AssetCheckSpec(GATE, asset="approved_model", description="The rules of the release gate.")
    ],
)
def approved_model(
    context: AssetExecutionContext, project: Project
) -> Iterator[MaterializeResult[None] | AssetCheckResult | AssetObservation]:
    """Ask the gate: write a pointer to the version that may be published, or stop the run.

    The gate is an asset and not a check alone, because a failed check leaves the checked asset
    materialized and does not stop another run. The check `gate` shows its last verdict, and the
    rules that a refused version does not meet.
    """
    from longtail.errors import GateRefusedError
    from longtail.evaluation.gate import approve

    with stage(context) as as_of:
        try:
            approval = approve(project.load(), as_of)
        except GateRefusedError as refusal:
            # The materialization on the page is that of an earlier approval. These come after it.
            rulings = table(refusal.rulings)
            version = refusal.version or "none"
            yield AssetObservation(
                "approved_model",
                partition=context.partition_key,
                description=str(refusal),
                metadata={"version": version, "verdict": "refused", "rules": rulings},
            )
            yield AssetCheckResult(
                passed=False,
                check_name=GATE,
                description=str(refusal),
                metadata={"version": version, "rules": rulings},
            )
            raise
        reasons = MetadataValue.md(_listed(approval["reasons"]))
        yield MaterializeResult(
            metadata={
                "version": approval["version"],
                "verdict": "approved",
                "reasons": reasons,
                "warnings": MetadataValue.md(_listed(approval.get("warnings", []))),
            },
            check_results=[
                AssetCheckResult(
                    passed=True,
                    check_name=GATE,
                    metadata={"version": approval["version"], "reasons": reasons},
                )
            ],
        )


def _session(document: Mapping[str, Any]) -> dict[str, MetadataValue[Any]]:
    """Return the table of what a session without an id finds, of a version with histories."""
    if "session" not in document:
        return {}
    return {"history_alone": slice_table(document["session"]["metrics"])}


def _listed(sentences: Sequence[str]) -> str:
    """Return sentences as a list in Markdown."""
    return "\n".join(f"- {sentence}" for sentence in sentences) or "none"
