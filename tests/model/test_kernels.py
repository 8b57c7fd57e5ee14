"""Each hand-written kernel against its plain reference: output and all gradients.

In float64 also against finite differences, so that a reference that is wrong in the same way as its
kernel is noticed.
"""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.model.kernels.repeated_cells import (
    cell_of_row,
    cell_of_row_reference,
    sum_of_cells,
    sum_of_cells_reference,
)
from longtail.model.kernels.softmax_loss import softmax_loss, softmax_loss_reference
from longtail.model.kernels.split_by_feature import split_by_feature, split_by_feature_reference

# The allowed difference, relative to the norm of the tensor. A norm below one counts as one: the
# kernels add up numbers of about that size, and rounding does not shrink when they cancel out.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 5e-2}
DTYPES = list(TOLERANCE)
# The options of `softmax_options` that can be left out.
KINDS = ("exclusions", "infinite", "unborn")

Output = torch.Tensor | tuple[torch.Tensor, ...]


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Return random numbers that want a gradient."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return values.to(dtype).requires_grad_()


def assert_near(found: torch.Tensor, wanted: torch.Tensor, dtype: torch.dtype) -> None:
    """Compare two tensors of one shape by the norm of their difference."""
    assert found.shape == wanted.shape
    assert torch.isfinite(found).all()
    difference = (found.double() - wanted.double()).norm().item()
    assert difference <= TOLERANCE[dtype] * max(1.0, wanted.double().norm().item())


def assert_same(
    kernel: Callable[..., Output],
    reference: Callable[..., Output],
    inputs: Sequence[torch.Tensor],
    dtype: torch.dtype,
    padding: Callable[[torch.Tensor], torch.Tensor] = lambda slopes: slopes,
) -> None:
    """Hold a kernel against its reference.

    Args:
        kernel: takes the inputs.
        reference: takes the inputs in float64, which rounds nothing that matters here.
        inputs: those that want a gradient, already rounded to the dtype of the test.
        dtype: says how much the kernel may round.
        padding: sets the gradients of outputs that do not count to zero.
    """
    exact = [values.detach().double().requires_grad_() for values in inputs]
    gradients = []
    outputs = []
    for function, given_inputs in ((kernel, inputs), (reference, exact)):
        output = function(*given_inputs)
        parts = [output] if isinstance(output, torch.Tensor) else list(output)
        outputs.append(parts)
        # Neighbours get different gradients, of numbers that bfloat16 holds exactly.
        slopes = [padding(2.0 + torch.arange(p.numel()).view_as(p) % 3).to(p.dtype) for p in parts]
        gradients.append(torch.autograd.grad(parts, given_inputs, slopes))
    for found, wanted in zip(*outputs, strict=True):
        assert_near(found, wanted, dtype)
    for values, found, wanted in zip(inputs, *gradients, strict=True):
        assert found.dtype == values.dtype
        assert_near(found, wanted, dtype)


def split_options(dims: list[int], rows: int, seed: int) -> dict[str, Any]:
    """Return options with fewer rows for some features, and a scale for every other one."""
    generator = torch.Generator().manual_seed(seed)
    used = [int(torch.randint(0, rows + 1, (1,), generator=generator)) for _ in dims]
    scales = [
        torch.rand(rows, generator=generator) + 0.5 if number % 2 else None
        for number in range(len(dims))
    ]
    return {"dims": dims, "num_rows": used, "scales": scales}


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=25, deadline=None)
@given(
    dims=st.lists(st.integers(1, 5), min_size=1, max_size=5),
    rows=st.integers(0, 7),
    seed=st.integers(0, 1000),
)
def test_split_by_feature(dims: list[int], rows: int, seed: int, dtype: torch.dtype) -> None:
    """The lookup is float32 and the parts go on in the dtype of the products."""
    options = split_options(dims, rows, seed)
    values = normal(seed, rows, sum(dims), dtype=torch.float64)
    if dtype != torch.float64:
        values = normal(seed, rows, sum(dims), dtype=torch.float32)
    parts = split_by_feature(values, dtype=dtype, **options)
    assert [part.shape for part in parts] == list(zip(options["num_rows"], dims, strict=True))
    assert all(part.dtype == dtype for part in parts)
    kernel = partial(split_by_feature, dtype=dtype, **options)
    reference = partial(split_by_feature_reference, dtype=torch.float64, **options)
    assert_same(kernel, reference, [values], dtype)


def test_split_by_feature_passes_a_gradient_check() -> None:
    options = split_options([3, 1, 2], 4, 1)
    options["num_rows"] = [4, 2, 0]
    options["scales"] = [None if s is None else s.double() for s in options["scales"]]
    split = partial(split_by_feature, dtype=torch.float64, **options)
    assert torch.autograd.gradcheck(split, [normal(2, 4, 6)])


def test_the_gradient_of_rows_that_a_feature_does_not_have_is_zero() -> None:
    """The gradient is written into memory that was not cleared."""
    values = normal(0, 5, 3)
    first, second = split_by_feature(values, [1, 2], [2, 4], [None, torch.ones(5)], torch.float64)
    (first.sum() + second.sum()).backward()
    wanted = [[1.0, 1, 1], [1, 1, 1], [0, 1, 1], [0, 1, 1], [0, 0, 0]]
    assert values.grad is not None
    assert values.grad.tolist() == wanted


class Cells:
    """Features of some rows that share cells, some of which no row has.

    The last `num_padding` rows have a cell, and do not count.
    """

    def __init__(self, num_cells: list[int], num_rows: int, num_padding: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.num_cells, self.num_rows = num_cells, num_rows
        self.of_row, self.rows, self.starts = [], [], []
        for count in num_cells:
            of_row = torch.randint(0, count, (num_rows + num_padding,), generator=generator)
            self.of_row.append(of_row)
            rows = [r for cell in range(count) for r in range(num_rows) if of_row[r] == cell]
            self.rows.append(torch.tensor(rows, dtype=torch.int64))
            before = [sum(int(of_row[r]) < cell for r in range(num_rows)) for cell in range(count)]
            self.starts.append(torch.tensor(before, dtype=torch.int64))

    def together(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return `of_row`, `rows` and `starts` with the cells of all features numbered in turn."""
        features = range(len(self.num_cells))
        of_row = [self.of_row[n] + sum(self.num_cells[:n]) for n in features]
        starts = [self.starts[n] + n * self.num_rows for n in features]
        return torch.stack(of_row, dim=1), torch.cat(self.rows), torch.cat(starts)

    def padding(self, slopes: torch.Tensor) -> torch.Tensor:
        """Set the rows that do not count to zero."""
        counts = torch.arange(len(slopes)) < self.num_rows
        return slopes * counts[:, None]


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=25, deadline=None)
@given(
    num_cells=st.integers(1, 6),
    num_rows=st.integers(0, 12),
    num_padding=st.integers(0, 3),
    dim=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_cell_of_row(
    num_cells: int, num_rows: int, num_padding: int, dim: int, seed: int, dtype: torch.dtype
) -> None:
    layout = Cells([num_cells], num_rows, num_padding, seed)
    options = {"of_row": layout.of_row[0], "rows": layout.rows[0], "starts": layout.starts[0]}
    cells = normal(seed, num_cells, dim, dtype=dtype)
    kernel, reference = partial(cell_of_row, **options), partial(cell_of_row_reference, **options)
    assert_same(kernel, reference, [cells], dtype, layout.padding)


def test_cell_of_row_passes_a_gradient_check() -> None:
    layout = Cells([4], 9, 0, 3)
    options = {"of_row": layout.of_row[0], "rows": layout.rows[0], "starts": layout.starts[0]}
    assert torch.autograd.gradcheck(partial(cell_of_row, **options), [normal(1, 4, 2)])


def sum_with(
    function: Callable[..., torch.Tensor], layout: Cells, columns: list[slice]
) -> Callable[..., torch.Tensor]:
    """Return the sum of cells as a function of the weight and of each feature's cells."""
    of_row, rows, starts = layout.together()
    return lambda weight, *cells: function(weight, columns, of_row, rows, starts, cells)


def columns_of(dims: list[int]) -> list[slice]:
    """Return a slice for each feature; a column before each belongs to none of them."""
    ends = [sum(dims[: n + 1]) + n + 1 for n in range(len(dims))]
    return [slice(end - dim, end) for end, dim in zip(ends, dims, strict=True)]


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=25, deadline=None)
@given(
    features=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 4)), min_size=1, max_size=4),
    num_rows=st.integers(0, 12),
    num_padding=st.integers(0, 3),
    width=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_sum_of_cells(
    features: list[tuple[int, int]],
    num_rows: int,
    num_padding: int,
    width: int,
    seed: int,
    dtype: torch.dtype,
) -> None:
    """Weights stay float32 where the products, and so the cells, are bfloat16."""
    layout = Cells([count for count, _ in features], num_rows, num_padding, seed)
    columns = columns_of([dim for _, dim in features])
    weight = normal(seed, width, columns[-1].stop, dtype=torch.float64)
    if dtype != torch.float64:
        # Rounded as the products see it, so that only their own rounding is measured.
        weight = weight.detach().to(dtype).float().requires_grad_()
    cells = [normal(seed + n, count, dim, dtype=dtype) for n, (count, dim) in enumerate(features)]
    kernel = sum_with(sum_of_cells, layout, columns)
    reference = sum_with(sum_of_cells_reference, layout, columns)
    assert kernel(weight, *cells).dtype == dtype
    assert_same(kernel, reference, [weight, *cells], dtype, layout.padding)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=25, deadline=None)
@given(
    features=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 4)), min_size=1, max_size=4),
    num_rows=st.integers(0, 12),
    num_padding=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_sum_of_cells_of_rows_that_have_some_of_them(
    features: list[tuple[int, int]],
    num_rows: int,
    num_padding: int,
    seed: int,
    dtype: torch.dtype,
) -> None:
    """Split the cells of each row at random between two rows, one in each of two parts."""
    layout = Cells([count for count, _ in features], num_rows, num_padding, seed)
    size = num_rows + num_padding
    generator = torch.Generator().manual_seed(seed)
    part = torch.randint(0, 2, (size, len(features)), generator=generator)
    columns = columns_of([dim for _, dim in features])
    of_row, _, starts = layout.together()
    bags = [of_row[r][part[r] == p] for p in (0, 1) for r in range(size)]
    lengths = torch.tensor([bag.numel() for bag in bags])
    options = {
        "of_row": torch.cat(bags),
        "rows": torch.cat([r + size * part[r, n] for n, r in enumerate(layout.rows)]),
        "starts": starts,
        "offsets": lengths.cumsum(0) - lengths,
    }
    weight = normal(seed, 3, columns[-1].stop, dtype=torch.float64)
    if dtype != torch.float64:
        weight = weight.detach().to(dtype).float().requires_grad_()
    cells = [normal(seed + n, count, dim, dtype=dtype) for n, (count, dim) in enumerate(features)]

    def padding(slopes: torch.Tensor) -> torch.Tensor:
        return torch.cat([layout.padding(part) for part in slopes.split(size)])

    def with_bags(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        return lambda weight, *cells: function(weight, columns, cells=cells, **options)

    kernel, reference = with_bags(sum_of_cells), with_bags(sum_of_cells_reference)
    assert_same(kernel, reference, [weight, *cells], dtype, padding)
    # Both parts of a row together are the row.
    first, second = reference(weight.double(), *(c.double() for c in cells)).split(size)
    whole = sum_with(sum_of_cells_reference, layout, columns)
    assert_near(first + second, whole(weight.double(), *(c.double() for c in cells)), torch.float64)


def test_sum_of_cells_passes_a_gradient_check() -> None:
    layout, columns = Cells([3, 1, 4], 7, 0, 5), columns_of([2, 3, 1])
    inputs = [normal(1, 3, columns[-1].stop), normal(2, 3, 2), normal(3, 1, 3), normal(4, 4, 1)]
    assert torch.autograd.gradcheck(sum_with(sum_of_cells, layout, columns), inputs)


def softmax_options(
    num_queries: int,
    num_candidates: int,
    seed: int,
    *,
    exclusions: bool = True,
    infinite: bool = True,
    unborn: bool = True,
) -> dict[str, Any]:
    """Return the options of a random loss.

    Args:
        num_queries: N.
        num_candidates: C.
        seed: of the random numbers.
        exclusions: whether some pairs are excluded, positives among them.
        infinite: whether every third bias is -inf, that of positives among them.
        unborn: whether every other candidate is unborn for some queries.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    pairs = uniform(num_queries, num_candidates) < (0.3 if exclusions else 0.0)
    bias = uniform(num_candidates) * 4 - 2
    if infinite:
        bias[::3] = float("-inf")
    late = torch.arange(0, num_candidates, 2)
    is_unborn = uniform(num_queries, len(late)) < 0.4
    share = uniform(num_queries)
    share[3::4] = 0.0
    return {
        "positive": torch.randint(0, num_candidates, (num_queries,), generator=generator),
        "bias": bias,
        "positive_bias": uniform(num_queries) * 4 - 2,
        "share": share,
        "excluded": pairs.nonzero(as_tuple=True),
        "unborn": (late, is_unborn) if unborn else None,
    }


def in_dtype(options: dict[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """Return the options with numbers of a dtype."""
    numbers = ("bias", "positive_bias", "share")
    return {name: v.to(dtype) if name in numbers else v for name, v in options.items()}


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=40, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4)),
    seed=st.integers(0, 1000),
    has=st.fixed_dictionaries({kind: st.booleans() for kind in KINDS}),
)
def test_softmax_loss(
    sizes: tuple[int, int, int], seed: int, has: dict[str, bool], dtype: torch.dtype
) -> None:
    """Round only the gradient's products to bfloat16: the vectors are float32 then."""
    num_queries, num_candidates, dim = sizes
    vector_dtype = torch.float64 if dtype == torch.float64 else torch.float32
    options = in_dtype(softmax_options(num_queries, num_candidates, seed, **has), vector_dtype)
    inputs = [
        normal(seed, num_queries, dim, dtype=vector_dtype),
        normal(seed + 1, num_candidates, dim, dtype=vector_dtype),
    ]
    kernel = partial(softmax_loss, product_dtype=dtype, **options)
    reference = partial(softmax_loss_reference, **in_dtype(options, torch.float64))
    assert_same(kernel, reference, inputs, dtype)


@pytest.mark.parametrize("has", list(itertools.product([True, False], repeat=len(KINDS))))
def test_softmax_loss_passes_a_gradient_check(has: tuple[bool, ...]) -> None:
    options = softmax_options(5, 7, 3, **dict(zip(KINDS, has, strict=True)))
    loss = partial(softmax_loss, **options)
    assert torch.autograd.gradcheck(loss, [normal(1, 5, 3), normal(2, 7, 3)])


@pytest.mark.parametrize("num_queries", [64, 65, 150])
def test_parts_of_the_queries_add_up(num_queries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave room for one logit: a part has 64 queries, and the last one may be short."""
    monkeypatch.setattr("longtail.model.kernels.softmax_loss._LOGITS_AT_ONCE", 1)
    options = softmax_options(num_queries, 11, 4)
    assert len(options["excluded"][0]) > num_queries
    kernel, reference = partial(softmax_loss, **options), partial(softmax_loss_reference, **options)
    inputs = [normal(1, num_queries, 3), normal(2, 11, 3)]
    assert_same(kernel, reference, inputs, torch.float64)


def test_softmax_loss_of_a_positive_alone_is_zero() -> None:
    """Leave out every negative: the positive has all of the probability."""
    everything = torch.ones(3, 4, dtype=torch.bool).nonzero(as_tuple=True)
    inputs = [normal(1, 3, 2), normal(2, 4, 2)]
    options = {**softmax_options(3, 4, 1, unborn=False), "excluded": everything}
    loss = softmax_loss(*inputs, **options)
    assert loss.item() == 0.0
    assert not any(gradient.any() for gradient in torch.autograd.grad(loss, inputs))


def test_softmax_loss_without_gradients_is_the_same_number() -> None:
    options = softmax_options(5, 7, 3)
    inputs = [normal(1, 5, 3), normal(2, 7, 3)]
    with torch.no_grad():
        loss = softmax_loss(*inputs, **options)
    assert not loss.requires_grad
    assert loss.item() == softmax_loss(*inputs, **options).item()
