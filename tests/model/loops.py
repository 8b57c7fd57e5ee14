"""The method's formulas as loops over Python floats: they share no code with the library."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Candidate:
    """An item as a row of the softmax sees it.

    Attributes:
        item: the item.
        vector: its vector, by the item tower.
        expected: how often it is expected among a batch's candidates; None without correction.
        weight: how much it counts as a negative.
        birth: the time of its birth.
    """

    item: int
    vector: np.ndarray
    expected: float | None = None
    weight: float = 1.0
    birth: int = 0


@dataclass(frozen=True)
class Example:
    """A query and its item.

    Attributes:
        vector: the query's vector, by the query tower.
        positive: the item.
        known: all training positives of the query.
        weight: the weight of the example.
        timestamp: its time.
    """

    vector: np.ndarray
    positive: Candidate
    known: frozenset[int]
    weight: float = 1.0
    timestamp: int = 0


def main_loss(
    examples: Sequence[Example],
    sampled: Sequence[Candidate],
    *,
    temperature: float,
    strength: float = 1.0,
    correct_positive: bool = True,
    positive_is_certain: bool = False,
) -> float:
    """Return L_main of METHOD.md, example by example and candidate by candidate.

    The candidates are the items of all examples, column by column, and the sampled ones. With
    `positive_is_certain` it is less the log of the estimated share that the positive has of the
    sum over the catalogue of `E^(1 - strength) exp(score / temperature)`.
    """
    candidates = [example.positive for example in examples] + list(sampled)
    losses = []
    for example in examples:
        positive = example.positive
        own = dot(example.vector, positive.vector) / temperature
        if positive.expected is not None and positive_is_certain:
            own += (1 - strength) * math.log(positive.expected)
        elif positive.expected is not None and correct_positive:
            own -= strength * math.log(positive.expected)
        logits = [own]
        for candidate in candidates:
            is_hit = candidate.item == positive.item or candidate.item in example.known
            if is_hit or candidate.birth > example.timestamp or candidate.weight == 0:
                continue
            logit = dot(example.vector, candidate.vector) / temperature + math.log(candidate.weight)
            if candidate.expected is not None:
                logit -= strength * math.log(candidate.expected)
            logits.append(logit)
        losses.append(example.weight * (log_sum_exp(logits) - own))
    return math.fsum(losses) / math.fsum(example.weight for example in examples)


def contrast_loss(first: Sequence[np.ndarray], second: Sequence[np.ndarray], tau: float) -> float:
    """Return L_self: Yao et al. 2021, equation 3."""
    losses = []
    for position, view in enumerate(first):
        logits = [dot(view, other) / tau for other in second]
        losses.append(log_sum_exp(logits) - logits[position])
    return math.fsum(losses) / len(losses)


def dot(left: np.ndarray, right: np.ndarray) -> float:
    """Return the scalar product of two vectors."""
    return math.fsum(float(a) * float(b) for a, b in zip(left, right, strict=True))


def log_sum_exp(values: Sequence[float]) -> float:
    """Return `log sum exp` without overflow."""
    largest = max(values)
    return largest + math.log(math.fsum(math.exp(value - largest) for value in values))
