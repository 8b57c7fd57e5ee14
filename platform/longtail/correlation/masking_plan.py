"""Which features are masked together: the rule of correlated feature masking."""

from collections.abc import Sequence

import numpy as np

from longtail.errors import InputError


def masking_plan(
    features: Sequence[str], correlations: np.ndarray, never_mask: Sequence[str] = ()
) -> dict[str, list[str]]:
    """For each seed feature, the features that one view masks and the other one keeps.

    Yao et al. 2021, "Self-supervised Learning for Large-scale Item Recommendations", section
    "Correlated Feature Masking (CFM)": a seed feature is drawn, and it is masked together with the
    floor(k/2) features that have the highest mutual information with it, so that a view cannot be
    guessed from what it is most correlated with. The second view masks the rest. The item id is a
    feature like any other: it counts in k.

    Args:
        features: the k item features, the id included, in the schema's order.
        correlations: symmetric, [k, k], the measure between any two of them.
        never_mask: features that both views keep. The rule is then applied to the others alone,
            with k their number.

    Returns:
        {seed: [masked features]}, one entry a maskable feature; the seed comes first, then the
        others, the most correlated first; ties go by feature order. No mask holds all maskable
        features, so with k = 2 it is the seed alone. Empty where fewer than two features can be
        masked: there is then no way to have two views.

    Raises:
        InputError: `never_mask` names something that is no item feature.
    """
    unknown = [name for name in never_mask if name not in features]
    if unknown:
        raise InputError(
            f"`correlation.never_mask` names {', '.join(map(repr, unknown))}, which is no item "
            f"feature: choose from {', '.join(features)}"
        )
    maskable = [index for index, name in enumerate(features) if name not in never_mask]
    if len(maskable) < 2:
        return {}
    num_with_seed = mask_size(len(maskable)) - 1
    plan = {}
    for seed in maskable:
        others = [index for index in maskable if index != seed]
        # `sorted` is stable: among equals the earlier feature comes first.
        ranked = sorted(others, key=lambda other: -float(correlations[seed, other]))
        plan[features[seed]] = [features[index] for index in (seed, *ranked[:num_with_seed])]
    return plan


def mask_size(num_maskable: int) -> int:
    """How many features a mask holds: the seed and floor(k/2) more, and never all k of them."""
    return min(num_maskable // 2 + 1, num_maskable - 1)
