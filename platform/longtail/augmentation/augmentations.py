"""The augmentations of Yao et al. 2021 (arXiv 2007.12865) and their rivals, one class each.

A class here is in use once registry.py names it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from longtail.augmentation.augmentation_base import Augmentation

if TYPE_CHECKING:
    from longtail.augmentation.masking_plan import MaskingPlan
    from longtail.augmentation.masks import Masks


class CorrelatedMasking(Augmentation):
    """Correlated feature masking (CFM): a view does not show what its hidden features go with.

    The first view hides a seed feature and the features most correlated with it (masking_plan.py).
    The second view hides all others. With `mask_sharpness` (ours), the features that the seed
    brings are drawn, in proportion to that power of their correlation with it.
    """

    name = "correlated_masking"
    hides_features = True

    def _masks(self, feature_names: Sequence[str], plan: "MaskingPlan") -> "Masks":
        from longtail.augmentation.masks import DrawnMasks, SeedMasks

        if self.settings.mask_sharpness is None:
            return SeedMasks(feature_names, plan)
        return DrawnMasks(feature_names, plan, sharpness=self.settings.mask_sharpness)


class RandomMasking(Augmentation):
    """Random feature masking (RFM): the first view hides random features, the second all others.

    The first view hides as many as in correlated masking.
    """

    name = "random_masking"
    hides_features = True

    def _masks(self, feature_names: Sequence[str], plan: "MaskingPlan") -> "Masks":
        from longtail.augmentation.masks import RandomMasks

        return RandomMasks(feature_names, list(plan.masks), complementary=True)


class IndependentMasking(Augmentation):
    """Both views hide random features, drawn independently of each other.

    Each hides as many as the first view of correlated masking. Where both show a feature, each
    drops values of its own.
    """

    name = "independent_masking"
    hides_features = True
    views_overlap = True

    def _masks(self, feature_names: Sequence[str], plan: "MaskingPlan") -> "Masks":
        from longtail.augmentation.masks import RandomMasks

        return RandomMasks(feature_names, list(plan.masks), complementary=False)


class DropoutOnly(Augmentation):
    """Both views show every feature, and each drops values of multi-valued features on its own."""

    name = "dropout_only"
    views_overlap = True


class SpreadOut(Augmentation):
    """The spread-out regulariser (SO): there are no views, and L_self pushes items apart.

    It is the softmax form of Yao et al. 2021: their equation 3 with both views the item itself.
    Zhang et al. 2017, who introduced the regulariser, square the scalar products instead.
    """

    name = "spread_out"
    makes_views = False


class FeatureDropout(Augmentation):
    """Feature dropout (FD; Volkovs et al. 2017): the main loss sees items that lost whole features.

    There is no L_self.
    """

    name = "feature_dropout"
    contrasts = False
    drops_features = True


class NoAugmentation(Augmentation):
    """The main loss alone: items stay as they are, and there is no L_self."""

    name = "none"
    contrasts = False
