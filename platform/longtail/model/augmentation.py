"""Augmentations: which item features each of the two views hides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Mask:
    """What two views of an item hide: complementary sets of the features that may be masked.

    Attributes:
        first: F flags, the features that the first view hides.
        second: F flags, the features that the second view hides. A feature that is never masked is
            in neither.
    """

    first: tuple[bool, ...]
    second: tuple[bool, ...]


def correlated_masks(feature_names: Sequence[str], plan: Mapping[str, Sequence[str]]) -> list[Mask]:
    """The masks that correlated feature masking draws from, one a seed feature.

    Args:
        feature_names: the F item features, in the order of the schema.
        plan: for each feature that may be masked, as seed, the features that its mask holds, itself
            included.
    """
    return [
        Mask(
            first=tuple(name in masked for name in feature_names),
            second=tuple(name in plan and name not in masked for name in feature_names),
        )
        for masked in map(set, plan.values())
    ]
