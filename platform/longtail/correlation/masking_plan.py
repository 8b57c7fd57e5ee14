"""Which features are masked together: the rule of correlated feature masking."""

from collections.abc import Sequence

import numpy as np

from longtail.errors import InputError


def masking_plan(
    features: Sequence[str],
    correlations: np.ndarray,
    never_mask: Sequence[str] = (),
    always_together: Sequence[Sequence[str]] = (),
) -> dict[str, list[str]]:
    """For each seed feature, the features that one view masks and the other one keeps.

    Yao et al. 2021, "Self-supervised Learning for Large-scale Item Recommendations", section
    "Correlated Feature Masking (CFM)": a seed feature is drawn, and it is masked together with the
    floor(k/2) features that have the highest mutual information with it, so that a view cannot be
    guessed from what it is most correlated with. The second view masks the rest. The item id is a
    feature like any other: it counts in k.

    Groups: the features of a group are masked together or kept together. A seed brings the whole of
    its group. The others follow in the order of their correlation with the seed, a group in the
    place of its most correlated feature and whole, until the mask holds `mask_size` features: the
    group that straddles the cut is taken too, so that a mask may be larger than that by the
    group's size less one. It is smaller in one case alone: what would complete the mask to all
    features that may be masked is passed over, since the first view would be left empty.

    Args:
        features: the k item features, the id included, in the schema's order.
        correlations: symmetric, [k, k], the measure between any two of them.
        never_mask: features that both views keep. The rule is then applied to the others alone,
            with k their number.
        always_together: groups of two features or more.

    Returns:
        {seed: [masked features]}, one entry a maskable feature; the seed comes first, then its
        group, then the others, the most correlated first; ties go by feature order. No mask holds
        all maskable features, so with k = 2 it is the seed alone. Empty where fewer than two
        features can be masked: there is then no way to have two views.

    Raises:
        InputError: see `check_overrides`.
    """
    check_overrides(features, never_mask, always_together)
    maskable = [name for name in features if name not in never_mask]
    if len(maskable) < 2:
        return {}
    group_of = {name: frozenset(group) for group in always_together for name in group}
    plan = {}
    for seed in maskable:
        row = dict(zip(features, correlations[features.index(seed)].tolist(), strict=True))
        # `sorted` is stable: among equals the earlier feature comes first.
        ranked = sorted(maskable, key=lambda name: -row[name])
        masked: list[str] = []
        for name in (seed, *ranked):
            if len(masked) >= mask_size(len(maskable)):
                break
            group = group_of.get(name, {name})
            together = [name, *(other for other in ranked if other in group and other != name)]
            if name not in masked and len(masked) + len(together) < len(maskable):
                masked.extend(together)
        plan[seed] = masked
    return plan


def mask_size(num_maskable: int) -> int:
    """How many features a mask holds: the seed and floor(k/2) more, and never all k of them."""
    return min(num_maskable // 2 + 1, num_maskable - 1)


def check_overrides(
    features: Sequence[str], never_mask: Sequence[str], always_together: Sequence[Sequence[str]]
) -> None:
    """Refuse what the configuration asks of the masks where it cannot be done.

    Raises:
        InputError: something is named that is no item feature; a group has fewer than two features,
            or one of them twice; two groups share a feature; a feature of a group is never masked;
            or a group holds all features that may be masked, so that there are no two views.
    """
    grouped = [name for group in always_together for name in group]
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
