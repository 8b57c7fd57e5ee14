"""The masking plan: the features that correlated feature masking masks together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from longtail.errors import InputError


@dataclass(frozen=True)
class MaskingPlan:
    """The masks of correlated masking by seed, and the correlations that others are drawn by.

    Attributes:
        masks: for each seed the features of its mask. Every feature that may be masked is a seed.
        correlations: for each seed its correlation with every feature that may be masked.
        always_together: groups of features that are masked together or kept together.
    """

    masks: Mapping[str, Sequence[str]]
    correlations: Mapping[str, Mapping[str, float]]
    always_together: Sequence[Sequence[str]] = ()

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read the plan from the document of `correlations.json`."""
        masks, names = document["plan"], document["features"]
        rows = dict(zip(names, document["matrix"], strict=True))
        correlations = {
            seed: {n: v for n, v in zip(names, rows[seed], strict=True) if n in masks}
            for seed in masks
        }
        return cls(masks, correlations, document["always_together"])

    def mask_by(self, seed: str, ranked: Sequence[str]) -> list[str]:
        """Return the mask of a seed: the seed, its group, then others in an order, groups whole.

        Args:
            seed: the seed feature.
            ranked: all features that may be masked, the first to take in front. `masking_plan`,
                which explains the rule, ranks them by their correlation with the seed.
        """
        group_of = {name: frozenset(group) for group in self.always_together for name in group}
        masked: list[str] = []
        for name in (seed, *ranked):
            if len(masked) >= mask_size(len(ranked)):
                break
            group = group_of.get(name, {name})
            together = [name, *(other for other in ranked if other in group and other != name)]
            # A mask of all features would leave the first view empty.
            if name not in masked and len(masked) + len(together) < len(ranked):
                masked.extend(together)
        return masked


def masking_plan(
    features: Sequence[str],
    correlations: np.ndarray,
    never_mask: Sequence[str] = (),
    always_together: Sequence[Sequence[str]] = (),
) -> MaskingPlan:
    """Return for each seed feature the features that one view masks and the other one keeps.

    Yao et al. 2021, "Self-supervised Learning for Large-scale Item Recommendations", section
    "Correlated Feature Masking (CFM)": a seed feature is drawn. It is masked together with the
    floor(k/2) features that have the highest mutual information with it, so that the features of a
    view do not give away those it hides. The second view masks the rest. The item id is a feature
    like any other: it counts in k.

    Groups: the features of a group are masked together or kept together. A seed brings its whole
    group. The others follow in the order of their correlation with the seed, until the mask holds
    `mask_size` features. A group takes the place of its most correlated feature, and comes whole:
    the last one may make the mask larger, by the group's size less one. A mask is smaller in one
    case only: a feature or group is passed over if the mask would then hold all features that may
    be masked, since the first view would be empty.

    Args:
        features: the k item features, the id included, in the schema's order.
        correlations: symmetric, `[k, k]`, the measure between any two features.
        never_mask: features that both views keep. The rule then applies to the others, and k is
            their number.
        always_together: groups of two features or more.

    Returns:
        One mask for each maskable feature: the seed, then its group, then the others, the most
        correlated first; ties go by feature order. No mask holds all maskable features, so with
        k = 2 it is the seed alone. The plan is empty where fewer than two features can be masked:
        there are no two views then.

    Raises:
        InputError: see `check_overrides`.
    """
    check_overrides(features, never_mask, always_together)
    maskable = [name for name in features if name not in never_mask]
    if len(maskable) < 2:
        return MaskingPlan({}, {})
    at = [features.index(name) for name in maskable]
    between = {
        seed: dict(zip(maskable, correlations[position, at].tolist(), strict=True))
        for seed, position in zip(maskable, at, strict=True)
    }
    masks: dict[str, list[str]] = {}
    plan = MaskingPlan(masks, between, always_together)
    for seed, row in between.items():
        # `sorted` is stable: among equals the earlier feature comes first.
        masks[seed] = plan.mask_by(seed, sorted(maskable, key=lambda name: -row[name]))
    return plan


def mask_size(num_maskable: int) -> int:
    """Return the number of features of a mask: the seed and floor(k/2) more, but never all k."""
    return min(num_maskable // 2 + 1, num_maskable - 1)


def check_overrides(
    features: Sequence[str], never_mask: Sequence[str], always_together: Sequence[Sequence[str]]
) -> None:
    """Refuse settings of `correlation` that no mask can follow.

    Args:
        features: the item features.
        never_mask: features that both views keep.
        always_together: groups of features that are masked together or kept together.

    Raises:
        InputError: a name is no item feature; a group has fewer than two features, or one feature
            twice; two groups share a feature; a feature of a group is never masked; or a group
            holds all features that may be masked, so that there are no two views.
    """
    grouped = [name for group in always_together for name in group]
    # Names first: the other messages would mislead where a name is misspelt.
    for key, names in (("never_mask", never_mask), ("always_together", grouped)):
        unknown = [name for name in dict.fromkeys(names) if name not in features]
        if unknown:
            raise InputError(
                f"`correlation.{key}` names {_listed(unknown)}, which is no item feature: choose "
                f"from {', '.join(features)}"
            )
    maskable = set(features) - set(never_mask)
    for position, group in enumerate(always_together):
        where = f"`correlation.always_together[{position}]`"
        if len(group) < 2:
            raise InputError(f"{where} has {len(group)} feature(s): a group has two or more")
        repeated = [name for name in dict.fromkeys(group) if grouped.count(name) > 1]
        if repeated:
            raise InputError(
                f"{where} has {_listed(repeated)}, which `correlation.always_together` names more "
                "than once: join the groups that share a feature, and name each feature once"
            )
        kept = [name for name in group if name in never_mask]
        if kept:
            raise InputError(
                f"{where} has {_listed(kept)}, which `correlation.never_mask` names too: take it "
                "out of one of them"
            )
        if len(group) == len(maskable):
            raise InputError(
                f"{where} has all {len(group)} features that may be masked, so that no second view "
                "is left: take at least one out"
            )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
