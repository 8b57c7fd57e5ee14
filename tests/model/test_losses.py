"""The losses against loops in float64 that share no code with them."""

import math

import numpy as np
import pytest
import torch

from longtail.model.losses import batch_softmax, view_contrast


def loop_batch_softmax(
    query_vectors: np.ndarray,
    item_vectors: np.ndarray,
    items: list[int],
    known: list[set[int]],
    weights: list[float],
    temperature: float,
    expected: dict[int, float] | None,
    correct_positive: bool,
    extra: list[int],
) -> float:
    """DESIGN.md section 3, example by example and candidate by candidate.

    `item_vectors[i]` is the vector of item i; `items[n]` is example n's item; candidates are the
    items of all examples (with repeats) and then the extra ones.
    """
    total = 0.0
    for n, positive in enumerate(items):

        def logit(item: int, is_positive: bool, n: int = n) -> float:
            value = float(query_vectors[n] @ item_vectors[item]) / temperature
            if expected is not None and (correct_positive or not is_positive):
                value -= math.log(expected[item])
            return value

        denominator = math.exp(logit(positive, True))
        for candidate in [*items, *extra]:
            if candidate != positive and candidate not in known[n]:
                denominator += math.exp(logit(candidate, False))
        total += weights[n] * -(logit(positive, True) - math.log(denominator))
    return total / sum(weights)


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("correct_positive", [True, False])
@pytest.mark.parametrize("mixed", [True, False])
def test_batch_softmax_equals_the_loop(
    corrected: bool, correct_positive: bool, mixed: bool
) -> None:
    rng = np.random.default_rng(3)
    num_items, batch = 9, 12
    item_vectors = rng.normal(size=(num_items, 4))
    query_vectors = rng.normal(size=(batch, 4))
    items = rng.integers(0, 6, batch).tolist()  # repeats are certain
    known = [{i, int(rng.integers(0, num_items))} for i in items]
    weights = rng.uniform(0.1, 2, batch).tolist()
    extra = [2, 7, 8] if mixed else []
    expected = {i: float(rng.uniform(0.01, 3)) for i in range(num_items)}

    distinct = sorted(set(items))
    candidates = distinct + extra
    repeats = [float(items.count(i)) for i in distinct] + [1.0] * len(extra)
    excluded = [[c in known[n] for c in candidates] for n in range(batch)]
    loss = batch_softmax(
        torch.from_numpy(query_vectors @ item_vectors[candidates].T),
        positive=torch.tensor([distinct.index(i) for i in items]),
        weight=torch.tensor(weights, dtype=torch.float64),
        temperature=0.3,
        repeats=torch.tensor(repeats, dtype=torch.float64),
        excluded=torch.tensor(excluded),
        expected=(
            torch.tensor([expected[c] for c in candidates], dtype=torch.float64)
            if corrected
            else None
        ),
        correct_positive=correct_positive,
    )
    reference = loop_batch_softmax(
        query_vectors,
        item_vectors,
        items,
        known,
        weights,
        0.3,
        expected if corrected else None,
        correct_positive,
        extra,
    )
    assert loss.item() == pytest.approx(reference, rel=1e-9)


def test_examples_of_weight_zero_count_for_nothing() -> None:
    scores = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    arguments = {"temperature": 1.0, "repeats": torch.ones(2, dtype=torch.float64)}
    both = batch_softmax(
        scores,
        positive=torch.tensor([0, 1, 0]),
        weight=torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64),
        excluded=torch.zeros(3, 2, dtype=torch.bool),
        **arguments,
    )
    fewer = batch_softmax(
        scores[:2],
        positive=torch.tensor([0, 1]),
        weight=torch.ones(2, dtype=torch.float64),
        excluded=torch.zeros(2, 2, dtype=torch.bool),
        **arguments,
    )
    assert both.item() == pytest.approx(fewer.item(), rel=1e-12)


def test_view_contrast_equals_the_loop_one_way_only() -> None:
    rng = np.random.default_rng(4)
    first, second = rng.normal(size=(2, 5, 3))
    total = 0.0
    for i in range(5):
        logits = [float(first[i] @ second[j]) / 0.2 for j in range(5)]
        total -= logits[i] - math.log(sum(math.exp(value) for value in logits))
    loss = view_contrast(torch.from_numpy(first), torch.from_numpy(second), temperature=0.2)
    assert loss.item() == pytest.approx(total / 5, rel=1e-9)
    swapped = view_contrast(torch.from_numpy(second), torch.from_numpy(first), temperature=0.2)
    assert swapped.item() != pytest.approx(loss.item(), rel=1e-3)


def test_gradients() -> None:
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(3, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    views = torch.randn(2, 3, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    excluded = torch.tensor([[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)

    def main(values: torch.Tensor) -> torch.Tensor:
        return batch_softmax(
            values,
            positive=torch.tensor([0, 2, 3]),
            weight=torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64),
            temperature=0.5,
            repeats=torch.tensor([1.0, 2.0, 1.0, 3.0], dtype=torch.float64),
            excluded=excluded,
            expected=torch.tensor([0.1, 0.5, 0.2, 1.5], dtype=torch.float64),
        )

    assert torch.autograd.gradcheck(main, scores)
    assert torch.autograd.gradcheck(
        lambda both: view_contrast(both[0], both[1], temperature=0.4), views
    )
