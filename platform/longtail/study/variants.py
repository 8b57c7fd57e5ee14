"""What is compared: a variant is a change to the configuration, with a name."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from pydantic import ValidationError

from longtail.augmentation.registry import AUGMENTATIONS
from longtail.config import Config
from longtail.correlation.measures import Measure
from longtail.errors import InputError

Variant = Callable[[Config], Config]
BASELINE = "baseline"


def with_settings(config: Config, settings: Mapping[str, Any]) -> Config:
    """A copy of a configuration with other values, checked like a file.

    Args:
        config: where to start.
        settings: by dotted key, `{"self_supervision.weight": 0.3}`.

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
        raise InputError(f"{dict(settings)} is no configuration: {reasons}") from error


def setting(config: Config, key: str) -> Any:
    """The value of a dotted key."""
    section, name = key.split(".")
    return getattr(getattr(config, section), name)


def _fixed(**settings: Any) -> Variant:
    dotted = {key.replace("__", "."): value for key, value in settings.items()}
    return lambda config: with_settings(config, dotted)


_LOGQ_ALONE = {
    "loss__logq": "exact",
    "loss__logq_strength": 1.0,
    "loss__correct_positive": True,
    "loss__mixed_negatives": False,
    "self_supervision__augmentation": "none",
}
VARIANTS: dict[str, Variant] = {
    # L_self off, all else equal.
    BASELINE: _fixed(self_supervision__augmentation="none"),
    **{
        name: _fixed(self_supervision__augmentation=name)
        for name in AUGMENTATIONS
        if name != "none"
    },
    "correlated_masking_no_dropout": _fixed(
        self_supervision__augmentation="correlated_masking", self_supervision__value_dropout=0.0
    ),
    # Which features correlate, said by one measure or another.
    **{
        f"correlated_masking_{measure}": _fixed(
            self_supervision__augmentation="correlated_masking", correlation__measure=measure
        )
        for measure in get_args(Measure)
    },
    # The features of a mask drawn, in proportion to their correlation with its seed.
    "correlated_masking_drawn": _fixed(
        self_supervision__augmentation="correlated_masking", self_supervision__mask_sharpness=1.0
    ),
    # The common correction alone: exact, whole, and nothing else.
    "logq_only": _fixed(**_LOGQ_ALONE, model__start_alike=False),
    # The same, with the configuration's own start of the towers.
    "logq_only_own_start": _fixed(**_LOGQ_ALONE),
    # The configuration as it is.
    "default": _fixed(),
}


def check_variants(names: Iterable[str]) -> None:
    """Refuse names that no variant has.

    Raises:
        InputError: with the list of those that there are.
    """
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        raise InputError(
            f"no such variant: {', '.join(unknown)}; there are {', '.join(sorted(VARIANTS))}"
        )
