"""Means over seeds with their 95% intervals, and paired differences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Mean:
    """A mean over seeds.

    Attributes:
        mean: mean of the values.
        low, high: ends of the 95% interval by Student's t; None with one value.
        num_values: number of values.
    """

    mean: float
    low: float | None
    high: float | None
    num_values: int


def mean_interval(values: Sequence[float]) -> Mean:
    """Return the mean of values from independent seeds, with its 95% interval by Student's t."""
    mean, count = fmean(values), len(values)
    if count < 2:
        return Mean(mean, None, None, count)
    half = student_t(count - 1) * stdev(values) / math.sqrt(count)
    return Mean(mean, mean - half, mean + half, count)


def student_t(degrees: int, confidence: float = CONFIDENCE) -> float:
    """Return the two-sided quantile of Student's t distribution.

    Half the confidence is the integral of the density from 0 to t. With t = sqrt(n) tan(a) it
    becomes that of cos(a)^(n - 1), which has a closed form for each n (Abramowitz and Stegun 1964,
    26.7.3 and 26.7.4); the quantile is found by bisection.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(100):
        middle = (low + high) / 2
        if _central_probability(middle, degrees) < confidence:
            low = middle
        else:
            high = middle
    return math.sqrt(degrees) * math.tan(low)


def _central_probability(angle: float, degrees: int) -> float:
    """Return P(|t| < sqrt(n) tan(angle)) for n degrees of freedom."""
    cosine, sine = math.cos(angle), math.sin(angle)
    if degrees % 2 == 0:
        term, total = 1.0, 1.0
        for k in range(2, degrees - 1, 2):
            term *= (k - 1) / k * cosine**2
            total += term
        return sine * total
    term = total = cosine if degrees > 1 else 0.0
    for k in range(3, degrees - 1, 2):
        term *= (k - 1) / k * cosine**2
        total += term
    return 2 / math.pi * (angle + sine * total)
