"""A new augmentation is one class and one line of registry: everything else asks the object."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from longtail.augmentation.augmentation_base import Augmentation
from longtail.augmentation.masking_plan import MaskingPlan
from longtail.augmentation.masks import Mask
from longtail.augmentation.registry import AUGMENTATIONS
from longtail.config import SelfSupervisionConfig
from tests.training.conftest import one_rank  # noqa: F401
from tests.training.small_training import SmallTraining, small_config


class EverySecondMasks:
    """The first view hides every second feature, the second view nothing."""

    def __init__(self, num_features: int) -> None:
        self._hidden = tuple(position % 2 == 1 for position in range(num_features))

    def mask(self, draw: int) -> Mask:
        del draw
        return Mask(self._hidden, (False,) * len(self._hidden))


class HideEverySecond(Augmentation):
    """Hides every second feature in one of the two views."""

    name = "hide_every_second"
    hides_features = True
    views_overlap = True

    def _masks(self, feature_names: Sequence[str], plan: MaskingPlan) -> EverySecondMasks:
        del plan
        return EverySecondMasks(len(feature_names))


def test_each_augmentation_is_registered_by_its_name() -> None:
    assert {rule.name: rule for rule in AUGMENTATIONS.values()} == AUGMENTATIONS
    assert all(issubclass(rule, Augmentation) for rule in AUGMENTATIONS.values())


@pytest.mark.usefixtures("one_rank")
def test_a_registered_class_is_configured_trained_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="must be one of correlated_masking, random_masking"):
        SelfSupervisionConfig(augmentation=HideEverySecond.name)
    monkeypatch.setitem(AUGMENTATIONS, HideEverySecond.name, HideEverySecond)
    config = small_config(tmp_path / "home").model_copy(
        update={
            "self_supervision": SelfSupervisionConfig(
                augmentation=HideEverySecond.name, sample_size=20
            )
        }
    )
    training = SmallTraining(config)
    batch = next(training.batches(1))
    assert batch.num_copies == 2  # both views show the other half, with dropped values of its own
    terms = training.model(batch)
    assert torch.isfinite(terms.total)
    assert float(terms.self_supervised.detach()) > 0
    losses = training.train(3)
    assert losses[-1] < losses[0]
