"""Decoupled weight decay of the towers, against Adagrad by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from longtail.training.optimization.weight_decay import add_weight_decay
from tests.training.optimization.test_schedule import changes, tensors
from tests.training.small_training import PREFIX, SmallTraining, small_config

RATE, DECAY = 0.1, 0.5


def by_hand(
    start: np.ndarray, gradients: Sequence[np.ndarray], rates: Sequence[float], decay: float
) -> np.ndarray:
    """Return the weights after AdamW's decay and Adagrad's step, number by number."""
    weights, sums = start.copy(), np.zeros_like(start)
    for gradient, rate in zip(gradients, rates, strict=True):
        for place in np.ndindex(*start.shape):
            weights[place] -= rate * decay * weights[place]
            sums[place] += gradient[place] ** 2
            weights[place] -= rate * gradient[place] / (np.sqrt(sums[place]) + 1e-10)
    return weights


@pytest.mark.parametrize("kernel", [{"fused": True}, {"foreach": True}])
def test_matrices_decay_and_vectors_do_not(kernel: dict[str, bool]) -> None:
    generator = np.random.default_rng(0)
    starts = [generator.normal(size=(3, 4)), generator.normal(size=4)]
    gradients = [generator.normal(size=(3, *start.shape)) for start in starts]
    parameters = [torch.nn.Parameter(torch.from_numpy(start.copy())) for start in starts]
    optimizer = torch.optim.Adagrad(parameters, lr=RATE, **kernel)
    add_weight_decay(optimizer, DECAY)
    rates = [RATE, 0.5 * RATE, 0.0]  # the decay follows the learning rate
    for step, rate in enumerate(rates):
        optimizer.param_groups[0]["lr"] = rate
        for parameter, of_steps in zip(parameters, gradients, strict=True):
            parameter.grad = torch.from_numpy(of_steps[step])
        optimizer.step()
    for parameter, start, of_steps, decay in zip(
        parameters, starts, gradients, (DECAY, 0.0), strict=True
    ):
        wanted = by_hand(start, list(of_steps), rates, decay)
        np.testing.assert_allclose(parameter.detach().numpy(), wanted, rtol=1e-12)


@pytest.mark.usefixtures("one_rank")
def test_it_reaches_the_layers_of_the_towers_alone(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    settings = config.training.model_copy(update={"weight_decay": DECAY})
    plain, decayed = (
        SmallTraining(each) for each in (config, config.model_copy(update={"training": settings}))
    )
    before = {name: value.clone() for name, value in tensors(plain).items()}
    without, found = changes(plain, None), changes(decayed, None)
    rate = config.training.tower_learning_rate
    layers = {
        name for name, value in before.items() if not name.startswith(PREFIX) and value.dim() > 1
    }
    assert {name.rpartition(".")[0] for name in layers} == {
        f"{side}_tower.{layer}"
        for side in ("query", "item")
        for layer in ("input_layer", "layers.0")
    }
    for name, change in without.items():
        extra = rate * DECAY * before[name] if name in layers else torch.zeros_like(change)
        torch.testing.assert_close(found[name], change - extra, rtol=1e-5, atol=1e-7)
