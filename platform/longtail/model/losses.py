"""The two terms of the loss: batch softmax over candidates, and the contrast of two views."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd.function import once_differentiable

# On a CPU, 16 MiB of them: fewer make each matrix product less efficient.
_LOGITS_AT_ONCE = 1 << 22


def batch_softmax(
    queries: torch.Tensor,
    candidates: torch.Tensor,
    *,
    positive: torch.Tensor,
    weight: torch.Tensor,
    total_weight: torch.Tensor,
    temperature: float,
    repeats: torch.Tensor,
    excluded: tuple[torch.Tensor, torch.Tensor],
    unborn: tuple[torch.Tensor, torch.Tensor] | None = None,
    expected: torch.Tensor | None = None,
    logq_strength: float = 1.0,
    correct_positive: bool = True,
    product_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Batch softmax with logQ correction (Yi et al. 2019) and without accidental hits.

    Each of C candidates stands once; one that the batch holds m times counts m times, which is
    what a softmax over all examples' items would give, column by column. The positive counts
    once: its repeats are accidental hits.

    Args:
        queries: `[N, d]` unit vectors.
        candidates: `[C, d]` unit vectors; the score is the cosine of query and candidate.
        positive: `[N]` int64, the candidate that is each example's item.
        weight: `[N]`; where all are zero, so is the loss.
        total_weight: scalar, what the weighted sum over examples is divided by.
        temperature: tau.
        repeats: `[C]`, how often each candidate counts: how often it stands in the batch, times
            the weight of a negative of its kind.
        excluded: `[E]` int64 examples, ascending, and `[E]` int64 candidates that are no negatives
            of theirs.
            The positive's own column stays, whether it is named or not.
        unborn: `[L]` int64 candidates and `[N, L]` bool: where one is no negative of an example
            either.
        expected: `[C]`, how often each candidate is expected in a batch (its sampling
            probability times the draws); None leaves the correction out.
        logq_strength: from 0 (no correction) to 1 (a softmax over the whole catalogue, unbiased).
            In between, scores grow less with an item's popularity.
        correct_positive: apply the correction to the positive's logit too.
        product_dtype: of the backward pass's matrix products; None is that of the vectors.

    Returns:
        The weighted mean over examples, a scalar, if the total is that of these examples.
    """
    negative_bias = repeats.log()  # -inf where a candidate counts for nothing
    positive_bias = torch.zeros_like(negative_bias)
    if expected is not None:
        # A log of zero appears only at candidates that this batch cannot hold.
        correction = logq_strength * expected.clamp_min(1e-12).log()
        negative_bias = negative_bias - correction
        if correct_positive:
            positive_bias = -correction
    share = weight / total_weight.clamp_min(1e-12)
    loss: torch.Tensor = _SoftmaxLoss.apply(  # type: ignore[no-untyped-call]
        queries / temperature,
        candidates,
        positive,
        negative_bias.to(queries.dtype),
        positive_bias.to(queries.dtype)[positive],
        excluded,
        unborn,
        share.to(queries.dtype),
        product_dtype or queries.dtype,
        torch.is_grad_enabled(),
    )
    return loss


def view_contrast(
    first: torch.Tensor,
    second: torch.Tensor,
    *,
    temperature: float,
    product_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """The self-supervised loss of Yao et al. 2021, equation 1: one-directional.

    Args:
        first: `[M, d]` unit vectors, the first view of M distinct items.
        second: `[M, d]` unit vectors, the second view of the same items.
        temperature: tau'.
        product_dtype: see `batch_softmax`.
    """
    size = len(first)
    none = torch.zeros(0, dtype=torch.int64, device=first.device)
    loss: torch.Tensor = _SoftmaxLoss.apply(  # type: ignore[no-untyped-call]
        first / temperature,
        second,
        torch.arange(size, device=first.device),
        first.new_zeros(size),
        first.new_zeros(size),
        (none, none),
        None,
        first.new_full((size,), 1.0 / max(1, size)),
        product_dtype or first.dtype,
        torch.is_grad_enabled(),
    )
    return loss


class _SoftmaxLoss(torch.autograd.Function):
    """The sum over rows of share times negative log softmax at the positive.

    Written out because `[N, C]` logits are most of the memory that a step goes through: they become
    the gradient in place, and on a CPU there are never more than some rows of them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: torch.Tensor,
        columns: torch.Tensor,
        positive: torch.Tensor,
        bias: torch.Tensor,
        positive_bias: torch.Tensor,
        excluded: tuple[torch.Tensor, torch.Tensor],
        unborn: tuple[torch.Tensor, torch.Tensor] | None,
        share: torch.Tensor,
        product_dtype: torch.dtype,
        wants_gradient: bool,
    ) -> torch.Tensor:
        # Not read back from the logits, where a bias of -inf may stand.
        own = (rows * columns[positive]).sum(dim=1) + positive_bias
        factors = rows.to(product_dtype), columns.to(product_dtype)
        of_rows, of_columns = torch.empty_like(rows), torch.zeros_like(columns)
        losses = []
        for some, pairs in _rows_at_once(rows, columns, excluded[0]):
            logits = torch.addmm(bias, rows[some], columns.T)
            at = torch.arange(len(logits), device=rows.device), positive[some]
            logits[excluded[0][pairs] - some.start, excluded[1][pairs]] = float("-inf")
            if unborn is not None:
                late, is_unborn = unborn
                logits[:, late] = logits[:, late].masked_fill_(is_unborn[some], float("-inf"))
            logits[at] = own[some]
            largest = logits.amax(dim=1, keepdim=True)
            total = logits.sub_(largest).exp_().sum(dim=1)
            losses.append(total.log() + largest[:, 0] - own[some])
            if wants_gradient:
                slope = logits.mul_((share[some] / total)[:, None])
                slope[at] -= share[some]
                slope = slope.to(product_dtype)
                of_rows[some] = slope @ factors[1]
                of_columns += slope.T @ factors[0][some]
        ctx.save_for_backward(of_rows, of_columns)
        return (torch.cat(losses) * share).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        of_rows, of_columns = ctx.saved_tensors
        return of_rows * gradient, of_columns * gradient, *[None] * 8


def _rows_at_once(
    rows: torch.Tensor, columns: torch.Tensor, excluded_row: torch.Tensor
) -> Iterator[tuple[slice, slice]]:
    """The rows in parts, and which of the excluded pairs, in ascending order, belong to a part."""
    if rows.device.type != "cpu":  # the host would have to wait for the pairs' limits
        yield slice(0, len(rows)), slice(None)
        return
    size = max(64, _LOGITS_AT_ONCE // max(1, len(columns)) // 64 * 64)
    starts = range(0, len(rows), size)
    limits = torch.searchsorted(excluded_row, torch.tensor([*starts, len(rows)])).tolist()
    for start, pairs in zip(starts, itertools.pairwise(limits), strict=True):
        yield slice(start, start + size), slice(*pairs)
