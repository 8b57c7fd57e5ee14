import itertools

import pytest
import torch

from longtail.model.augmentation import CorrelatedMasking, Mask
from longtail.model.towers import Tower

DIMS = [3, 2, 4, 1]


def tower() -> Tower:
    torch.manual_seed(0)
    return Tower(DIMS, hidden=[6, 5], output_dim=3).double()


def inputs(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    present = torch.rand(batch, len(DIMS), generator=generator) > 0.3
    columns = present.repeat_interleave(torch.tensor(DIMS), dim=1)
    values = torch.randn(batch, sum(DIMS), generator=generator, dtype=torch.float64)
    return values * columns, present


def test_vectors_have_unit_length() -> None:
    vectors = tower()(*inputs(7))
    assert vectors.shape == (7, 3)
    assert vectors.norm(dim=1).tolist() == pytest.approx([1.0] * 7)


def test_a_missing_feature_is_its_learned_default() -> None:
    model = tower()
    pooled, present = inputs(5)
    filled = model.fill(pooled, present)
    start = 0
    for position, dim in enumerate(DIMS):
        columns = slice(start, start + dim)
        for row in range(5):
            wanted = pooled[row, columns] if present[row, position] else model.default[columns]
            assert torch.allclose(filled[row, columns], wanted)
        start += dim


@pytest.mark.parametrize("hidden_in", list(itertools.product([0, 1, 2], repeat=4)))
def test_three_views_in_one_pass_equal_three_passes(hidden_in: tuple[int, ...]) -> None:
    model = tower()
    pooled, present = inputs(6)
    mask = Mask(tuple(v == 1 for v in hidden_in), tuple(v == 2 for v in hidden_in))

    def plain_pass(visible: torch.Tensor) -> torch.Tensor:
        columns = visible.repeat_interleave(torch.tensor(DIMS))
        return model.rest(model.first(model.fill(pooled * columns, present & visible)))

    hidden = [(False,) * 4, mask.first, mask.second]
    wanted = [plain_pass(~torch.tensor(flags)) for flags in hidden]
    views = [model.rest(view) for view in model.first_by_mask(model.fill(pooled, present), mask)]
    for view, reference in zip(views, wanted, strict=True):
        assert torch.allclose(view, reference, atol=1e-12)

    shortcut = sum(view.square().sum() * (n + 1) for n, view in enumerate(v[:, 0] for v in views))
    plain = sum(view.square().sum() * (n + 1) for n, view in enumerate(v[:, 0] for v in wanted))
    parameters = list(model.parameters())
    for got, reference in zip(
        torch.autograd.grad(shortcut, parameters),
        torch.autograd.grad(plain, parameters),
        strict=True,
    ):
        assert torch.allclose(got, reference, atol=1e-10)


def test_masks_follow_the_plan() -> None:
    plan = {"a": ["a", "c"], "b": ["b"], "c": ["c", "b"]}
    assert CorrelatedMasking(["a", "b", "c"], plan).masks == [
        Mask((True, False, True), (False, True, False)),
        Mask((False, True, False), (True, False, True)),
        Mask((False, True, True), (True, False, False)),
    ]


def test_what_the_plan_never_masks_is_hidden_in_neither_view() -> None:
    assert CorrelatedMasking(["kept", "a", "b"], {"a": ["a"], "b": ["b"]}).masks == [
        Mask((False, True, False), (False, False, True)),
        Mask((False, False, True), (False, True, False)),
    ]
