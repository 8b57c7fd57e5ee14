"""The two terms of the loss: batch softmax over candidates, and the contrast of two views."""

import torch

from longtail.model.kernels.softmax_loss import softmax_loss


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
    positive_is_certain: bool = False,
    product_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Return L_main: batch softmax with logQ correction (Yi et al. 2019), no accidental hits.

    Each of C candidates stands once. A candidate that the batch holds m times counts m times, as
    in a softmax over the items of all examples, column by column. The positive counts once: its
    repeats are accidental hits.

    With `positive_is_certain` the gradient is that of Khrylchenko et al. 2025 (arXiv 2507.09331,
    section 3.3): each example weighs one less the estimated probability of its positive, and the
    sum over the catalogue is estimated from the negatives alone. METHOD.md derives it.

    Args:
        queries: `[N, d]` unit vectors, followed by a 1 if the candidates have a bias.
        candidates: `[C, d]` unit vectors, followed by their biases if they have any. The score is
            the inner product: the cosine of query and candidate, and the bias.
        positive: `[N]` int64, the candidate that is each example's item.
        weight: `[N]`; where all weights are zero, so is the loss.
        total_weight: scalar, what the weighted sum over examples is divided by.
        temperature: tau.
        repeats: `[C]`, how often each candidate counts: how often it stands in the batch, times
            the weight of a negative of its kind.
        excluded: `[E]` int64 examples, ascending, and `[E]` int64 candidates that are no negatives
            of theirs. The positive's own column stays, whether it is among them or not.
        unborn: `[L]` int64 candidates and `[N, L]` bool, true where such a candidate is no negative
            of an example either.
        expected: `[C]`, how often each candidate is expected in a batch (its sampling
            probability times the draws); None leaves the correction out.
        logq_strength: from 0 (no correction) to 1 (a softmax over the whole catalogue, unbiased).
            In between, scores grow less with an item's popularity.
        correct_positive: apply the correction to the positive's logit too.
        positive_is_certain: the positive is no draw, since it is always there. It has the logit
            that it would have in a softmax over the whole catalogue. Takes the place of
            `correct_positive`; both come to the same where that is False and the strength is 1.
        product_dtype: the dtype of the backward pass's matrix products; None is that of the
            vectors.

    Returns:
        A scalar: the weighted mean over examples, if `total_weight` is the sum of their weights.
    """
    negative_bias = repeats.log()  # -inf where a candidate counts for nothing
    positive_bias = torch.zeros_like(negative_bias)
    if expected is not None:
        # Zero is expected only of candidates that this batch cannot hold.
        log_expected = expected.clamp_min(1e-12).log()
        negative_bias = negative_bias - logq_strength * log_expected
        if positive_is_certain:
            # A part of the correction leaves the scores of all items that much of log E to carry.
            positive_bias = (1.0 - logq_strength) * log_expected
        elif correct_positive:
            positive_bias = -logq_strength * log_expected
    share = weight / total_weight.clamp_min(1e-12)
    return softmax_loss(
        queries / temperature,
        candidates,
        positive=positive,
        bias=negative_bias.to(queries.dtype),
        positive_bias=positive_bias.to(queries.dtype)[positive],
        share=share.to(queries.dtype),
        excluded=excluded,
        unborn=unborn,
        product_dtype=product_dtype,
    )


def view_contrast(
    first: torch.Tensor,
    second: torch.Tensor,
    *,
    temperature: float,
    product_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Return L_self (Yao et al. 2021, equation 3): each first view finds its second among all.

    It goes one way only: second views do not look for first ones.

    Args:
        first: `[M, d]` unit vectors, the first view of M distinct items.
        second: `[M, d]` unit vectors, the second view of the same items.
        temperature: tau'.
        product_dtype: see `batch_softmax`.

    Returns:
        A scalar: the mean over items.
    """
    size = len(first)
    none = torch.zeros(0, dtype=torch.int64, device=first.device)
    return softmax_loss(
        first / temperature,
        second,
        positive=torch.arange(size, device=first.device),
        bias=first.new_zeros(size),
        positive_bias=first.new_zeros(size),
        share=first.new_full((size,), 1.0 / max(1, size)),
        excluded=(none, none),
        product_dtype=product_dtype,
    )
