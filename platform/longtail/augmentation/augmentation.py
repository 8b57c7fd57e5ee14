"""An augmentation: all that is done to items before two views of each are compared.

One class owns one augmentation. To add one, write its class in `augmentations.py` and name it in
`registry.py`; the configuration, the batches, the model, the planner and the study ask the object.
"""

from abc import ABC
from collections.abc import Sequence
from typing import ClassVar, Protocol

from longtail.augmentation.masking_plan import MaskingPlan
from longtail.augmentation.masks import EmptyMasks, Masks
from longtail.errors import InputError


class AugmentationSettings(Protocol):
    """The settings that an augmentation reads; the section `self_supervision` has them."""

    @property
    def value_dropout(self) -> float:
        """The probability that a view loses a value of a multi-valued feature."""

    @property
    def feature_dropout(self) -> float:
        """The probability that a feature is dropped, for the augmentation of that name."""

    @property
    def mask_sharpness(self) -> float | None:
        """The power of the correlation by which masks are drawn; None draws none."""


class Augmentation(ABC):
    """What is done to the items of a batch, and what that needs from everything around it.

    The defaults below are those of an augmentation with a self-supervised loss, two views with
    dropped values, and no masks. A subclass says where it differs.

    Args:
        settings: dropout rates and the sharpness of masks.
    """

    name: ClassVar[str]
    """The value of `self_supervision.augmentation` that chooses it."""

    contrasts: ClassVar[bool] = True
    """Whether there is a self-supervised loss, L_self."""

    makes_views: ClassVar[bool] = True
    """Whether the sampled items get two views; else L_self contrasts the items with themselves."""

    views_overlap: ClassVar[bool] = False
    """Whether both views can show the same feature, and so need dropped values of their own."""

    hides_features: ClassVar[bool] = False
    """Whether it masks features, and so needs a masking plan with features that may be masked."""

    drops_features: ClassVar[bool] = False
    """Whether items of the main loss, which are no views, lose whole features."""

    def __init__(self, settings: AugmentationSettings) -> None:
        self.settings = settings

    @property
    def view_dropout(self) -> float:
        """The probability that a view loses a value of a multi-valued feature."""
        return self.settings.value_dropout if self.contrasts and self.makes_views else 0.0

    @property
    def supervised_feature_dropout(self) -> float:
        """The probability that an item of the main loss loses a feature."""
        return self.settings.feature_dropout if self.drops_features else 0.0

    @property
    def num_copies(self) -> int:
        """Lookups of the sampled items: two where each view drops values of its own."""
        return 2 if self.views_overlap and self.view_dropout else 1

    def masks(self, feature_names: Sequence[str], plan: MaskingPlan) -> Masks:
        """Return the masks of a run.

        Args:
            feature_names: the F item features, in the order of the schema.
            plan: the masking plan; its seeds are the features that may be masked.

        Raises:
            InputError: fewer than two features may be masked, so that one view would be empty.
        """
        if not self.hides_features:
            return EmptyMasks(len(feature_names))
        if not plan.masks:
            raise InputError(
                f"`self_supervision.augmentation: {self.name}` needs two item features that "
                "may be masked: give the items features, or set it to dropout_only or none"
            )
        return self._masks(feature_names, plan)

    def _masks(self, feature_names: Sequence[str], plan: MaskingPlan) -> Masks:
        """Return the masks of an augmentation that hides features, from a plan that has some."""
        raise AssertionError(f"{self.name} hides features, and makes no masks")
