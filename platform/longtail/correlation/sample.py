"""Samples a catalogue that is too large to measure in full, by a stable hash of the key."""

from typing import Any

import numpy as np
from ibis.expr.types import Column, Table

# The number of leading hexadecimal digits of the hash that are used, and of values they can have.
DIGITS = 8
RANGE = 16**DIGITS


def num_halvings(num_items: int, budget: int) -> int:
    """Return how often the catalogue must be halved until about `budget` items or fewer are left.

    The steps are no finer than halvings, so that the same items stay in the sample from day to day
    until the catalogue has doubled.
    """
    halvings = 0
    while num_items / 2**halvings > budget:
        halvings += 1
    return halvings


def sampled(table: Table, key: str, halvings: int, half: int | None = None) -> Table:
    """Return the items that hash into the first 1 / 2^halvings of the hash's range.

    Args:
        table: one row for each item.
        key: the column that identifies an item.
        halvings: at most 24; 0 keeps all items.
        half: 0 or 1 returns only the first or the second half of these items.

    Raises:
        ValueError: there are more than 24 halvings.
    """
    if halvings > 24:
        raise ValueError(
            f"a sample of 1 / 2^{halvings} is too small for this hash: halve at most 24 times"
        )
    end = RANGE >> halvings
    if half is not None:
        return table.filter(_hash_is_below(table[key], end // 2, negate=half == 1)).filter(
            _hash_is_below(table[key], end)
        )
    return table.filter(_hash_is_below(table[key], end)) if halvings else table


def error_from_halves(whole: np.ndarray, halves: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Estimate how far a sample's figures are from those of the catalogue, element by element.

    The estimate is the root mean square of the differences to the figures of the sample's two
    halves. From n/2 items to n, a figure moves as it would from n items to very many: with a
    variance of s^2 / n, the difference has the variance 2 s^2 / n - s^2 / n; with a bias of b / n,
    it has the bias 2 b / n - b / n.

    Args:
        whole: the figures of the sample, of any shape.
        halves: the figures of its two halves, of the same shape.
    """
    first, second = halves
    return np.asarray(np.sqrt(((first - whole) ** 2 + (second - whole) ** 2) / 2))


def _hash_is_below(key: Column, end: int, *, negate: bool = False) -> Any:
    """Return the condition that a key's hash is below `end`, or with `negate` that it is not."""
    if end >= RANGE:
        return key.notnull()
    # The digits are compared as text, because every engine does that in the same way.
    digits = key.cast("string").hexdigest("md5").substr(0, DIGITS)
    bound = f"{end:0{DIGITS}x}"
    return digits >= bound if negate else digits < bound
