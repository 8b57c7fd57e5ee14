"""Masks: the item features that each of two views hides, for all or a share of a batch's items."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from longtail.augmentation.masking_plan import MaskingPlan, mask_size


@dataclass(frozen=True)
class Mask:
    """The features that two views of an item hide.

    Attributes:
        first: F flags, the features that the first view hides.
        second: F flags, the features that the second view hides.
    """

    first: tuple[bool, ...]
    second: tuple[bool, ...]

    @property
    def is_complementary(self) -> bool:
        """Return whether no feature is hidden in both views."""
        return not any(a and b for a, b in zip(self.first, self.second, strict=True))


class Masks(Protocol):
    """The masks of a run: a random number chooses each mask of a step."""

    def mask(self, draw: int) -> Mask:
        """Return the mask that a random number chooses; the same number gives the same mask."""


class SeedMasks:
    """Correlated feature masking: the first view hides a seed and its most correlated features.

    The second view hides the features that the first one shows (Yao et al. 2021, section
    "Correlated Feature Masking").

    Args:
        feature_names: the F item features, in the order of the schema.
        plan: the mask of each seed. Both views show the features that are no seed.
    """

    def __init__(self, feature_names: Sequence[str], plan: MaskingPlan) -> None:
        self.masks = [_complementary(feature_names, plan, masked) for masked in plan.masks.values()]

    def mask(self, draw: int) -> Mask:
        """Return the mask of a seed feature that is drawn uniformly."""
        return self.masks[draw % len(self.masks)]


class DrawnMasks:
    """Correlated masking with a new draw at every step (ours).

    A seed feature is drawn uniformly, and the others of its mask without replacement, in proportion
    to a power of their correlation with the seed. A large power gives the masks of `SeedMasks`, and
    a power near zero those of `RandomMasks`.

    Args:
        feature_names: the F item features, in the order of the schema.
        plan: the features that may be masked, their correlations, and the groups among them.
        sharpness: the power.
    """

    def __init__(
        self, feature_names: Sequence[str], plan: MaskingPlan, *, sharpness: float
    ) -> None:
        self._names, self._plan = feature_names, plan
        with np.errstate(divide="ignore"):  # log 0 = -inf: no correlation at all comes last
            self._logits = {
                seed: sharpness * np.log(np.maximum(0.0, [*row.values()]))
                for seed, row in plan.correlations.items()
            }

    def mask(self, draw: int) -> Mask:
        """Draw a mask, by a generator that `draw` seeds."""
        generator = np.random.default_rng(draw)
        maskable = [*self._logits]
        seed = maskable[generator.integers(len(maskable))]
        # The largest sums of logits and Gumbel noise: a draw without replacement.
        noisy = self._logits[seed] + generator.gumbel(size=len(maskable))
        ranked = [maskable[position] for position in np.argsort(-noisy, kind="stable")]
        return _complementary(self._names, self._plan, self._plan.mask_by(seed, ranked))


class RandomMasks:
    """Masks of uniformly drawn features, as many as in correlated masking.

    Args:
        feature_names: the F item features, in the order of the schema.
        maskable: the features that may be hidden.
        complementary: the second view hides the features that the first one shows; else the two
            masks are drawn independently of each other.
    """

    def __init__(
        self, feature_names: Sequence[str], maskable: Sequence[str], *, complementary: bool
    ) -> None:
        self._num_features = len(feature_names)
        self._maskable = np.array([feature_names.index(name) for name in maskable])
        self._complementary = complementary

    def mask(self, draw: int) -> Mask:
        """Draw a mask, by a generator that `draw` seeds."""
        generator = np.random.default_rng(draw)
        first = self._draw(generator)
        if self._complementary:
            second = np.zeros_like(first)
            second[self._maskable] = ~first[self._maskable]
        else:
            second = self._draw(generator)
        return Mask(tuple(first.tolist()), tuple(second.tolist()))

    def _draw(self, generator: np.random.Generator) -> np.ndarray:
        """Return F flags, the features that one view hides."""
        hidden = np.zeros(self._num_features, np.bool_)
        size = mask_size(len(self._maskable))
        hidden[generator.choice(self._maskable, size, replace=False)] = True
        return hidden


class EmptyMasks:
    """Empty masks: both views show all features.

    Args:
        num_features: F.
    """

    def __init__(self, num_features: int) -> None:
        self._mask = Mask((False,) * num_features, (False,) * num_features)

    def mask(self, draw: int) -> Mask:
        """Return the empty mask, whatever is drawn."""
        del draw
        return self._mask


def _complementary(
    feature_names: Sequence[str], plan: MaskingPlan, masked: Collection[str]
) -> Mask:
    """Return a mask: the first view hides `masked`, the second one all else that may be masked."""
    return Mask(
        first=tuple(name in masked for name in feature_names),
        second=tuple(name in plan.masks and name not in masked for name in feature_names),
    )
