"""The towers against passes without shortcuts, and against loops over single cells."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.augmentation.masks import Mask
from longtail.model.repeated_features import Inputs, Repeated, by_row
from longtail.model.towers import Tower

DIMS = [3, 2, 4, 1]
FLAGS = list(itertools.product([False, True], repeat=len(DIMS)))


def tower() -> Tower:
    torch.manual_seed(0)
    return Tower(DIMS, hidden=[6, 5], output_dim=3).double()


def inputs(batch: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return values, the same with zeros where a feature is missing, and which are present."""
    generator = torch.Generator().manual_seed(2)
    present = torch.rand(batch, len(DIMS), generator=generator) > 0.3
    columns = present.repeat_interleave(torch.tensor(DIMS), dim=1)
    values = torch.randn(batch, sum(DIMS), generator=generator, dtype=torch.float64)
    values.requires_grad_()
    return values, values * columns, present


def filled_by_hand(
    model: Tower, pooled: torch.Tensor, present: torch.Tensor, hidden: tuple[bool, ...]
) -> torch.Tensor:
    """Return each cell's embedding, or the default where it is missing or hidden."""
    rows = []
    for row in range(len(pooled)):
        cells, start = [], 0
        for feature, dim in enumerate(DIMS):
            shown = bool(present[row, feature]) and not hidden[feature]
            source = pooled[row] if shown else model.default
            cells.append(source[start : start + dim])
            start += dim
        rows.append(torch.cat(cells))
    return torch.stack(rows)


def parts(pooled: torch.Tensor, present: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Return the two arguments that a tower takes."""
    return list(pooled.split(DIMS, dim=1)), (~present).to(pooled.dtype)


def with_cells(
    pooled: torch.Tensor, present: torch.Tensor, features: tuple[int, ...]
) -> tuple[tuple[Inputs, torch.Tensor], tuple[list[torch.Tensor], torch.Tensor]]:
    """Give some features by three cells: even rows have the first, odd rows the second.

    Returns:
        The arguments of a tower with repeated cells, and the same ones row by row.
    """
    by_cell, missing = parts(pooled, present)
    expanded, absent = [*by_cell], missing.clone()
    inputs: list[torch.Tensor | Repeated] = [*by_cell]
    of_row = torch.arange(len(missing)) % 2
    num_even = int((of_row == 0).sum())
    for feature in features:
        values, none = by_cell[feature][:3], missing[:3, feature]
        starts = torch.tensor([0, num_even, len(of_row)])
        rows = of_row.argsort(stable=True)
        inputs[feature] = Repeated(values, none, of_row, rows, starts)
        expanded[feature] = torch.stack([values[cell] for cell in of_row.tolist()])
        absent[:, feature] = torch.stack([none[cell] for cell in of_row.tolist()])
    unread = missing.clone()
    unread[:, list(features)] = float("nan")
    return (inputs, unread), (expanded, absent)


def same_gradients(
    model: Tower, values: torch.Tensor, left: torch.Tensor, right: torch.Tensor
) -> bool:
    """Return whether a nonlinear function of two outputs has the same gradients everywhere."""
    wanted = [*model.parameters(), values]
    weights = torch.arange(1.0, left.numel() + 1, dtype=torch.float64).view_as(left)
    gradients = [
        torch.autograd.grad(
            (output.tanh() * weights).sum(), wanted, retain_graph=True, materialize_grads=True
        )
        for output in (left, right)
    ]
    return all(torch.allclose(a, b, atol=1e-10) for a, b in zip(*gradients, strict=True))


def test_vectors_have_unit_length() -> None:
    _, pooled, present = inputs(7)
    vectors = tower()(*parts(pooled, present))
    assert vectors.shape == (7, 3)
    assert vectors.norm(dim=1).tolist() == pytest.approx([1.0] * 7)


def test_a_tower_is_its_matrices() -> None:
    model = tower()
    _, pooled, present = inputs(5)
    hidden = filled_by_hand(model, pooled, present, (False,) * 4).detach().numpy()
    layers = [model.input_layer, *model.layers]
    for number, layer in enumerate(layers):
        hidden = hidden @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        if number < len(layers) - 1:
            hidden = np.maximum(hidden, 0)
    wanted = hidden / np.sqrt((hidden**2).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(model(*parts(pooled, present)).detach().numpy(), wanted, atol=1e-12)


@pytest.mark.parametrize("hidden", [None, *FLAGS])
def test_a_missing_or_hidden_feature_is_its_learned_default(
    hidden: tuple[bool, ...] | None,
) -> None:
    model = tower()
    values, pooled, present = inputs(6)
    masked = model.first(*parts(pooled, present), hidden=hidden)
    filled = filled_by_hand(model, pooled, present, hidden or (False,) * 4)
    wanted = model.input_layer(filled)
    assert torch.allclose(masked, wanted, atol=1e-12)
    assert same_gradients(model, values, model.rest(masked), model.rest(wanted))


@pytest.mark.parametrize("hidden_in", list(itertools.product([0, 1, 2], repeat=4)))
def test_three_views_in_one_pass_equal_three_passes(hidden_in: tuple[int, ...]) -> None:
    """Hide each feature in neither view (0), in the first view (1), or in the second (2)."""
    model = tower()
    values, pooled, present = inputs(6)
    mask = Mask(tuple(v == 1 for v in hidden_in), tuple(v == 2 for v in hidden_in))
    masked, unmasked = slice(2, 5), slice(0, 4)

    def plain_pass(hidden: tuple[bool, ...], rows: slice) -> torch.Tensor:
        filled = filled_by_hand(model, pooled, present, hidden)
        return model.rest(model.input_layer(filled[rows]))

    wanted = [
        *(plain_pass(hidden, masked) for hidden in (mask.first, mask.second)),
        plain_pass((False,) * 4, unmasked),
    ]
    first_layers = model.first_of_views(
        *parts(pooled, present), [mask], [6], masked=masked, unmasked=unmasked
    )
    views = [model.rest(view) for view in first_layers]
    for view, reference in zip(views, wanted, strict=True):
        assert torch.allclose(view, reference, atol=1e-12)
        assert same_gradients(model, values, view, reference)
    assert same_gradients(model, values, torch.cat(views), torch.cat(wanted))


@pytest.mark.parametrize("features", [(0,), (1, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("hidden_in", [(0, 0, 0, 0), (1, 2, 1, 2), (0, 1, 2, 0)])
def test_repeated_cells_give_the_views_of_their_rows(
    hidden_in: tuple[int, ...], features: tuple[int, ...]
) -> None:
    model = tower()
    values, pooled, present = inputs(6)
    mask = Mask(tuple(v == 1 for v in hidden_in), tuple(v == 2 for v in hidden_in))
    in_cells, in_rows = with_cells(pooled, present, features)

    def views(pooled: Inputs, missing: torch.Tensor) -> list[torch.Tensor]:
        return [
            model(pooled, missing),
            model.first(pooled, missing, hidden=mask.first),
            model.first(*by_row(pooled, missing), hidden=mask.second),
            *model.first_of_views(
                pooled, missing, [mask], [6], masked=slice(2, 5), unmasked=slice(0, 4)
            ),
        ]

    for one, other in zip(views(*in_rows), views(*in_cells), strict=True):
        assert torch.allclose(one, other, atol=1e-12)
        assert same_gradients(model, values, one, other)


def random_masks(seed: int, num_masks: int, hidden_in: tuple[int, ...]) -> list[Mask]:
    """Return masks that hide each feature in one of the given views, 0 being neither."""
    drawn = np.random.default_rng(seed).choice(hidden_in, (num_masks, len(DIMS))).tolist()
    return [Mask(tuple(v == 1 for v in row), tuple(v == 2 for v in row)) for row in drawn]


@pytest.mark.parametrize("features", [(), (0,), (1, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("hidden_in", [(1, 2), (0, 1, 2)])
@pytest.mark.parametrize("sizes", [[3, 3, 3], [4, 2, 3], [1, 1, 7], [5, 4, 0]])
def test_groups_with_masks_of_their_own_equal_passes_of_their_own(
    sizes: list[int], hidden_in: tuple[int, ...], features: tuple[int, ...]
) -> None:
    """Compare each group with the pass that has its mask for all rows."""
    model = tower()
    values, pooled, present = inputs(9)
    in_cells, in_rows = with_cells(pooled, present, features)
    ends = [sum(sizes[: n + 1]) for n in range(len(sizes))]
    groups = [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]
    for seed in range(4):
        masks = random_masks(seed, len(sizes), hidden_in)
        masked, unmasked = slice(2, 8), slice(0, 7)
        found = model.first_of_views(*in_cells, masks, sizes, masked=masked, unmasked=unmasked)
        alone = [
            model.first_of_views(*in_rows, [mask], [9], masked=slice(0, 9), unmasked=slice(0, 9))
            for mask in masks
        ]
        wanted = [
            torch.cat([views[n][rows] for views, rows in zip(alone, groups, strict=True)])[part]
            for n, part in enumerate((masked, masked, unmasked))
        ]
        for one, other in zip(found, wanted, strict=True):
            assert torch.allclose(one, other, atol=1e-12)
        assert same_gradients(model, values, torch.cat(found), torch.cat(wanted))


@pytest.mark.parametrize("sizes", [[2, 4, 3], [9, 0, 0]])
def test_rows_that_hide_features_by_group(sizes: list[int]) -> None:
    model = tower()
    values, pooled, present = inputs(9)
    hidden = [FLAGS[3], FLAGS[15], FLAGS[0]]
    found = model.first_by_group(*parts(pooled, present), hidden, sizes)
    filled = torch.cat(
        [
            filled_by_hand(model, *group, flags)
            for *group, flags in zip(pooled.split(sizes), present.split(sizes), hidden, strict=True)
            if len(group[0])
        ]
    )
    wanted = model.input_layer(filled)
    assert torch.allclose(found, wanted, atol=1e-12)
    assert same_gradients(model, values, found, wanted)


@pytest.mark.parametrize("expand", [True, False])
def test_a_cell_of_many_rows_keeps_its_gradient_in_low_precision(expand: bool) -> None:
    """Add up 3,000 ones, which bfloat16 stops counting at 256."""
    num_rows = 3000
    model = Tower([4, 3], hidden=[5], output_dim=2)
    of_row = torch.zeros(num_rows, dtype=torch.int64)
    values = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        cells = values.detach().to(dtype, copy=True).requires_grad_()
        starts = torch.tensor([0, *[num_rows] * 63])
        feature = Repeated(cells, cells.new_zeros(64), of_row, torch.arange(num_rows), starts)
        inputs: Inputs = [feature, torch.ones(num_rows, 3, dtype=dtype)]
        missing = torch.zeros(num_rows, 2, dtype=dtype)
        with torch.autocast("cpu", enabled=dtype == torch.bfloat16):
            first = model.first(*(by_row(inputs, missing) if expand else (inputs, missing)))
        first.backward(torch.ones_like(first))
        assert cells.grad is not None
        gradients.append(cells.grad[0].float())
    assert torch.allclose(*gradients, rtol=0.02)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), dims=st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_three_views_of_any_tower(data: st.DataObject, dims: list[int]) -> None:
    hidden_in = [data.draw(st.integers(0, 2)) for _ in dims]
    torch.manual_seed(data.draw(st.integers(0, 1000)))
    model = Tower(dims, hidden=[4], output_dim=2).double()
    filled = torch.randn(3, sum(dims), dtype=torch.float64)
    nothing_missing = torch.zeros(3, len(dims), dtype=torch.float64)
    mask = Mask(tuple(v == 1 for v in hidden_in), tuple(v == 2 for v in hidden_in))
    assert mask.is_complementary
    views = model.first_of_views(
        filled.split(dims, dim=1), nothing_missing, [mask], [3], masked=slice(3), unmasked=slice(3)
    )
    for view, hidden in zip(views, (mask.first, mask.second, [False] * len(dims)), strict=True):
        inputs = filled.clone()
        for feature, is_hidden in enumerate(hidden):
            if is_hidden:
                inputs[:, model.columns(feature)] = model.default[model.columns(feature)]
        assert torch.allclose(view, model.input_layer(inputs), atol=1e-12)
