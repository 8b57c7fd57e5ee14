"""Dropout of hidden neurons: in training alone, and drawn by torch's generator."""

import pytest
import torch

from longtail.model.towers import Tower

WIDTH, RATE = 4000, 0.25


def hidden_of(tower: Tower, rows: torch.Tensor) -> torch.Tensor:
    """Return what the layer after the first hidden one is given."""
    seen: list[torch.Tensor] = []
    hook = tower.layers[0].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    tower.rest(rows)
    hook.remove()
    return seen[0]


def test_training_leaves_out_a_share_of_the_neurons_and_scales_the_rest() -> None:
    tower = Tower([4], hidden=[WIDTH], output_dim=3, dropout=RATE)
    rows = torch.ones(3, WIDTH)
    rows[:, ::2] = -1.0  # the rectifier makes these zero
    torch.manual_seed(0)
    hidden = hidden_of(tower, rows)
    assert not hidden[:, ::2].any()
    kept = hidden[:, 1::2]
    assert kept.unique().tolist() == pytest.approx([0.0, 1 / (1 - RATE)])
    # 6000 draws: three standard deviations are 0.017.
    assert (kept == 0).float().mean() == pytest.approx(RATE, abs=0.017)
    assert not torch.equal(kept[0], kept[1])
    torch.manual_seed(0)
    assert torch.equal(hidden_of(tower, rows), hidden)
    tower.eval()
    assert torch.equal(hidden_of(tower, rows), rows.relu())


def test_every_hidden_layer_has_it() -> None:
    tower = Tower([4], hidden=[WIDTH, WIDTH], output_dim=3, dropout=0.5)
    seen: list[torch.Tensor] = []
    for layer in tower.layers:
        layer.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    tower.rest(torch.ones(1, WIDTH))
    shares = [(inputs == 0).float().mean().item() for inputs in seen]
    assert shares[0] == pytest.approx(0.5, abs=0.03)
    assert shares[1] > 0.7  # half are left out of those that the rectifier has left


def test_without_it_no_random_number_is_drawn() -> None:
    tower = Tower([4], hidden=[8], output_dim=3)
    rows, before = torch.randn(5, 8), torch.get_rng_state()
    trained = tower.rest(rows)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(tower.eval().rest(rows), trained)
