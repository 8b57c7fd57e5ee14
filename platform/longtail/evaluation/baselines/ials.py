"""Matrix factorization by alternating least squares, for implicit feedback."""

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from longtail.evaluation.baselines.dense_scores import dense_scores
from longtail.evaluation.baselines.method import Axes, Fitted, Method, Settings, without_links
from longtail.evaluation.held_out import HeldOut

ITERATIONS = 10
# Every iteration solves a system for each query and item, and reads each link twice.
MAX_LINKS = 20_000_000


class IALS(Method):
    """Factors of queries and items with weighted squared error: iALS of the library `implicit`.

    Hu, Koren and Volinsky (2008); solved by conjugate gradients as in Takacs et al. (2011).

    Settings:
        alpha: the weight of a link beside the weight 1 of all other pairs.
        regularization: the weight of the squared factors.
        factors: the dimension.
    """

    name = "ials"

    def axes(self) -> Axes:
        return {
            "alpha": (100.0, 10.0, 30.0),
            "regularization": (10.0, 1.0, 100.0),
            "factors": (64, 128),
        }

    def left_out(self, held_out: HeldOut) -> str | None:
        num_links = self.known.links.nnz
        if num_links > MAX_LINKS:
            return f"it would take {num_links:,} links, and at most {MAX_LINKS:,} are allowed"
        return without_links(self.known)

    def fit(self, settings: Settings) -> Fitted:
        from implicit.cpu.als import AlternatingLeastSquares

        # Only queries and items with links: the factors of the others are zero.
        known = self.known
        queries = np.flatnonzero(np.diff(known.links.indptr))
        items = np.flatnonzero(known.num_links)
        links = sparse.csr_matrix(known.links[queries][:, items])
        links.indptr, links.indices = (
            index.astype(np.int32) for index in (links.indptr, links.indices)
        )
        # The library has threads of its own, each for some rows: the factors do not depend on
        # their number, and those of the matrix products would be in their way.
        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(
                factors=int(settings["factors"]),
                regularization=float(settings["regularization"]),
                alpha=float(settings["alpha"]),
                iterations=ITERATIONS,
                random_state=known.seed,
            )
            model.fit(links, show_progress=False)
        query_factors = np.zeros((known.links.shape[0], model.factors), np.float32)
        query_factors[queries] = model.user_factors
        item_factors = model.item_factors.T
        return lambda query, _row: dense_scores(
            query_factors[query] @ item_factors, items, known.num_items
        )
