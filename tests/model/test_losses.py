"""The losses against loops in float64 that share no code with them."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.model.losses import batch_softmax, view_contrast
from tests.model.loops import Candidate, Example, contrast_loss, main_loss

# What happens to the positive's logit.
POSITIVES = [{"correct_positive": True}, {"correct_positive": False}, {"positive_is_certain": True}]


class Case:
    """A random batch, once as lists of examples and candidates, and once as tensors.

    Items repeat among the examples, and a sampled candidate may be an item of the batch.
    """

    def __init__(self, seed: int, num_examples: int, num_sampled: int, *, corrected: bool) -> None:
        rng = np.random.default_rng(seed)
        num_items, dim = 9, 4
        vectors = rng.normal(size=(num_items, dim))
        drawn = rng.uniform(0.01, 3, num_items).tolist()
        expected = drawn if corrected else [None] * num_items
        birth = rng.integers(0, 3, num_items).tolist()

        def candidate(item: int, weight: float = 1.0) -> Candidate:
            return Candidate(item, vectors[item], expected[item], weight, birth[item])

        items = rng.integers(0, 6, num_examples).tolist()
        self.examples = [
            Example(
                rng.normal(size=dim),
                candidate(item),
                known=frozenset({item, int(rng.integers(num_items))}),
                weight=float(rng.uniform(0.1, 2)),
                timestamp=int(rng.integers(birth[item], 3)),
            )
            for item in items
        ]
        self.sampled = [
            candidate(int(item), float(rng.choice([1.0, 0.37, 2.5])))
            for item in rng.integers(0, num_items, num_sampled)
        ]
        distinct = [candidate(item) for item in sorted(set(items))]
        candidates = distinct + self.sampled
        queries = np.array([example.vector for example in self.examples])
        # The tensors have each item of the batch once, with the number of its examples.
        self.vectors = torch.from_numpy(queries), double([c.vector for c in candidates])
        self.scores = self.vectors[0] @ self.vectors[1].T
        self.tensors = {
            "positive": torch.tensor([sorted(set(items)).index(item) for item in items]),
            "weight": double([example.weight for example in self.examples]),
            "total_weight": double([example.weight for example in self.examples]).sum(),
            "repeats": double(
                [float(items.count(c.item)) for c in distinct] + [c.weight for c in self.sampled]
            ),
            "excluded": torch.tensor(
                [
                    [c.item in e.known or c.birth > e.timestamp for c in candidates]
                    for e in self.examples
                ]
            ),
            "expected": double([expected[c.item] for c in candidates]) if corrected else None,
        }


def double(values: list[float]) -> torch.Tensor:
    return torch.tensor(np.array(values), dtype=torch.float64)


def softmax_of(scores: torch.Tensor, *, excluded: torch.Tensor, **options: Any) -> torch.Tensor:
    """Return the loss of given scores, which a query has with unit vectors as candidates.

    Args:
        scores: `[N, C]`.
        excluded: `[N, C]` bool. Every other column goes in as an unborn candidate, and the others
            as excluded pairs.
        options: of `batch_softmax`.
    """
    late = torch.arange(0, scores.shape[1], 2)
    pairs = excluded.clone()
    pairs[:, late] = False
    example, candidate = pairs.nonzero(as_tuple=True)
    return batch_softmax(
        scores,
        torch.eye(scores.shape[1], dtype=scores.dtype),
        excluded=(example, candidate),
        unborn=(late, excluded[:, late]),
        **options,
    )


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("rule", POSITIVES)
@pytest.mark.parametrize("num_sampled", [0, 7])
@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    num_examples=st.integers(1, 12),
    temperature=st.sampled_from([0.02, 0.3, 1.0]),
)
def test_batch_softmax_equals_the_loop(
    seed: int,
    num_examples: int,
    num_sampled: int,
    temperature: float,
    strength: float,
    rule: dict[str, bool],
) -> None:
    case = Case(seed, num_examples, num_sampled, corrected=True)
    options: dict[str, Any] = {"temperature": temperature, **rule}
    loss = softmax_of(case.scores, **case.tensors, logq_strength=strength, **options)
    reference = main_loss(case.examples, case.sampled, strength=strength, **options)
    assert loss.item() == pytest.approx(reference, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("num_sampled", [0, 7])
def test_batch_softmax_without_correction_equals_the_loop(num_sampled: int) -> None:
    case = Case(3, 12, num_sampled, corrected=False)
    for strength in (0.0, 1.0):
        loss = softmax_of(case.scores, **case.tensors, temperature=0.3, logq_strength=strength)
        reference = main_loss(case.examples, case.sampled, temperature=0.3)
        assert loss.item() == pytest.approx(reference, rel=1e-9)


def test_strength_zero_is_no_correction_and_one_is_the_default() -> None:
    case, plain = Case(5, 9, 4, corrected=True), Case(5, 9, 4, corrected=False)
    tensors = {**plain.tensors, "expected": case.tensors["expected"]}
    none = softmax_of(plain.scores, **plain.tensors, temperature=0.3)
    zero = softmax_of(plain.scores, **tensors, temperature=0.3, logq_strength=0.0)
    one = softmax_of(plain.scores, **tensors, temperature=0.3, logq_strength=1.0)
    full = softmax_of(plain.scores, **tensors, temperature=0.3)
    assert zero.item() == pytest.approx(none.item(), rel=1e-12)
    assert one.item() == full.item() != pytest.approx(none.item(), rel=1e-3)


def test_a_candidate_that_counts_half_twice_counts_once() -> None:
    case = Case(6, 8, 5, corrected=True)
    halves = dict(case.tensors)
    last = case.scores.shape[1] - 1
    halves["repeats"] = torch.cat([case.tensors["repeats"], case.tensors["repeats"][last:] / 2])
    halves["repeats"][last] /= 2
    for name in ("expected", "excluded"):
        halves[name] = torch.cat([case.tensors[name], case.tensors[name][..., last:]], dim=-1)
    scores = torch.cat([case.scores, case.scores[:, last:]], dim=1)
    whole = softmax_of(case.scores, **case.tensors, temperature=0.1)
    assert softmax_of(scores, **halves, temperature=0.1).item() == pytest.approx(whole.item())


@pytest.mark.parametrize("temperature", [1.0, 0.01])
def test_a_candidate_of_weight_zero_is_none(temperature: float) -> None:
    case = Case(7, 8, 0, corrected=True)
    without = softmax_of(case.scores, **case.tensors, temperature=temperature)
    # It would be the best candidate of every query.
    scores = torch.cat([case.scores, case.scores.max() + torch.ones(8, 1)], dim=1)
    scores.requires_grad_()
    tensors = dict(case.tensors)
    tensors["repeats"] = torch.cat([tensors["repeats"], double([0.0])])
    tensors["expected"] = torch.cat([tensors["expected"], double([0.02])])
    tensors["excluded"] = torch.cat([tensors["excluded"], torch.zeros(8, 1, dtype=bool)], dim=1)
    loss = softmax_of(scores, **tensors, temperature=temperature)
    assert loss.item() == pytest.approx(without.item(), rel=1e-12)
    loss.backward()
    assert torch.isfinite(scores.grad).all()
    assert not scores.grad[:, -1].any()


def test_examples_of_weight_zero_count_for_nothing() -> None:
    case = Case(8, 6, 3, corrected=True)
    tensors = dict(case.tensors)
    tensors["weight"] = tensors["weight"] * double([1, 1, 0, 1, 0, 0])
    loss = softmax_of(case.scores, **tensors, temperature=0.3)
    kept = torch.tensor([0, 1, 3])
    for name in ("positive", "weight", "excluded"):
        tensors[name] = tensors[name][kept]
    fewer = softmax_of(case.scores[kept], **tensors, temperature=0.3)
    assert loss.item() == pytest.approx(fewer.item(), rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), num_items=st.integers(1, 9))
def test_view_contrast_equals_the_loop(seed: int, num_items: int) -> None:
    first, second = np.random.default_rng(seed).normal(size=(2, num_items, 3))
    loss = view_contrast(torch.from_numpy(first), torch.from_numpy(second), temperature=0.2)
    reference = contrast_loss(list(first), list(second), 0.2)
    assert loss.item() == pytest.approx(reference, rel=1e-9, abs=1e-9)


def test_view_contrast_goes_one_way_only() -> None:
    first, second = torch.from_numpy(np.random.default_rng(4).normal(size=(2, 5, 3)))
    there = view_contrast(first, second, temperature=0.2)
    back = view_contrast(second, first, temperature=0.2)
    assert there.item() != pytest.approx(back.item(), rel=1e-3)


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("rule", POSITIVES)
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_gradients_of_softmax_of(corrected: bool, rule: dict[str, bool], strength: float) -> None:
    case = Case(1, 5, 4, corrected=corrected)
    options = {"temperature": 0.5, "logq_strength": strength, **rule}
    excluded = case.tensors.pop("excluded").nonzero(as_tuple=True)
    assert torch.autograd.gradcheck(
        lambda queries, candidates: batch_softmax(
            queries, candidates, excluded=excluded, **case.tensors, **options
        ),
        [vectors.requires_grad_() for vectors in case.vectors],
    )


@pytest.mark.parametrize("num_sampled", [0, 7])
def test_scores_are_products_of_the_vectors(num_sampled: int) -> None:
    case = Case(4, 9, num_sampled, corrected=True)
    of_scores = softmax_of(case.scores, **case.tensors, temperature=0.3)
    excluded = case.tensors.pop("excluded").nonzero(as_tuple=True)
    loss = batch_softmax(*case.vectors, excluded=excluded, **case.tensors, temperature=0.3)
    assert loss.item() == pytest.approx(of_scores.item(), rel=1e-12)


def test_parts_of_the_rows_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Split 150 rows into parts of 64, so that the last one is short."""
    case = Case(6, 150, 7, corrected=True)
    vectors = [vectors.requires_grad_() for vectors in case.vectors]
    excluded = case.tensors.pop("excluded").nonzero(as_tuple=True)
    found = []
    for at_once in (1, 1 << 22):
        monkeypatch.setattr("longtail.model.kernels.softmax_loss._LOGITS_AT_ONCE", at_once)
        loss = batch_softmax(*vectors, excluded=excluded, **case.tensors, temperature=0.3)
        found.append((loss.item(), *torch.autograd.grad(loss, vectors)))
    for parts, whole in zip(*found, strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("num_sampled", [0, 30])
def test_gradients_of_low_precision_are_near(num_sampled: int) -> None:
    case = Case(2, 40, num_sampled, corrected=True)
    vectors = [torch.nn.functional.normalize(v).requires_grad_() for v in case.vectors]
    excluded = case.tensors.pop("excluded").nonzero(as_tuple=True)
    gradients = []
    for dtype in (None, torch.bfloat16):
        loss = batch_softmax(
            *vectors, excluded=excluded, **case.tensors, temperature=0.1, product_dtype=dtype
        )
        gradients.append(torch.cat([g.ravel() for g in torch.autograd.grad(loss, vectors)]))
    exact, near = gradients
    assert 0 < (near - exact).norm() / exact.norm() < 0.01


def test_gradients_of_view_contrast() -> None:
    generator = torch.Generator().manual_seed(1)
    views = torch.randn(2, 3, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda both: view_contrast(both[0], both[1], temperature=0.4), views
    )
