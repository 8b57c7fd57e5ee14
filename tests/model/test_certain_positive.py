"""`loss.logq_positive: certain` against the paper's formula, and against the full softmax."""

import math
from collections.abc import Iterator, Mapping

import pytest
import torch

from longtail.model.losses import batch_softmax
from tests.model.test_losses import Case

# A small catalogue: the shares of its items in the training part, and one query's logits.
SHARES = torch.tensor([0.6, 0.35, 0.05], dtype=torch.float64)
LOGITS = torch.tensor([1.0, 0.2, 0.7], dtype=torch.float64)
POPULAR, RARE = 0, 2


def weighted_loss(
    scores: torch.Tensor, case: Mapping[str, torch.Tensor], temperature: float, strength: float
) -> torch.Tensor:
    """Return the weighted loss of Khrylchenko et al. 2025, section 3.3, as the paper writes it.

    The positive is in no sum, and the weight of an example, which gets no gradient, is one less the
    estimated probability of its positive.
    """
    total = scores.new_zeros(())
    for row, positive in enumerate(case["positive"].tolist()):
        log_expected = case["expected"].log()
        negatives = [
            scores[row, c] / temperature + case["repeats"][c].log() - strength * log_expected[c]
            for c in range(scores.shape[1])
            if not case["excluded"][row, c]
        ]
        assert len(negatives) < scores.shape[1]  # the positive is excluded, too
        own = scores[row, positive] / temperature + (1 - strength) * log_expected[positive]
        rest = torch.logsumexp(torch.stack(negatives), 0)
        uncertainty = (1 - own.exp() / (own.exp() + rest.exp())).detach()
        total = total + case["weight"][row] * uncertainty * (rest - own)
    return total / case["total_weight"]


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_the_gradient_is_that_of_the_weighted_loss(seed: int, strength: float) -> None:
    """Repeats, weights of negatives, accidental hits and unborn items included."""
    case = Case(seed, 9, 5, corrected=True)
    queries, candidates = (vectors.requires_grad_() for vectors in case.vectors)
    tensors = dict(case.tensors)
    excluded = tensors.pop("excluded")
    loss = batch_softmax(
        queries,
        candidates,
        excluded=excluded.nonzero(as_tuple=True),
        temperature=0.5,
        logq_strength=strength,
        positive_is_certain=True,
        **tensors,
    )
    reference = weighted_loss(queries @ candidates.T, case.tensors, 0.5, strength)
    found = torch.autograd.grad(loss, [queries, candidates])
    wanted = torch.autograd.grad(reference, [queries, candidates])
    for one, other in zip(found, wanted, strict=True):
        assert other.abs().max() > 1e-3
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_full_strength_is_an_uncorrected_positive() -> None:
    case = Case(3, 9, 5, corrected=True)
    excluded = case.tensors.pop("excluded").nonzero(as_tuple=True)
    for strength, same in ((1.0, True), (0.4, False)):
        options = {"temperature": 0.5, "logq_strength": strength, "excluded": excluded}
        certain = batch_softmax(*case.vectors, **options, **case.tensors, positive_is_certain=True)
        left = batch_softmax(*case.vectors, **options, **case.tensors, correct_positive=False)
        assert (certain.item() == left.item()) == same


def slope(positive: int, counts: list[int], strength: float, *, certain: bool) -> torch.Tensor:
    """Return the gradient at the logits of one example whose batch has each item so many times."""
    logits = LOGITS[None].clone().requires_grad_()
    loss = batch_softmax(
        logits,
        torch.eye(len(LOGITS), dtype=torch.float64),
        positive=torch.tensor([positive]),
        weight=torch.ones(1, dtype=torch.float64),
        total_weight=torch.tensor(1.0, dtype=torch.float64),
        temperature=1.0,
        repeats=torch.tensor(counts, dtype=torch.float64),
        # The example's own item is no negative of it.
        excluded=(torch.tensor([0]), torch.tensor([positive])),
        expected=SHARES * sum(counts),
        logq_strength=strength,
        positive_is_certain=certain,
    )
    return torch.autograd.grad(loss, logits)[0][0]


def samples(num_draws: int) -> Iterator[tuple[list[int], float]]:
    """Yield every sample of so many draws as counts of the three items, and its probability."""
    for first in range(num_draws + 1):
        for second in range(num_draws + 1 - first):
            counts = [first, second, num_draws - first - second]
            log_ways = math.lgamma(num_draws + 1) - sum(math.lgamma(n + 1) for n in counts)
            log_shares = sum(n * math.log(q) for n, q in zip(counts, SHARES.tolist(), strict=True))
            yield counts, math.exp(log_ways + log_shares)


def bias(positive: int, num_draws: int, strength: float = 1.0, *, certain: bool) -> float:
    """Return how far the expected gradient is from that of the softmax over the whole catalogue.

    The expectation is over all samples; the distance is relative to the exact gradient.
    """
    mean = sum(
        probability * slope(positive, counts, strength, certain=certain)
        for counts, probability in samples(num_draws)
    )
    # A part of the correction leaves that part of the popularity to the scores.
    exact = (LOGITS + (1 - strength) * (SHARES * num_draws).log()).softmax(0)
    exact[positive] -= 1.0
    return float((mean - exact).norm() / exact.norm())


@pytest.mark.parametrize("strength", [1.0, 0.5])
@pytest.mark.parametrize("positive", [POPULAR, RARE])
def test_the_expected_gradient_tends_to_that_of_the_full_softmax(
    positive: int, strength: float
) -> None:
    """It is a ratio of sums, so its bias falls as one over the number of draws."""
    few, many = (bias(positive, n, strength, certain=True) for n in (16, 64))
    assert many < 0.05
    assert few / many == pytest.approx(4.0, abs=0.5)


def test_a_positive_taken_for_a_draw_has_a_bias_that_stays() -> None:
    """Expected E times, it counts as E times less likely than the model has it."""
    assert float(LOGITS.softmax(0)[POPULAR]) == pytest.approx(0.46, abs=0.01)
    # Expected 38 times in 64 draws, it weighs nearly 1 in place of .54.
    few, many = (bias(POPULAR, n, certain=False) for n in (16, 64))
    assert 0.6 < few < many < 0.8
    # Expected .4 times in 8 draws, it counts as more likely than it is, and learns too little.
    assert bias(RARE, 8, certain=False) == pytest.approx(0.34, abs=0.01)
    assert bias(RARE, 8, certain=True) < 0.01


def test_an_example_without_negatives_has_no_loss_and_no_gradient() -> None:
    assert slope(POPULAR, [5, 0, 0], 1.0, certain=True).tolist() == [0.0, 0.0, 0.0]
