"""The learning rates of each step, and that they reach the tables and the towers."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from longtail.config import TrainingConfig
from longtail.training.optimization.schedule import Schedule
from longtail.training.run_progress import Progress
from tests.training.small_training import PREFIX, SmallTraining, small_config

# As in test_two_ranks.py: a warning of FBGEMM's lookup of tables that every rank holds whole.
pytestmark = pytest.mark.filterwarnings(
    "ignore:fbgemm..dense_embedding_codegen_lookup_function:UserWarning"
)

WHOLE = {"sharding_types": ["data_parallel"]}
KINDS: dict[str, dict[str, Any]] = {
    "row_wise": {},
    "adagrad": {"optimizer": "adagrad"},
    "whole": {"default": WHOLE},
}
START, HALF, END = Progress(), Progress(9, 1, 30), Progress(12, 3, 0)


class NoOptimizer:
    param_groups: tuple[dict[str, Any], ...] = ()


def factor(decay: str, progress: Progress, *, num_epochs: int = 3) -> float:
    training = TrainingConfig.model_validate({"learning_rate_decay": decay})
    schedule = Schedule(None, NoOptimizer(), training, num_examples=60, num_epochs=num_epochs)
    return schedule.factor(progress)


def test_the_factor_follows_the_share_of_the_examples() -> None:
    assert [factor("none", at) for at in (START, HALF, END)] == [1.0, 1.0, 1.0]
    assert [factor("linear", at) for at in (START, HALF, END)] == pytest.approx([1.0, 0.5, 0.0])
    assert [factor("cosine", at) for at in (START, HALF, END)] == pytest.approx([1.0, 0.5, 0.0])
    late = Progress(5, 1, 45)  # 1.75 of 4 epochs
    assert factor("linear", late, num_epochs=4) == pytest.approx(0.5625)
    cosine = (1 + math.cos(1.75 / 4 * math.pi)) / 2
    assert factor("cosine", late, num_epochs=4) == pytest.approx(cosine)
    # At another number of ranks the same place has another step, and the same factor.
    assert factor("linear", Progress(99, 1, 45), num_epochs=4) == pytest.approx(0.5625)


def changes(training: SmallTraining, before: Progress | None) -> dict[str, torch.Tensor]:
    """Take a step, and return what it adds to each tensor of the model.

    Args:
        training: the model.
        before: what is said to be done before the step. None: no rate is set.
    """
    config = training.config.training
    schedule = Schedule(
        training.model, training.optimizer, config, num_examples=60, num_epochs=END.epoch
    )
    old = {name: value.clone() for name, value in tensors(training).items()}
    if before is not None:
        schedule.before_step(before)
    training.optimizer.zero_grad()
    training.model(next(training.batches(1))).total.backward()
    training.optimizer.step()
    return {name: value - old[name] for name, value in tensors(training).items()}


def tensors(training: SmallTraining) -> dict[str, torch.Tensor]:
    state = training.model.state_dict()
    return {
        name: value.local_shards()[0].tensor if hasattr(value, "local_shards") else value
        for name, value in state.items()
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decay", ["linear", "cosine"])
@pytest.mark.usefixtures("one_rank")
def test_the_rates_reach_tables_and_towers(kind: str, decay: str, tmp_path: Path) -> None:
    config = small_config(tmp_path, **KINDS[kind])
    settings = config.training.model_copy(update={"learning_rate_decay": decay})
    decaying = config.model_copy(update={"training": settings})
    full = changes(SmallTraining(config), None)
    # Adagrad's first step is in proportion to the rate, as its sums are those of one gradient.
    for before, share in ((START, 1.0), (HALF, 0.5), (END, 0.0)):
        found = changes(SmallTraining(decaying), before)
        for name, change in full.items():
            torch.testing.assert_close(found[name], share * change, rtol=1e-4, atol=1e-7)
            assert change.any() or not name.endswith(".layers.0.weight")
            assert share > 0 or not found[name].any(), name
    assert all(full[f"{PREFIX}{table}.weight"].any() for table in ("package", "section"))


@pytest.mark.usefixtures("one_rank")
def test_tables_stop_changing_when_the_rate_is_zero(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    settings = config.training.model_copy(update={"learning_rate_decay": "linear"})
    training = SmallTraining(config.model_copy(update={"training": settings}))
    assert any(change.any() for change in changes(training, HALF).values())
    for _ in range(2):
        assert not any(change.any() for change in changes(training, END).values())
    # Without a decay no rate is touched.
    plain = SmallTraining(config)
    assert any(change.any() for change in changes(plain, END).values())


@pytest.mark.usefixtures("one_rank")
def test_tables_shrink_before_each_epoch_but_the_first(tmp_path: Path) -> None:
    for kind in ("row_wise", "whole"):
        config = small_config(tmp_path, **KINDS[kind])
        settings = {"table_weight_decay": 0.2, "learning_rate_decay": "linear"}
        training = SmallTraining(
            config.model_copy(update={"training": config.training.model_copy(update=settings)})
        )
        schedule = Schedule(
            training.model,
            training.optimizer,
            training.config.training,
            num_examples=60,
            num_epochs=4,
        )
        before = {name: value.clone() for name, value in tensors(training).items()}
        schedule.begin_epoch(START)
        assert all(torch.equal(value, before[name]) for name, value in tensors(training).items())
        schedule.begin_epoch(Progress(5, 1, 0))  # the rates are at three quarters
        for name, value in tensors(training).items():
            share = 0.85 if name.startswith(PREFIX) else 1.0
            torch.testing.assert_close(value, share * before[name], rtol=1e-6, atol=0)
