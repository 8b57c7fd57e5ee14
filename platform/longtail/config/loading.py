"""Reads a configuration file: YAML to `Config`, or one error that names every wrong key."""

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from longtail.config.project import Config
from longtail.errors import InputError


def default_config_path() -> Path:
    """Return the path of the demo's configuration in this checkout."""
    return Path(__file__).resolve().parents[3] / "ops" / "profiles" / "demo.yaml"


def config_file(path: str | os.PathLike[str] | None = None) -> Path:
    """Return the configuration file to use: `path`, else `LONGTAIL_CONFIG`, else the demo's."""
    return Path(path or os.environ.get("LONGTAIL_CONFIG") or default_config_path()).absolute()


def load_config(path: str | os.PathLike[str] | None = None) -> Config:
    """Read a configuration file and make its paths absolute.

    Args:
        path: the YAML file; by default the one that `config_file` finds.

    Raises:
        InputError: the file is missing or is not a YAML mapping, or a key is unknown or has a
            wrong value. All wrong keys are named at once.
    """
    file = config_file(path)
    if not file.is_file():
        raise InputError(
            f"configuration {file} does not exist: give --config, or set LONGTAIL_CONFIG"
        )
    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"configuration {file} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"configuration {file} must be a mapping of sections")
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        problems = _explain(error)
        raise InputError(
            f"configuration {file}: {'; '.join(problems)}", problems=problems
        ) from error
    # Paths in the file are relative to the file, LONGTAIL_HOME is relative to the shell's folder.
    home = os.environ.get("LONGTAIL_HOME") or config.home
    return config.model_copy(
        update={
            "feature_repo": (file.parent / config.feature_repo).resolve(),
            "feature_store": config.feature_store
            and (file.parent / config.feature_store).resolve(),
            "home": (
                Path(home).absolute() if os.environ.get("LONGTAIL_HOME") else file.parent / home
            ).resolve(),
        }
    )


def _explain(error: ValidationError) -> list[str]:
    problems = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            problems.append(f"`{key}` does not exist: remove it, or correct its spelling")
        elif key:
            problems.append(f"`{key}`: {problem['msg']}")
        else:
            # A rule across sections belongs to no single key; its message names the keys.
            problems.append(problem["msg"])
    return problems
