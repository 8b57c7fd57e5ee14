"""EASE^R: a linear model of items, in closed form."""

import numpy as np
from scipy import sparse

from longtail.evaluation.baselines.dense_scores import dense_scores
from longtail.evaluation.baselines.method import Axes, Fitted, Method, Settings, without_links
from longtail.evaluation.baselines.ranks import popularity_order
from longtail.evaluation.held_out import HeldOut
from longtail.memory.item_weights import ridge_weights

# The inverse of n items takes n^3 multiplications and 4 n^2 bytes: 10 to 20 s, and 268 MB.
MAX_ITEMS = 8_192
# The settings are compared on so many items: an eighth of the time each.
MAX_ITEMS_OF_TRIAL = 4_096


class EASE(Method):
    """Each item's links, predicted from the links of the others by ridge regression.

    `P = (X'X + lambda I)^-1`, `B[i, j] = -P[i, j] / P[j, j]` with a diagonal of zeros; a query's
    scores are the sum of the rows of B of its items (Steck 2019, arXiv 1905.03375, equation 8).

    Settings:
        regularization: lambda.
    """

    name = "ease"

    def axes(self) -> Axes:
        return {"regularization": (100.0, 10.0, 30.0, 300.0, 1000.0)}

    def left_out(self, held_out: HeldOut) -> str | None:
        return without_links(self.known)

    def fit(self, settings: Settings) -> Fitted:
        return self._fit(float(settings["regularization"]), MAX_ITEMS)

    def trial(self, settings: Settings) -> Fitted:
        return self._fit(float(settings["regularization"]), MAX_ITEMS_OF_TRIAL)

    @property
    def trials_are_smaller(self) -> bool:
        return self._num_trained > MAX_ITEMS_OF_TRIAL

    def notes(self) -> list[str]:
        if self._num_trained <= MAX_ITEMS:
            return []
        return [
            f"on the {MAX_ITEMS:,} most interacted of {self._num_trained:,} trained items; the "
            "others have the score 0"
        ]

    @property
    def _num_trained(self) -> int:
        return int(np.count_nonzero(self.known.num_links))

    def _fit(self, regularization: float, max_items: int) -> Fitted:
        num_links = self.known.num_links
        most = np.argsort(popularity_order(num_links))[:max_items]
        items = np.sort(most[num_links[most] > 0])
        links = sparse.csr_array(self.known.links[:, items])
        weights = ridge_weights((links.T @ links).toarray(), regularization)
        return lambda query, _row: dense_scores(links[query] @ weights, items, self.known.num_items)
