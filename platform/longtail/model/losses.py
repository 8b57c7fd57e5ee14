"""The two terms of the loss: batch softmax over candidates, and the contrast of two views."""

from typing import Any

import torch
from torch.autograd.function import once_differentiable


def batch_softmax(
    queries: torch.Tensor,
    candidates: torch.Tensor,
    *,
    positive: torch.Tensor,
    weight: torch.Tensor,
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
        temperature: tau.
        repeats: `[C]`, how often each candidate counts: how often it stands in the batch, times
            the weight of a negative of its kind.
        excluded: `[E]` int64 examples and `[E]` int64 candidates that are no negatives of theirs.
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
        The weighted mean over examples, a scalar.
    """
    negative_bias = repeats.log()  # -inf where a candidate counts for nothing
    positive_bias = torch.zeros_like(negative_bias)
    if expected is not None:
        # A log of zero appears only at candidates that this batch cannot hold.
        correction = logq_strength * expected.clamp_min(1e-12).log()
        negative_bias = negative_bias - correction
        if correct_positive:
            positive_bias = -correction
    share = weight / weight.sum().clamp_min(1e-12)
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
    )
    return loss


class _SoftmaxLoss(torch.autograd.Function):
    """The sum over rows of share times negative log softmax at the positive.

    Written out because `[N, C]` logits are most of the memory that a step goes through.
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
    ) -> torch.Tensor:
        logits = torch.addmm(bias, rows, columns.T)
        at = torch.arange(len(rows), device=rows.device), positive
        # Not read back from the logits, where a bias of -inf may stand.
        own = (rows * columns[positive]).sum(dim=1) + positive_bias
        logits[excluded] = float("-inf")
        if unborn is not None:
            late, is_unborn = unborn
            logits[:, late] = logits[:, late].masked_fill_(is_unborn, float("-inf"))
        logits[at] = own
        log_probability = logits.log_softmax(dim=1)
        ctx.save_for_backward(rows, columns, log_probability, share, positive)
        ctx.product_dtype = product_dtype
        return -(log_probability[at] * share).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, columns, log_probability, share, positive = ctx.saved_tensors
        slope = log_probability.exp()
        slope[torch.arange(len(rows), device=rows.device), positive] -= 1.0
        slope = slope.mul_((share * gradient)[:, None]).to(ctx.product_dtype)
        of_rows = (slope @ columns.to(slope.dtype)).to(rows.dtype)
        of_columns = (slope.T @ rows.to(slope.dtype)).to(columns.dtype)
        return of_rows, of_columns, None, None, None, None, None, None, None
