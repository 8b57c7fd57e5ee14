"""The augmentations by name: the values that `self_supervision.augmentation` can have."""

from longtail.augmentation.augmentation_base import Augmentation
from longtail.augmentation.augmentations import (
    CorrelatedMasking,
    DropoutOnly,
    FeatureDropout,
    IndependentMasking,
    NoAugmentation,
    RandomMasking,
    SpreadOut,
)

AUGMENTATIONS: dict[str, type[Augmentation]] = {
    augmentation.name: augmentation
    for augmentation in (
        CorrelatedMasking,
        RandomMasking,
        IndependentMasking,
        DropoutOnly,
        SpreadOut,
        FeatureDropout,
        NoAugmentation,
    )
}
