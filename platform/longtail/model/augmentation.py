"""Augmentations: which item features each of the two views hides."""

from collections.abc import Mapping, Sequence


def masks_by_seed(
    feature_names: Sequence[str], plan: Mapping[str, Sequence[str]]
) -> list[list[bool]]:
    """The masking plan as flags.

    Args:
        feature_names: the F item features, in the order of the schema.
        plan: for each seed feature the features that its mask holds, itself included.

    Returns:
        `[F][F]`: flag j of entry i tells whether the mask of seed i hides feature j in the first
        view. The second view hides exactly the others.
    """
    return [[name in set(plan[seed]) for name in feature_names] for seed in feature_names]
