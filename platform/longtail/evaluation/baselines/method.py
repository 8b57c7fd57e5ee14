"""The interface of a baseline that is tuned."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from longtail.evaluation.baselines.known import Known
from longtail.evaluation.held_out import HeldOut
from longtail.evaluation.results import Setting

Settings = dict[str, Setting]
Axes = Mapping[str, tuple[Setting, ...]]

# Scores some queries: from their positions `[B]` among the N and their feature rows `[B]`, the
# scores `[B, C]` of all candidates. An item without an entry has the score 0; none has two.
Fitted = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], sparse.csr_array]

# Multiplications of a sparse product that a baseline may take: a few minutes of two cores.
MAX_PRODUCTS = 200_000_000_000


class Method(ABC):
    """A method that ranks items, from nothing but links and features.

    Args:
        known: what it starts from.

    Attributes:
        name: its name in tables, in the configuration's words and in files.
    """

    name: ClassVar[str]

    def __init__(self, known: Known) -> None:
        self.known = known

    @abstractmethod
    def axes(self) -> Axes:
        """Return the settings to tune, in this order, with the values to try of each.

        The first value of each is where tuning begins.
        """

    @abstractmethod
    def left_out(self, held_out: HeldOut) -> str | None:
        """Return the reason why this method cannot rank the data, or is too slow to; else None.

        Args:
            held_out: the questions; only their number and their queries are read.
        """

    @abstractmethod
    def fit(self, settings: Settings) -> Fitted:
        """Prepare to score.

        Args:
            settings: one value for each of `axes`.
        """

    def trial(self, settings: Settings) -> Fitted:
        """Prepare to score for a comparison of settings: as `fit`, or on less data."""
        return self.fit(settings)

    @property
    def trials_are_smaller(self) -> bool:
        """True if `trial` works on less data than `fit`."""
        return False

    def notes(self) -> list[str]:
        """Return what a reader of the figures must know, such as that items are left out."""
        return []


def without_links(known: Known) -> str | None:
    """Return the reason to leave out a method that needs links, or None if there are any."""
    if known.links.nnz:
        return None
    return "no training interaction has an item of the catalogue"


def too_many_products(left: sparse.csr_array, right: sparse.csr_array) -> str | None:
    """Return the reason to leave out a sparse product, or None if it is small enough.

    Args:
        left: `[Q, n]`.
        right: `[n, C]`.
    """
    num_products = int(np.diff(right.indptr).astype(np.int64)[left.indices].sum())
    if num_products <= MAX_PRODUCTS:
        return None
    return (
        f"it would take {num_products / 1e9:,.0f} billion multiplications, and at most "
        f"{MAX_PRODUCTS / 1e9:,.0f} billion are allowed"
    )
