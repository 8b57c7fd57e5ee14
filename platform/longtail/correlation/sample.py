"""A sample of the catalogue where all of it would cost too much, by a stable hash of the key."""

from typing import Any

import numpy as np
from ibis.expr.types import Column, Table

# The hash's leading hexadecimal digits, and what they can count to.
DIGITS = 8
RANGE = 16**DIGITS


def num_halvings(num_items: int, budget: int) -> int:
    """How often the catalogue must be halved until about `budget` items are left.

    Halvings, and no finer steps: from day to day the same items stay in the sample, until the
    catalogue has doubled.
    """
    halvings = 0
    while num_items / 2**halvings > budget:
        halvings += 1
    return halvings


def sampled(table: Table, key: str, halvings: int, half: int | None = None) -> Table:
    """The items whose hash falls into the first 1 / 2^halvings of its range.

    Args:
        table: one row an item.
        key: the column that identifies an item.
        halvings: 0 keeps all; at most 24.
        half: 0 or 1 gives the one or the other half of these items instead of all of them.
    """
    if halvings > 24:
        raise ValueError(f"a sample of 1 / 2^{halvings} is too small to be drawn by this hash")
    end = RANGE >> halvings
    if half is not None:
        return table.filter(_hash_is_below(table[key], end // 2, negate=half == 1)).filter(
            _hash_is_below(table[key], end)
        )
    return table.filter(_hash_is_below(table[key], end)) if halvings else table


def error_from_halves(whole: np.ndarray, halves: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """How far a sample's figures may be from the catalogue's, element by element.

    The root mean square of the differences to the figures of the sample's two halves. From n/2
    items to n a figure moves as it would from n items to very many: a variance of s^2 / n gives a
    difference of variance 2 s^2 / n - s^2 / n, and a bias of b / n one of 2 b / n - b / n.
    """
    first, second = halves
    return np.asarray(np.sqrt(((first - whole) ** 2 + (second - whole) ** 2) / 2))


def _hash_is_below(key: Column, end: int, *, negate: bool = False) -> Any:
    if end >= RANGE:
        return key.notnull()
    # Digits are compared as text, which every engine does alike.
    digits = key.cast("string").hexdigest("md5").substr(0, DIGITS)
    bound = f"{end:0{DIGITS}x}"
    return digits >= bound if negate else digits < bound
