"""A short training run has the losses that it always had, whatever changes in the structure.

After a change that is meant to change them, record them anew:
`LONGTAIL_RECORD_GOLDEN=1 pytest tests/training/test_golden_run.py`.
"""

import json
import os
from itertools import islice
from pathlib import Path

import pytest

from longtail.config import Config, SelfSupervisionConfig
from tests.training.small_training import SmallTraining, small_config

GOLDEN = Path(__file__).with_name("golden_losses.json")
NUM_STEPS = 20
AUGMENTATIONS = [
    *("correlated_masking", "random_masking", "independent_masking", "dropout_only"),
    *("spread_out", "feature_dropout", "none"),
]


def losses_of(config: Config) -> list[float]:
    """Return the total losses of the first steps, by the plainest loop."""
    training = SmallTraining(config)
    losses = []
    for batch in islice(training.batches(num_epochs=NUM_STEPS), NUM_STEPS):
        training.optimizer.zero_grad()
        loss = training.model(batch).total
        loss.backward()
        training.optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.usefixtures("one_rank")
@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_the_losses_are_those_of_the_golden_run(augmentation: str, tmp_path: Path) -> None:
    config = small_config(tmp_path / "home").model_copy(
        update={
            "self_supervision": SelfSupervisionConfig(augmentation=augmentation, sample_size=20)
        }
    )
    losses = losses_of(config)
    assert len(losses) == NUM_STEPS
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
    if os.environ.get("LONGTAIL_RECORD_GOLDEN"):
        golden[augmentation] = losses
        GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")
    # On one machine they are equal to the last bit. Other processors add in another order.
    assert losses == pytest.approx(golden[augmentation], rel=2e-5)
