"""The augmentations of Yao et al. 2021 and their rivals, one class each."""

from collections.abc import Sequence

from longtail.augmentation.augmentation import Augmentation
from longtail.augmentation.masking_plan import MaskingPlan
from longtail.augmentation.masks import DrawnMasks, Masks, RandomMasks, SeedMasks


class CorrelatedMasking(Augmentation):
    """Correlated feature masking (CFM): a seed feature is hidden with what correlates with it.

    The second view hides what the first one shows. With `mask_sharpness`, the features of a mask
    are drawn in proportion to their correlation with the seed.
    """

    name = "correlated_masking"
    hides_features = True

    def _masks(self, feature_names: Sequence[str], plan: MaskingPlan) -> Masks:
        if self.settings.mask_sharpness is None:
            return SeedMasks(feature_names, plan)
        return DrawnMasks(feature_names, plan, sharpness=self.settings.mask_sharpness)


class RandomMasking(Augmentation):
    """Random feature masking (RFM): half of the features at random; the second view the others."""

    name = "random_masking"
    hides_features = True

    def _masks(self, feature_names: Sequence[str], plan: MaskingPlan) -> Masks:
        return RandomMasks(feature_names, list(plan.masks), complementary=True)


class IndependentMasking(Augmentation):
    """Each view hides half of the features at random, independently of the other one."""

    name = "independent_masking"
    hides_features = True
    views_overlap = True

    def _masks(self, feature_names: Sequence[str], plan: MaskingPlan) -> Masks:
        return RandomMasks(feature_names, list(plan.masks), complementary=False)


class DropoutOnly(Augmentation):
    """Both views show every feature; each drops values of multi-valued features on its own."""

    name = "dropout_only"
    views_overlap = True


class SpreadOut(Augmentation):
    """The spread-out regulariser (SO): no views, each item is told apart from all the others."""

    name = "spread_out"
    makes_views = False


class FeatureDropout(Augmentation):
    """Feature dropout (FD): items of the main loss lose whole features; there is no L_self."""

    name = "feature_dropout"
    contrasts = False
    drops_features = True


class NoAugmentation(Augmentation):
    """The main loss alone: nothing is done to items, and there is no L_self."""

    name = "none"
    contrasts = False
