"""The chance level: the exact mutual information that two unrelated features would show.

Suppose that the values of one feature were dealt out to the N items at random. If a items have the
value x and b items the value y, the number n of items with both follows the hypergeometric
distribution. The expected mutual information is (Vinh, Epps and Bailey 2010)

    H(X) + H(Y) - ln N + 1/N * sum over pairs of values of E[n ln n].

E[n ln n] depends only on the counts a and b, so it is computed once for each pair of distinct
counts.
"""

from dataclasses import dataclass
from math import log

import numpy as np

# From this mean on, E[n ln n] is expanded in the central moments of n up to the fourth. The error
# is about 1 / mean^2 for a pair of values. At most N / mean such pairs exist, so that the total
# error is below 1e-12.
EXPANDED_FROM = 10_000.0
# Pairs of counts computed at once: few enough for the processor's cache.
BLOCK = 1 << 15
# Up to each of these means, terms further from the mode than the reach are below 1e-17 of the sum.
_SMALL_MEANS = np.array([1e-3, 1e-2, 1e-1, 1.0])
_SMALL_REACHES = np.array([6, 8, 12, 20])


@dataclass(frozen=True)
class CountHistogram:
    """A histogram of how often the values of a feature occur.

    Attributes:
        counts: int64 [n], the distinct numbers of items that have the same value, ascending, all
            above zero.
        num_values: int64 [n], the number of values that occur in exactly that number of items.
    """

    counts: np.ndarray
    num_values: np.ndarray

    @classmethod
    def of(cls, counts: np.ndarray) -> "CountHistogram":
        """Make the histogram from the number of items of each value; zeros are ignored."""
        distinct, num_values = np.unique(counts[counts > 0], return_counts=True)
        return cls(distinct.astype(np.int64), num_values.astype(np.int64))

    @property
    def num_items(self) -> int:
        """The number of items with a value."""
        return int(self.counts @ self.num_values)

    @property
    def entropy(self) -> float:
        """The entropy H of the feature, in nats."""
        total = self.num_items
        if total == 0:
            return 0.0
        weighted = float((self.num_values * self.counts * np.log(self.counts)).sum())
        return max(log(total) - weighted / total, 0.0)


def expected_mutual_information(left: CountHistogram, right: CountHistogram) -> float:
    """Return the chance level of two single-valued features over the same items, in nats.

    Raises:
        ValueError: the features do not have the same number of items.
    """
    total = left.num_items
    if total != right.num_items:
        raise ValueError(
            f"the features have {total} and {right.num_items} items: count both over the same items"
        )
    if total == 0 or total in (left.counts[-1], right.counts[-1]):  # no items, or a constant
        return 0.0
    # n ln n is 0 for n = 1, so values of a single item add nothing.
    a, a_values = left.counts[left.counts > 1], left.num_values[left.counts > 1]
    b, b_values = right.counts[right.counts > 1], right.num_values[right.counts > 1]
    expected = 0.0
    if len(a) and len(b):
        # Block by block, because all pairs of counts at once would exceed the cache, and memory.
        rows = max(BLOCK // len(b), 1)
        for start in range(0, len(a), rows):
            block = slice(start, start + rows)
            first, second = np.repeat(a[block], len(b)), np.tile(b, len(a[block]))
            weights = np.outer(a_values[block], b_values).ravel()
            expected += float((weights * _mean_n_log_n(total, first, second)).sum())
    return max(left.entropy + right.entropy - log(total) + expected / total, 0.0)


def _mean_n_log_n(total: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return E[n ln n] for a hypergeometric n, float64 [m], for int64 [m] pairs of counts."""
    mean = a * (b / total)
    result = np.empty(len(a))
    large = mean >= EXPANDED_FROM
    if large.any():
        result[large] = _by_moments(float(total), a[large].astype(float), b[large].astype(float))
    deviation = np.sqrt(mean * (1 - a / total) * (1 - b / total))
    reach = np.ceil(10 * deviation + 14).astype(np.int64)
    small = mean <= _SMALL_MEANS[-1]
    reach[small] = _SMALL_REACHES[np.searchsorted(_SMALL_MEANS, mean[small])]
    reach[large] = 0
    # Pairs of about the same reach (within a factor of the square root of two) are computed
    # together, so that few of them do more steps than they need.
    group = np.ceil(2 * np.log2(np.maximum(reach, 1))).astype(np.int64)
    for number in np.unique(group[~large]):
        chosen = np.flatnonzero((group == number) & ~large)
        result[chosen] = _by_recurrence(total, a[chosen], b[chosen], int(reach[chosen].max()))
    return result


def _by_recurrence(total: int, a: np.ndarray, b: np.ndarray, reach: int) -> np.ndarray:
    """Return E[n ln n] from the ratios of neighbouring probabilities, from the mode outwards.

    No factorial is computed, so nothing cancels. The sum of the probabilities normalizes them.
    """
    mode = ((a + 1) * ((b + 1) / (total + 2))).astype(np.int64)
    mode = np.clip(mode, np.maximum(a + b - total, 0), np.minimum(a, b))
    # A table of n ln n is faster than a logarithm at every step.
    n_log_n = np.arange(int(mode.max()) + reach + 1, dtype=np.float64)
    n_log_n[1:] *= np.log(n_log_n[1:])
    left_over = (total - a - b).astype(np.float64)
    a, b = a.astype(np.float64), b.astype(np.float64)

    sum_of_probabilities = np.ones(len(a))
    sum_of_terms = n_log_n[mode]
    probability, n = np.ones(len(a)), mode.astype(np.float64)
    for step in range(1, reach + 1):
        # Zero beyond min(a, b), and it stays zero.
        probability *= (a - n) * (b - n) / ((n + 1) * (left_over + n + 1))
        n += 1
        sum_of_probabilities += probability
        sum_of_terms += probability * n_log_n[mode + step]
    probability, n = np.ones(len(a)), mode.astype(np.float64)
    for step in range(1, min(reach, int(mode.max())) + 1):
        # Zero below max(0, a + b - total), and it stays zero.
        probability *= n * (left_over + n) / ((a - n + 1) * (b - n + 1))
        n -= 1
        sum_of_probabilities += probability
        sum_of_terms += probability * n_log_n[np.maximum(mode - step, 0)]
    return sum_of_terms / sum_of_probabilities


def _by_moments(total: float, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return E[n ln n] from its Taylor series at the mean, up to the fourth central moment."""
    not_a, not_b = total - a, total - b
    mean = a * b / total
    variance = mean * (not_a / total) * (not_b / (total - 1))
    skewness = (total - 2 * a) * (total - 2 * b) * np.sqrt(total - 1) / (total - 2)
    skewness /= np.sqrt(a) * np.sqrt(b) * np.sqrt(not_a) * np.sqrt(not_b)
    excess = (total - 1) * total**2 * (total * (total + 1) - 6 * a * not_a - 6 * b * not_b)
    excess += 6 * a * b * not_a * not_b * (5 * total - 6)
    excess /= a * b * not_a * not_b * (total - 2) * (total - 3)
    return np.asarray(
        mean * np.log(mean)
        + variance / (2 * mean)
        - skewness * variance**1.5 / (6 * mean**2)
        + (3 + excess) * variance**2 / (12 * mean**3)
    )
