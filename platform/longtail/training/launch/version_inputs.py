"""Copies into a version's folder what the version is trained with."""

import shutil

from longtail.artifacts import RunPaths, VersionPaths, read_json, write_json
from longtail.config import Config


def copy_inputs(config: Config, run: RunPaths, paths: VersionPaths) -> None:
    """Write the configuration, the schema, the masking plan and the vocabularies of a version.

    Args:
        config: the configuration. The paths of this machine are left out: the folder may be read on
            another one.
        run: the day's stages.
        paths: the version's.
    """
    paths.folder.mkdir(parents=True, exist_ok=True)
    settings = config.model_dump(mode="json", exclude={"home", "feature_repo", "feature_store"})
    write_json(paths.config, settings)
    write_json(paths.schema, read_json(run.training_set / "schema.json"))
    write_json(paths.masking_plan, read_json(run.correlations / "correlations.json"))
    shutil.copytree(run.vocabularies, paths.vocabularies, dirs_exist_ok=True)
