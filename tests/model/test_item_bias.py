"""An item's bias: its place in the vectors, and what it learns, against closed answers."""

from typing import Any

import numpy as np
import pytest
import torch

from longtail.config import (
    Config,
    LossConfig,
    ModelConfig,
    SelfSupervisionConfig,
    TrainingConfig,
)
from longtail.dataset.batch_builder import BatchBuilder
from longtail.model.losses import batch_softmax
from longtail.model.towers import Tower
from longtail.model.two_tower import LossTerms, TwoTower
from tests.dataset.small_set import SCHEMA, make_training_set
from tests.model.test_two_tower import DoubleBags, make_masking

TAU = 0.2


def make_tower(has_bias: bool) -> Tower:
    torch.manual_seed(3)
    return Tower([4, 2], [5, 3], 4, has_bias=has_bias).double()


def test_a_bias_is_one_number_more_and_leaves_the_unit_vectors_alone() -> None:
    plain, biased = make_tower(False), make_tower(True)
    values = [torch.randn(6, 4).double(), torch.randn(6, 2).double()]
    missing = torch.zeros(6, 2).double()
    unit = plain(values, missing)
    # It starts at zero, so that training starts from the same scores.
    assert torch.equal(biased(values, missing), torch.cat([unit, torch.zeros(6, 1)], dim=1))
    head = biased.bias_head
    assert head is not None
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0, -2.0, 0.5]]))
        head.bias.fill_(0.25)
    found = biased(values, missing)
    assert torch.equal(found[:, :4], unit)
    for row in range(6):
        x = torch.cat([value[row] for value in values])
        x = torch.relu(plain.input_layer.weight @ x + plain.input_layer.bias)
        first, _ = plain.layers
        x = torch.relu(first.weight @ x + first.bias)
        x = x.detach()
        expected = float(x[0] - 2 * x[1] + 0.5 * x[2] + 0.25)
        assert float(found[row, 4].detach()) == pytest.approx(expected, rel=1e-6)


def loss_of(
    model: ModelConfig, augmentation: str, change: Any = None
) -> tuple[LossTerms, TwoTower]:
    config = Config(
        feature_repo="/repo",  # type: ignore[arg-type]
        model=model,
        loss=LossConfig(temperature=TAU),
        training=TrainingConfig(batch_size=8),
        self_supervision=SelfSupervisionConfig(augmentation=augmentation),
    )
    training_set = make_training_set()
    masks = make_masking(config)
    torch.manual_seed(1)
    two_tower = TwoTower(SCHEMA, config, DoubleBags(), masks).double()
    torch.manual_seed(2)
    for parameter in two_tower.embedding_bags.parameters():
        torch.nn.init.normal_(parameter)
    if change is not None:
        with torch.no_grad():
            change(two_tower)
    batch = next(iter(BatchBuilder(training_set, config).epoch(0)))
    return two_tower(batch), two_tower


SHAPE = {"hidden": (6,), "output_dim": 4}


@pytest.mark.parametrize("augmentation", ["correlated_masking", "spread_out", "none"])
def test_training_starts_from_the_loss_without_a_bias(augmentation: str) -> None:
    plain, _ = loss_of(ModelConfig(**SHAPE), augmentation)
    biased, two_tower = loss_of(ModelConfig(**SHAPE, item_bias="learned"), augmentation)
    assert [float(t.detach()) for t in biased] == [float(t.detach()) for t in plain]
    biased.main.backward()
    head = two_tower.item_tower.bias_head
    assert head is not None
    assert head.weight.grad is not None
    assert float(head.weight.grad.abs().sum()) > 0.0
    assert two_tower.query_tower.bias_head is None


@pytest.mark.parametrize("augmentation", ["correlated_masking", "spread_out"])
def test_the_contrast_of_views_does_not_see_the_bias(augmentation: str) -> None:
    model = ModelConfig(**SHAPE, item_bias="learned")
    start, _ = loss_of(model, augmentation)
    changed, _ = loss_of(
        model, augmentation, lambda each: each.item_tower.bias_head.weight.normal_()
    )
    assert torch.equal(changed.self_supervised, start.self_supervised)
    assert not torch.equal(changed.main, start.main)


def learned_bias(counts: torch.Tensor, **settings: Any) -> torch.Tensor:
    """Minimise the loss of a batch that holds each item `counts` times over biases alone."""
    bias = torch.zeros(len(counts), dtype=torch.float64, requires_grad=True)
    item = torch.arange(len(counts))
    none = torch.zeros(0, dtype=torch.int64)
    optimizer = torch.optim.LBFGS([bias], max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        # No features: all unit vectors are at right angles, only the biases count.
        loss = batch_softmax(
            torch.tensor([[0.0, 1.0]], dtype=torch.float64).repeat(len(counts), 1),
            torch.stack([torch.ones_like(bias), TAU * bias], dim=1),
            positive=item,
            weight=counts,
            total_weight=counts.sum(),
            temperature=TAU,
            repeats=counts,
            excluded=(none, none),
            **settings,
        )
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(closure)
    return (bias - bias.mean()).detach()


def test_under_logq_the_bias_is_the_log_of_the_items_share() -> None:
    counts = torch.tensor([1.0, 2.0, 3.0, 5.0, 8.0, 40.0], dtype=torch.float64)
    expected = counts.log() - counts.log().mean()
    # `expected` of the loss: how often each item is drawn. The correction makes the negatives stand
    # for the whole catalogue, so the optimum of the softmax is the distribution of the positives.
    for settings in ({"positive_is_certain": True}, {"correct_positive": False}):
        found = learned_bias(counts, expected=counts, **settings)
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=0.0)
    # With half of the correction and a positive that keeps the other half, it is the same.
    half = learned_bias(counts, expected=counts, logq_strength=0.5, positive_is_certain=True)
    torch.testing.assert_close(half, 0.5 * expected, atol=2e-4, rtol=0.0)


def test_without_logq_in_batch_negatives_leave_the_bias_nothing_to_learn() -> None:
    counts = torch.tensor([1.0, 2.0, 3.0, 5.0, 8.0, 10.0] * 20, dtype=torch.float64)
    found = learned_bias(counts)
    # An item is a negative as often as it is a positive: the popular are pushed down as much.
    assert float(found.max() - found.min()) < 0.05
    log = counts.log()
    assert float(log.max() - log.min()) > 2.0


def test_with_a_corrected_positive_the_bias_is_the_log_of_the_share_on_average() -> None:
    torch.manual_seed(0)
    share = 1.0 / torch.arange(1, 101, dtype=torch.float64)
    share /= share.sum()
    bias = torch.zeros(100, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([bias], lr=0.1)
    none = torch.zeros(0, dtype=torch.int64)
    size, num_steps = 64, 600
    kept = torch.zeros_like(bias)
    for step in range(num_steps):
        drawn = torch.multinomial(share, size, replacement=True)
        items, positive, repeats = drawn.unique(return_inverse=True, return_counts=True)
        optimizer.zero_grad()
        batch_softmax(
            torch.tensor([[0.0, 1.0]], dtype=torch.float64).repeat(size, 1),
            torch.stack([torch.ones(len(items)).double(), TAU * bias[items]], dim=1),
            positive=positive,
            weight=torch.ones(size).double(),
            total_weight=torch.tensor(float(size)),
            temperature=TAU,
            repeats=repeats.double(),
            excluded=(none, none),
            expected=size * share[items],
        ).backward()
        optimizer.step()
        if step >= num_steps // 2:
            kept += bias.detach() / (num_steps // 2)
    log = share.log()
    correlation = np.corrcoef(kept.numpy(), log.numpy())[0, 1]
    assert correlation > 0.95


def test_a_tower_without_hidden_layers_has_no_neurons_for_a_bias() -> None:
    with pytest.raises(ValueError, match="hidden: \\[\\]"):
        ModelConfig(hidden=(), item_bias="learned")
