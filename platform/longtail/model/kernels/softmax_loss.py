"""Softmax cross entropy of queries over candidates, over parts of the logits."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd.function import once_differentiable

# Logits that a CPU holds at once: 16 MiB. With fewer, each matrix product is less efficient.
_LOGITS_AT_ONCE = 1 << 22


def softmax_loss(
    queries: torch.Tensor,
    candidates: torch.Tensor,
    *,
    positive: torch.Tensor,
    bias: torch.Tensor,
    positive_bias: torch.Tensor,
    share: torch.Tensor,
    excluded: tuple[torch.Tensor, torch.Tensor],
    unborn: tuple[torch.Tensor, torch.Tensor] | None = None,
    product_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Return the sum over queries of share times negative log softmax at the positive.

    Only `queries` and `candidates` get a gradient.

    Args:
        queries: `[N, d]`, already divided by the temperature; N is one or more.
        candidates: `[C, d]`.
        positive: `[N]` int64, the candidate that each query should find.
        bias: `[C]`, added to the logits of a candidate; -inf where it is no negative at all.
        positive_bias: `[N]`, added to the positive's logit in place of its `bias`.
        share: `[N]`, the weight of each query in the sum.
        excluded: `[E]` int64 queries, ascending, and `[E]` int64 candidates that are no negatives
            of theirs. The positive stays, whether it is among them or not.
        unborn: `[L]` int64 candidates and `[N, L]` bool, true where such a candidate is no negative
            of a query either.
        product_dtype: the dtype of the gradient's matrix products; None is that of `queries`.

    Returns:
        A scalar.
    """
    loss: torch.Tensor = SoftmaxLoss.apply(  # type: ignore[no-untyped-call]
        queries,
        candidates,
        positive,
        bias,
        positive_bias,
        share,
        excluded,
        unborn,
        product_dtype or queries.dtype,
        torch.is_grad_enabled(),
    )
    return loss


def softmax_loss_reference(
    queries: torch.Tensor,
    candidates: torch.Tensor,
    *,
    positive: torch.Tensor,
    bias: torch.Tensor,
    positive_bias: torch.Tensor,
    share: torch.Tensor,
    excluded: tuple[torch.Tensor, torch.Tensor],
    unborn: tuple[torch.Tensor, torch.Tensor] | None = None,
    product_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Compute `softmax_loss` in plain torch operators, on all logits at once."""
    del product_dtype  # it rounds, and changes nothing else
    is_left_out = torch.zeros(len(queries), len(candidates), dtype=torch.bool, device=bias.device)
    is_left_out[excluded] = True
    if unborn is not None:
        late, is_unborn = unborn
        is_left_out[:, late] |= is_unborn
    logits = (queries @ candidates.T + bias).masked_fill(is_left_out, float("-inf"))
    own = (queries * candidates[positive]).sum(dim=1) + positive_bias
    logits = logits.scatter(1, positive[:, None], own[:, None])
    return (share * (logits.logsumexp(dim=1) - own)).sum()


class SoftmaxLoss(torch.autograd.Function):
    """The kernel of `softmax_loss`.

    The `[N, C]` logits are most of the memory that a step goes through. Here they turn into their
    gradient in place, and a CPU never holds more than some rows of them. So the forward pass
    computes the gradient, too, and the backward pass scales it.
    """

    @staticmethod
    def forward(
        ctx: Any,
        queries: torch.Tensor,
        candidates: torch.Tensor,
        positive: torch.Tensor,
        bias: torch.Tensor,
        positive_bias: torch.Tensor,
        share: torch.Tensor,
        excluded: tuple[torch.Tensor, torch.Tensor],
        unborn: tuple[torch.Tensor, torch.Tensor] | None,
        product_dtype: torch.dtype,
        wants_gradient: bool,
    ) -> torch.Tensor:
        """See `softmax_loss`."""
        # Not read back from the logits, where a bias of -inf may stand.
        own = (queries * candidates[positive]).sum(dim=1) + positive_bias
        query_factors, candidate_factors = queries.to(product_dtype), candidates.to(product_dtype)
        of_queries, of_candidates = torch.empty_like(queries), torch.zeros_like(candidates)
        losses = []
        for rows, pairs in _parts(queries, candidates, excluded[0]):
            logits = torch.addmm(bias, queries[rows], candidates.T)
            positives = torch.arange(len(logits), device=queries.device), positive[rows]
            # The positive goes in last: it counts even where it was left out as a negative.
            logits[excluded[0][pairs] - rows.start, excluded[1][pairs]] = float("-inf")
            if unborn is not None:
                late, is_unborn = unborn
                logits[:, late] = logits[:, late].masked_fill_(is_unborn[rows], float("-inf"))
            logits[positives] = own[rows]
            largest = logits.amax(dim=1, keepdim=True)
            total = logits.sub_(largest).exp_().sum(dim=1)
            losses.append(total.log() + largest[:, 0] - own[rows])
            if wants_gradient:
                # The slope of the loss at the logits: the softmax, less one at the positive.
                slope = logits.mul_((share[rows] / total)[:, None])
                slope[positives] -= share[rows]
                slope = slope.to(product_dtype)
                of_queries[rows] = slope @ candidate_factors
                of_candidates += slope.T @ query_factors[rows]
        ctx.save_for_backward(of_queries, of_candidates)
        return (torch.cat(losses) * share).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of `queries` and `candidates`, and None for the other inputs."""
        of_queries, of_candidates = ctx.saved_tensors
        return of_queries * gradient, of_candidates * gradient, *[None] * 8


def _parts(
    queries: torch.Tensor, candidates: torch.Tensor, excluded_query: torch.Tensor
) -> Iterator[tuple[slice, slice]]:
    """Yield parts of the queries, each with its part of the excluded pairs.

    On other devices than a CPU there is one part: the host would have to wait for the device to
    know where the pairs of a part begin and end.
    """
    if queries.device.type != "cpu":
        yield slice(0, len(queries)), slice(None)
        return
    size = max(64, _LOGITS_AT_ONCE // max(1, len(candidates)) // 64 * 64)
    starts = range(0, len(queries), size)
    # The pairs are in ascending order of their queries.
    limits = torch.searchsorted(excluded_query, torch.tensor([*starts, len(queries)])).tolist()
    for start, (first_pair, end_pair) in zip(starts, itertools.pairwise(limits), strict=True):
        yield slice(start, start + size), slice(first_pair, end_pair)
