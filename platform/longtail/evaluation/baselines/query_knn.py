"""A vote of the queries that are most like a query, over the items that they are linked to."""

from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse

from longtail.evaluation.baselines.known import Known
from longtail.evaluation.baselines.method import (
    Axes,
    Fitted,
    Method,
    Settings,
    too_many_products,
    without_links,
)
from longtail.evaluation.baselines.tf_idf import (
    indicator_matrix,
    rare_idf,
    weighted_unit_rows,
)
from longtail.evaluation.held_out import HeldOut
from longtail.memory.sparse_rows import largest_of_rows

Int64Array = npt.NDArray[np.int64]


class QueryKNN(Method):
    """A vote of the k nearest queries over their training items, weighted by similarity.

    The similarity of two queries is a mean of two cosines, of their features and of their training
    links, both weighted by tf-idf. Features are the categorical ones of a query, but its id.

    Settings:
        feature_share: the share of the features in the mean; the rest is that of the links.
        max_share: a value or an item that a larger share of the queries has does not count.
        k: the number of queries that vote, of those with training links.
        power: a vote is the similarity to this power.
    """

    name = "query_knn"

    def axes(self) -> Axes:
        return {
            "feature_share": (0.5, 0.0, 0.25, 0.75, 1.0) if self._features.nnz else (0.0,),
            "max_share": (0.1, 1.0),
            "k": (200, 50, 100, 500),
            "power": (2, 1),
        }

    def left_out(self, held_out: HeldOut) -> str | None:
        space = _QuerySpace(self.known, self._features, 0.5, 1.0)
        asked = space.vectors(held_out.query, held_out.query_row)
        voters = space.vectors(*self._voters)
        return without_links(self.known) or too_many_products(asked, voters.T.tocsr())

    def fit(self, settings: Settings) -> Fitted:
        space = _QuerySpace(
            self.known,
            self._features,
            float(settings["feature_share"]),
            float(settings["max_share"]),
        )
        k, power = int(settings["k"]), float(settings["power"])
        voter, row = self._voters
        transposed = space.vectors(voter, row).T.tocsr()
        voter_links = self.known.links[voter]
        voter_of_query = np.full(self.known.links.shape[0], -1, np.int64)
        voter_of_query[voter] = np.arange(len(voter))

        def scores(query: Int64Array, query_row: Int64Array) -> sparse.csr_array:
            similarity = space.vectors(query, query_row) @ transposed
            # A query has no vote on itself: it has only items that it is not shown.
            itself = np.repeat(voter_of_query[query], np.diff(similarity.indptr))
            similarity.data[similarity.indices == itself] = 0
            votes = largest_of_rows(similarity, k)
            votes.data = votes.data**power
            return votes @ voter_links

        return scores

    @cached_property
    def _features(self) -> sparse.csr_array:
        """The features of all rows of queries, `[rows, values]` of zeros and ones."""
        features = self.known.schema.query
        # The history is the links over again.
        left_out = [f.is_id or f.is_dense or f.is_history for f in features]
        groups = [None if out else f.name for f, out in zip(features, left_out, strict=True)]
        return indicator_matrix([(self.known.query_rows, groups)])[0]

    @cached_property
    def _voters(self) -> tuple[Int64Array, Int64Array]:
        """The queries with training links, and the row of each."""
        voter = np.flatnonzero(np.diff(self.known.links.indptr))
        return voter, self.known.row_of_query[voter]


class _QuerySpace:
    """Unit vectors of queries, with the similarity of two queries as their inner product."""

    def __init__(
        self, known: Known, features: sparse.csr_array, feature_share: float, max_share: float
    ) -> None:
        self._features, self._links = features, known.links
        self._feature_weight = rare_idf(features[known.row_of_query], max_share)
        self._link_weight = rare_idf(known.links, max_share)
        # The inner product of two joined vectors is the sum of those of their parts.
        self._feature_scale = np.float32(np.sqrt(feature_share))
        self._link_scale = np.float32(np.sqrt(1.0 - feature_share))

    def vectors(self, query: Int64Array, row: Int64Array) -> sparse.csr_array:
        """Return the vectors of queries, `[B, values + C]`, from their positions and rows."""
        features = weighted_unit_rows(self._features[row], self._feature_weight)
        links = weighted_unit_rows(self._links[query], self._link_weight)
        parts = [features * self._feature_scale, links * self._link_scale]
        joined = sparse.csr_array(sparse.hstack(parts, format="csr"))
        joined.eliminate_zeros()
        return joined
