"""The name of a version: its day, and a hash of everything that decides what it learns.

Light to import: no torch.
"""

from datetime import date

from longtail.artifacts import RunPaths
from longtail.config import Config
from longtail.fingerprints import fingerprint, is_module, required_stamp, source_hash

# Settings of how a run is carried out, not of what it learns from. A run with another number of
# ranks makes the same version.
_SPEED_SETTINGS = {
    "num_ranks",
    "threads_per_rank",
    "checkpoint_every_steps",
    "keep_checkpoints",
    "max_restarts",
    "log_every_steps",
}


def version_name(config: Config, as_of: date) -> str:
    """Return the name of the version that a day's inputs and a configuration make.

    Raises:
        LongtailError: the day's training set or its correlations are not finished.
    """
    run = RunPaths(config, as_of)
    measure = config.checkpoints.measure(config.training)
    identity = fingerprint(
        required_stamp(run.training_set, made_by="dataset")["fingerprint"],
        required_stamp(run.correlations, made_by="mine")["fingerprint"],
        config.model.model_dump(mode="json"),
        config.history.model_dump(mode="json") if config.history.length else None,
        config.loss.model_dump(mode="json"),
        config.self_supervision.model_dump(mode="json"),
        config.training.model_dump(mode="json", exclude=_SPEED_SETTINGS),
        config.sharding.learned,
        measure,
        # A measure decides by the queries that it asks.
        config.study.max_validation_queries if measure else None,
        config.sample_size,
        source_hash(*modules_that_learn(config)),
    )
    return f"{as_of:%Y%m%d}-{identity[:8]}"


def modules_that_learn(config: Config) -> list[str]:
    """Return the names of the modules that decide, by their code, what a version learns."""
    modules = [
        "longtail.training.worker",
        "longtail.training.launch.version_inputs",
        "longtail.augmentation.registry",
    ]
    measure = config.checkpoints.measure(config.training)
    chosen_by, _, function = (measure or "").partition(":")
    # One that does not exist is refused by `checkpoint_selection.validation_metric`.
    if function and is_module(chosen_by):
        modules.append(chosen_by)
    return modules
