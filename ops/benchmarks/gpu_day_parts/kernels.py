"""Every hand-written kernel on the device against its plain reference: output and gradients."""

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from gpu_day_parts.day import Day, Failed
from gpu_day_parts.small_training import device_of

import longtail.model.kernels
from longtail.model.kernels.repeated_cells import (
    cell_of_row,
    cell_of_row_reference,
    sum_of_cells,
    sum_of_cells_reference,
)
from longtail.model.kernels.softmax_loss import softmax_loss, softmax_loss_reference
from longtail.model.kernels.split_by_feature import split_by_feature, split_by_feature_reference

# The allowed difference, relative to the norm of the tensor.
BOUNDS = {torch.float32: 1e-5, torch.bfloat16: 5e-2}
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """A kernel and inputs for it.

    Attributes:
        kernel, reference: each takes the inputs that want a gradient, and the options.
        inputs: float64, on the CPU.
        options: everything else. Their float64 tensors are rounded like the inputs.
        with_dtype: returns what the kernel, but not the reference, is told of the products' dtype.
        rounds_inputs: whether the inputs themselves are of the products' dtype.
    """

    kernel: Callable[..., Any]
    reference: Callable[..., Any]
    inputs: Sequence[torch.Tensor]
    options: dict[str, Any]
    with_dtype: Callable[[torch.dtype], dict[str, Any]] = lambda dtype: {}
    rounds_inputs: bool = True


def measure(day: Day) -> None:
    """Compare every kernel, in float32 and bfloat16.

    Raises:
        Failed: a difference is above its bound, or a kernel is not compared here.
    """
    device = device_of(day.device_type)
    cases = make_cases(rows=4096 if day.on_gpu else 256)
    missing = sorted(kernel_names() - cases.keys())
    differences: dict[str, float] = {}
    wrong = [f"{name} is not compared" for name in missing]
    for name, case in cases.items():
        for dtype, bound in BOUNDS.items():
            label = f"{name}_{str(dtype).removeprefix('torch.')}"
            wanted = outputs_and_gradients(case.reference, case, torch.float64, CPU)
            found = outputs_and_gradients(case.kernel, case, dtype, device)
            # The same kernel on the CPU differs less than its reference does: in rounding alone.
            on_cpu = outputs_and_gradients(case.kernel, case, dtype, CPU)
            differences[label] = largest_difference(found, wanted)
            differences[f"{label}_against_cpu"] = largest_difference(found, on_cpu)
            if not differences[label] <= bound:
                wrong.append(f"{label}: {differences[label]:.1e}, allowed is {bound:.0e}")
            day.record(differences=differences)
    day.record(num_kernels=len(cases))
    if wrong:
        raise Failed("; ".join(wrong))


def kernel_names() -> set[str]:
    """Return the names of all kernels: functions that have a reference beside them."""
    names = set()
    for module in pkgutil.iter_modules(longtail.model.kernels.__path__):
        found = vars(importlib.import_module(f"longtail.model.kernels.{module.name}"))
        names |= {name for name in found if f"{name}_reference" in found}
    return names


def make_cases(rows: int) -> dict[str, Case]:
    """Return a case for each kernel, with about the given number of rows."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    dims = [64, 16, 32]
    of_row = torch.stack([torch.randint(0, 50, (rows,), generator=generator) + n for n in (0, 50)])
    by_cell = [each.argsort(stable=True) for each in of_row]
    starts = [
        torch.searchsorted(each[order], torch.arange(first, first + 50))
        for each, order, first in zip(of_row, by_cell, (0, 50), strict=True)
    ]
    queries, candidates = rows // 2, rows
    pairs = (uniform(queries, candidates) < 0.01).nonzero(as_tuple=True)
    bias = uniform(candidates)
    bias[::7] = float("-inf")
    late = torch.arange(0, candidates, 5)
    return {
        "split_by_feature": Case(
            split_by_feature,
            split_by_feature_reference,
            [normal(rows, sum(dims))],
            {
                "dims": dims,
                "num_rows": [rows, rows - 5, rows // 2],
                "scales": [None, uniform(rows) + 0.5, None],
            },
            with_dtype=lambda dtype: {"dtype": dtype},
            rounds_inputs=False,
        ),
        "cell_of_row": Case(
            cell_of_row,
            cell_of_row_reference,
            [normal(50, 64)],
            {"of_row": of_row[0], "rows": by_cell[0], "starts": starts[0]},
        ),
        "sum_of_cells": Case(
            # The weight of a layer stays float32, whatever the dtype of the products is.
            lambda weight, first, second, **options: sum_of_cells(
                weight.float(), cells=(first, second), **options
            ),
            lambda weight, first, second, **options: sum_of_cells_reference(
                weight, cells=(first, second), **options
            ),
            [normal(128, 100), normal(50, 64), normal(50, 32)],
            {
                "columns": [slice(0, 64), slice(66, 98)],
                "of_row": of_row.T.contiguous(),
                "rows": torch.cat(by_cell),
                "starts": torch.cat([starts[0], starts[1] + rows]),
            },
        ),
        "softmax_loss": Case(
            softmax_loss,
            softmax_loss_reference,
            [normal(queries, 64), normal(candidates, 64)],
            {
                "positive": torch.randint(0, candidates, (queries,), generator=generator),
                "bias": bias,
                "positive_bias": uniform(queries),
                "share": uniform(queries) / queries,
                "excluded": pairs,
                "unborn": (late, uniform(queries, len(late)) < 0.4),
            },
            with_dtype=lambda dtype: {"product_dtype": dtype},
            rounds_inputs=False,
        ),
    }


def outputs_and_gradients(
    function: Callable[..., Any], case: Case, dtype: torch.dtype, device: torch.device
) -> list[torch.Tensor]:
    """Return what a function computes, and the gradients of its inputs, in float64 on the CPU.

    Args:
        function: the kernel or the reference of the case.
        case: the inputs. Those of the reference are not rounded.
        dtype: the dtype of the products. float64 means the reference.
        device: where it is computed.
    """
    exact = dtype == torch.float64
    storage = torch.float64 if exact else torch.float32
    of_inputs = dtype if case.rounds_inputs else storage
    inputs = [values.to(device, of_inputs).requires_grad_() for values in case.inputs]

    def moved(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.to(device, storage if value.is_floating_point() else value.dtype)
        if isinstance(value, list | tuple):
            return type(value)(moved(each) for each in value)
        return value

    options = {name: moved(value) for name, value in case.options.items()}
    told = case.with_dtype(dtype)
    if function is case.reference and "product_dtype" in told:
        told = {}
    output = function(*inputs, **options, **told)
    parts = [output] if isinstance(output, torch.Tensor) else list(output)
    # Neighbours get different gradients, of numbers that bfloat16 holds exactly.
    slopes = [
        (2.0 + torch.arange(p.numel(), device=device).view_as(p) % 3).to(p.dtype) for p in parts
    ]
    gradients = torch.autograd.grad(parts, inputs, slopes)
    return [each.detach().double().cpu() for each in [*parts, *gradients]]


def largest_difference(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> float:
    """Return the largest difference of two lists of tensors, relative to their norms.

    A norm below one counts as one.
    """
    return max(
        float((a - b).norm() / max(1.0, float(b.norm())))
        for a, b in zip(found, wanted, strict=True)
    )
