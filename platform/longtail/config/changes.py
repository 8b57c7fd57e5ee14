"""Copies of a configuration with other values, by dotted key: studies and tuning try them."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from longtail.config.project import Config
from longtail.errors import InputError


def with_settings(config: Config, settings: Mapping[str, Any]) -> Config:
    """Return a copy of a configuration with other values, checked like a file.

    Args:
        config: the configuration to copy.
        settings: new values by dotted key, `{"self_supervision.weight": 0.3}`.

    Raises:
        InputError: a key does not exist, or a value is wrong.
    """
    content = config.model_dump()
    for key, value in settings.items():
        section, name = key.split(".")
        content[section][name] = value
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        reasons = "; ".join(problem["msg"] for problem in error.errors())
        raise InputError(f"{dict(settings)} is not a valid configuration: {reasons}") from error


def setting(config: Config, key: str) -> Any:
    """Return the value of a dotted key."""
    section, name = key.split(".")
    return getattr(getattr(config, section), name)
