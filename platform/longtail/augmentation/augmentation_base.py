"""The base class of augmentations: the flags that the rest of longtail asks, and their defaults."""

from abc import ABC
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

from longtail.errors import InputError

# The configuration imports the augmentations, and every command the configuration: NumPy is
# imported where masks are made.
if TYPE_CHECKING:
    from longtail.augmentation.masking_plan import MaskingPlan
    from longtail.augmentation.masks import Masks


class AugmentationSettings(Protocol):
    """The settings that an augmentation reads, from the section `self_supervision`."""

    @property
    def value_dropout(self) -> float:
        """The probability that a view loses a value of a multi-valued feature."""

    @property
    def feature_dropout(self) -> float:
        """The probability that a feature is dropped, for the augmentation of that name."""

    @property
    def mask_sharpness(self) -> float | None:
        """The power of the correlations that masks are drawn by; None uses the plan's masks."""


class Augmentation(ABC):
    """Changes the items of a batch, and says what it needs from the batches and the model.

    By default there is a self-supervised loss over two views, which drop values and hide no
    features. A subclass sets `name`, and the flags in which it differs:

        class HideEverySecond(Augmentation):
            name = "hide_every_second"
            hides_features = True

            def _masks(self, feature_names, plan):
                return ...  # an object with `mask(draw) -> Mask`, see masks.py

    Args:
        settings: dropout rates, and the sharpness of masks.
    """

    name: ClassVar[str]
    """The value of `self_supervision.augmentation` that chooses this class."""

    contrasts: ClassVar[bool] = True
    """Whether there is a self-supervised loss, L_self."""

    makes_views: ClassVar[bool] = True
    """Whether the sampled items get two views; if not, L_self contrasts items with themselves."""

    views_overlap: ClassVar[bool] = False
    """Whether both views can show the same feature that masks may hide.

    Each view then drops values of its own, as it does where both show a multi-valued feature that
    `correlation.never_mask` names.
    """

    hides_features: ClassVar[bool] = False
    """Whether views hide features; `_masks` then returns the masks, from a plan that has some."""

    drops_features: ClassVar[bool] = False
    """Whether the items of the main loss, which are no views, lose whole features."""

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

    def num_copies(self, *, multi_valued: Iterable[str], never_mask: Collection[str]) -> int:
        """Return the lookups of the sampled items: two where each view drops values of its own.

        One is enough where no two views show the same feature that loses values.

        Args:
            multi_valued: the item features that lose values.
            never_mask: the item features that no mask hides, so that both views show them.
        """
        overlap = self.views_overlap or any(name in never_mask for name in multi_valued)
        return 2 if overlap and self.view_dropout else 1

    def masks(self, feature_names: Sequence[str], plan: "MaskingPlan") -> "Masks":
        """Return the masks of a run.

        Args:
            feature_names: the F item features, in the order of the schema.
            plan: the masking plan; its seeds are the features that may be masked.

        Raises:
            InputError: the augmentation hides features, and fewer than two may be masked, so that
                one view would be empty.
        """
        from longtail.augmentation.masks import EmptyMasks

        if not self.hides_features:
            return EmptyMasks(len(feature_names))
        if not plan.masks:
            raise InputError(
                f"`self_supervision.augmentation: {self.name}` needs two item features that "
                "may be masked: give the items features, or set it to dropout_only or none"
            )
        return self._masks(feature_names, plan)

    def _masks(self, feature_names: Sequence[str], plan: "MaskingPlan") -> "Masks":
        """Return the masks of a run; a class that sets `hides_features` defines this method.

        Args:
            feature_names: the F item features, in the order of the schema.
            plan: the masking plan; it has at least two seeds.
        """
        raise AssertionError(f"{self.name} hides features, and makes no masks")
