"""The encoded training set, and the model, which a process tree of its own trains on it."""

import sys

from dagster import (
    AssetExecutionContext,
    DataVersion,
    MaterializeResult,
    PipesSubprocessClient,
    RetryRequested,
    asset,
)
from dagster._core.errors import DagsterPipesExecutionError

from assets.features import catalogue, feature_correlations, vocabularies
from assets.metadata import figures, image
from assets.partitions import DAILY
from assets.resources import Project
from assets.stage import stage

# The same as `longtail.training.interruption.TrainingInterruptedError.exit_code`, which is not
# imported here because its module imports torch.
TOLD_TO_STOP = 75
MAX_PREEMPTIONS = 10


@asset(deps=[catalogue, vocabularies], partitions_def=DAILY, group_name="training", kinds={"arrow"})
def training_set(context: AssetExecutionContext, project: Project) -> MaterializeResult[None]:
    """The encoded feature rows, each distinct one once, and the examples that point at them."""
    from longtail.artifacts import RunPaths
    from longtail.dataset.build_training_set import build_training_set

    with stage(context) as as_of:
        config = project.load()
        summary = build_training_set(config, as_of)
        folder = RunPaths(config, as_of).training_set
        return MaterializeResult(
            metadata={
                **figures(summary),
                # One entry a table, so that Dagster draws each table's share over time.
                **{f"untrained_{name}": x for name, x in summary["untrained_shares"].items()},
                "folder": str(folder),
            },
            data_version=DataVersion(summary["fingerprint"]),
        )


@asset(
    deps=[training_set, feature_correlations],
    partitions_def=DAILY,
    group_name="training",
    kinds={"torch"},
)
def two_tower_model(
    context: AssetExecutionContext, project: Project, pipes: PipesSubprocessClient
) -> MaterializeResult[None]:
    """The two towers, trained by torchrun.

    The launcher reports its figures through Dagster Pipes. A failure is not retried here, because
    torchrun restarts a rank that dies, from its checkpoint. Only a launcher that was told to stop
    is started again, as when its node is taken away.
    """
    from assets.plots import loss_curve
    from longtail.artifacts import RunPaths, VersionPaths, read_json

    with stage(context) as as_of:
        config = project.load()
        # -P keeps a folder named `longtail` in the current directory from shadowing ours.
        command = [sys.executable, "-P", "-m", "longtail.training.launch"]
        command += ["--config", project.config_file, "--as-of", as_of.isoformat()]
        try:
            reported = pipes.run(context=context, command=command).get_materialize_result()
        except DagsterPipesExecutionError as error:
            if f"code {TOLD_TO_STOP}" not in str(error):
                raise
            context.log.warning("training was told to stop; it goes on from its checkpoint")
            raise RetryRequested(max_retries=MAX_PREEMPTIONS) from error
        paths = RunPaths(config, as_of)
        version = read_json(paths.model)["version"]
        plot = loss_curve(
            VersionPaths(config, version).training_log, paths.folder / "loss_curve.png"
        )
        return MaterializeResult(
            metadata={**(reported.metadata or {}), "loss_curve": image(plot, "loss by step")},
            data_version=reported.data_version,
        )
