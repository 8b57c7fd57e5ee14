"""Read a configuration file: YAML to `Config`, or one error that names every wrong key."""

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from longtail.config.project import Config
from longtail.errors import InputError


def default_config_path() -> Path:
    """The demo's configuration in this checkout."""
    return Path(__file__).resolve().parents[3] / "ops" / "profiles" / "demo.yaml"


def config_file(path: str | os.PathLike[str] | None = None) -> Path:
    """The configuration file to use: the one given, else `LONGTAIL_CONFIG`, else the demo's."""
    return Path(path or os.environ.get("LONGTAIL_CONFIG") or default_config_path()).absolute()


def load_config(path: str | os.PathLike[str] | None = None) -> Config:
    """Read a configuration file and make its paths absolute.

    Args:
        path: the YAML file; the default is that of `config_file`.

    Raises:
        InputError: the file is missing or no YAML mapping, or a key is unknown or has a wrong
            value. All wrong keys are named at once.
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
        where = ".".join(str(part) for part in problem["loc"]) or "the whole"
        if problem["type"] == "extra_forbidden":
            problems.append(f"`{where}` does not exist: remove it, or look for a typing error")
        else:
            problems.append(f"`{where}`: {problem['msg']}")
    return problems
