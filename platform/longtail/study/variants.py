"""Variants: changes to the configuration that have a name, for a study to compare."""

from collections.abc import Callable, Iterable
from typing import Any, get_args

from longtail.augmentation.registry import AUGMENTATIONS
from longtail.config import Config
from longtail.config.changes import with_settings
from longtail.correlation.measures import Measure
from longtail.errors import InputError

Variant = Callable[[Config], Config]
BASELINE = "baseline"


def _fixed(**settings: Any) -> Variant:
    """Return the variant with some settings; `loss__logq` stands for the key `loss.logq`."""
    dotted = {key.replace("__", "."): value for key, value in settings.items()}
    return lambda config: with_settings(config, dotted)


_LOGQ_ALONE = {
    "loss__logq": "exact",
    "loss__logq_strength": 1.0,
    "loss__correct_positive": True,
    "loss__logq_positive": "sampled",
    "loss__mixed_negatives": False,
    "self_supervision__augmentation": "none",
}
VARIANTS: dict[str, Variant] = {
    # No self-supervised loss; everything else is equal.
    BASELINE: _fixed(self_supervision__augmentation="none"),
    **{
        name: _fixed(self_supervision__augmentation=name)
        for name in AUGMENTATIONS
        if name != "none"
    },
    "correlated_masking_no_dropout": _fixed(
        self_supervision__augmentation="correlated_masking", self_supervision__value_dropout=0.0
    ),
    # Masks by the correlations of one measure.
    **{
        f"correlated_masking_{measure}": _fixed(
            self_supervision__augmentation="correlated_masking", correlation__measure=measure
        )
        for measure in get_args(Measure)
    },
    # Masks with features drawn at random, in proportion to their correlation with the seed feature.
    "correlated_masking_drawn": _fixed(
        self_supervision__augmentation="correlated_masking", self_supervision__mask_sharpness=1.0
    ),
    # The exact logQ correction at full strength, and nothing else.
    "logq_only": _fixed(**_LOGQ_ALONE, model__start_alike=False),
    # The same, with the towers initialised as the configuration says.
    "logq_only_own_start": _fixed(**_LOGQ_ALONE),
    # The configuration as it is.
    "default": _fixed(),
}


def check_variants(names: Iterable[str]) -> None:
    """Refuse names that no variant has.

    Raises:
        InputError: a name is unknown; the message lists the known ones.
    """
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        raise InputError(
            f"no such variant: {', '.join(unknown)}; there are {', '.join(sorted(VARIANTS))}"
        )
