"""The two terms of the loss: batch softmax over candidates, and the contrast of two views."""

import torch
from torch.nn import functional


def batch_softmax(
    scores: torch.Tensor,
    *,
    positive: torch.Tensor,
    weight: torch.Tensor,
    temperature: float,
    repeats: torch.Tensor,
    excluded: torch.Tensor,
    expected: torch.Tensor | None = None,
    logq_strength: float = 1.0,
    correct_positive: bool = True,
) -> torch.Tensor:
    """Batch softmax with logQ correction (Yi et al. 2019) and without accidental hits.

    Each of C candidates stands once; one that the batch holds m times counts m times, which is
    what a softmax over all examples' items would give, column by column. The positive counts
    once: its repeats are accidental hits.

    Args:
        scores: `[N, C]` cosine of query and candidate.
        positive: `[N]` int64, the candidate that is each example's item.
        weight: `[N]`, at least one above zero.
        temperature: tau.
        repeats: `[C]`, how often each candidate counts: how often it stands in the batch, times
            the weight of a negative of its kind.
        excluded: `[N, C]` bool: candidates that are no negatives of an example. The positive's
            own column is never excluded.
        expected: `[C]`, how often each candidate is expected in a batch (its sampling
            probability times the draws); None leaves the correction out.
        logq_strength: from 0 (no correction) to 1 (a softmax over the whole catalogue, unbiased).
            In between, scores grow less with an item's popularity.
        correct_positive: apply the correction to the positive's logit too.

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
    logits = scores / temperature
    positive_logit = logits.gather(1, positive[:, None]).squeeze(1) + positive_bias[positive]
    logits = (logits + negative_bias).masked_fill(excluded, float("-inf"))
    logits = logits.scatter(1, positive[:, None], positive_logit[:, None])
    loss = logits.logsumexp(dim=1) - positive_logit
    return (loss * weight).sum() / weight.sum().clamp_min(1e-12)


def view_contrast(first: torch.Tensor, second: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """The self-supervised loss of Yao et al. 2021, equation 1: one-directional.

    Args:
        first: `[M, d]` unit vectors, the first view of M distinct items.
        second: `[M, d]` unit vectors, the second view of the same items.
        temperature: tau'.
    """
    logits = first @ second.T / temperature
    return functional.cross_entropy(logits, torch.arange(len(first), device=first.device))
