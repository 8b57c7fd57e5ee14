"""Recall by the popularity of items: held-out pairs in ten groups."""

from typing import Any

import numpy as np
import numpy.typing as npt

NUM_GROUPS = 10
CUTOFF = 50


def recall_by_decile(
    ranks: npt.NDArray[np.int64], train_count: npt.NDArray[np.int64]
) -> list[dict[str, Any]]:
    """Return recall@50 of the held-out pairs in groups by the training interactions of the item.

    The upper bounds of the groups are the deciles of the pairs' counts. Pairs with equal counts
    stay together, so groups differ in size. Equal bounds make one group, so there can be fewer
    than 10.

    Args:
        ranks: `[P]` rank of each pair's item, from 1.
        train_count: `[P]` training interactions of each pair's item.

    Returns:
        `[{"min_count", "max_count", "num_pairs", "recall@50"}]`, rarest items first.
    """
    if not len(ranks):
        return []
    shares = np.arange(1, NUM_GROUPS + 1) / NUM_GROUPS
    bounds = np.unique(np.quantile(train_count, shares, method="inverted_cdf"))
    group = np.searchsorted(bounds, train_count)
    return [
        {
            "min_count": int(train_count[group == number].min()),
            "max_count": int(bound),
            "num_pairs": int((group == number).sum()),
            f"recall@{CUTOFF}": float((ranks[group == number] <= CUTOFF).mean()),
        }
        for number, bound in enumerate(bounds)
    ]
