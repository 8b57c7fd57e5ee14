"""Reads a configuration file: YAML to `Config`, or one error that names every wrong key."""

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from longtail.config.local_paths import local_path
from longtail.config.project import Config
from longtail.errors import InputError


def default_config_path() -> Path:
    """Return the path of the demo's configuration in this checkout."""
    return Path(__file__).resolve().parents[3] / "ops" / "profiles" / "demo.yaml"


def config_file(path: str | os.PathLike[str] | None = None) -> Path:
    """Return the configuration file to use: `path`, else `LONGTAIL_CONFIG`, else the demo's.

    Raises:
        InputError: it is a URI, or begins with the name of a user that does not exist.
    """
    if path:
        return local_path(path, "the configuration file (--config)").absolute()
    named = os.environ.get("LONGTAIL_CONFIG")
    return (local_path(named, "LONGTAIL_CONFIG") if named else default_config_path()).absolute()


def load_config(path: str | os.PathLike[str] | None = None) -> Config:
    """Read a configuration file and make its paths absolute.

    Args:
        path: the YAML file; by default the one that `config_file` finds.

    Raises:
        InputError: the file is missing or is not a YAML mapping, or a key is unknown or has a
            wrong value, or LONGTAIL_HOME is a URI. All wrong keys are named at once.
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
    home = os.environ.get("LONGTAIL_HOME")
    return config.model_copy(
        update={
            "feature_repo": (file.parent / config.feature_repo).resolve(),
            "feature_store": config.feature_store
            and (file.parent / config.feature_store).resolve(),
            "home": (
                local_path(home, "LONGTAIL_HOME") if home else file.parent / config.home
            ).resolve(),
        }
    )


def _explain(error: ValidationError) -> list[str]:
    problems = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            problems.append(f"`{key}` does not exist: remove it, or correct its spelling")
        elif key and not message.startswith(f"`{key}` "):
            problems.append(f"`{key}`: {message}")
        else:
            # The message names the keys: a rule across sections belongs to no single one.
            problems.append(message)
    return problems
