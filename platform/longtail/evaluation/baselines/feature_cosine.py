"""Items with features like those of the query, or of the query's items."""

from functools import cached_property

from scipy import sparse

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
from longtail.features.schema import Feature, Schema

# The largest share of the catalogue that may have a value, where it is to count.
_MAX_SHARES = (1.0, 0.1)


class TfidfCosine(Method):
    """The cosine of a query's features and an item's, both weighted by tf-idf over the catalogue.

    Features count where both sides have one of the same embedding table. An id counts only where
    the other side has a feature, which is no id, of the id's table.

    Settings:
        max_share: a value that a larger share of the catalogue has does not count.
    """

    name = "tfidf_cosine"

    def axes(self) -> Axes:
        return {"max_share": _MAX_SHARES}

    def left_out(self, held_out: HeldOut) -> str | None:
        query, item = self._features
        if not any(shared_groups(self.known.schema)[0]):
            return "no feature of the queries shares a table with one of the items"
        return too_many_products(query[held_out.query_row], item.T.tocsr())

    def fit(self, settings: Settings) -> Fitted:
        query, item = self._features
        weight = rare_idf(item, float(settings["max_share"]))
        transposed = weighted_unit_rows(item, weight).T.tocsr()
        return lambda _query, row: weighted_unit_rows(query[row], weight) @ transposed

    @cached_property
    def _features(self) -> tuple[sparse.csr_array, sparse.csr_array]:
        known = self.known
        groups = shared_groups(known.schema)
        sides = zip((known.query_rows, known.item_rows), groups, strict=True)
        query, item = indicator_matrix(list(sides))
        return query, item


class TfidfProfile(Method):
    """The cosine of an item's features and the mean of those of the query's training items.

    Features are the categorical ones of an item, but its id, weighted by tf-idf over the catalogue.

    Settings:
        max_share: a value that a larger share of the catalogue has does not count.
    """

    name = "tfidf_profile"

    def axes(self) -> Axes:
        return {"max_share": _MAX_SHARES}

    def left_out(self, held_out: HeldOut) -> str | None:
        if not self._features.nnz:
            return "items have no categorical feature but their id"
        profiles = self.known.links[held_out.query] @ self._features
        return without_links(self.known) or too_many_products(profiles, self._features.T.tocsr())

    def fit(self, settings: Settings) -> Fitted:
        weight = rare_idf(self._features, float(settings["max_share"]))
        item = weighted_unit_rows(self._features, weight)
        transposed = item.T.tocsr()
        # The sum is as good as the mean, and as its cosine: a query's ranking is the same.
        return lambda query, _row: (self.known.links[query] @ item) @ transposed

    @cached_property
    def _features(self) -> sparse.csr_array:
        features = self.known.schema.item
        groups = [None if f.is_id or f.is_dense else f.name for f in features]
        return indicator_matrix([(self.known.item_rows, groups)])[0]


def shared_groups(schema: Schema) -> tuple[list[str | None], list[str | None]]:
    """Return for each feature of queries and of items its table if both sides have it, else None.

    Ids compared with ids say only that a query is itself, so they do not count. Nor does a history,
    which names the items that a query is not shown.
    """

    def group(feature: Feature, others: tuple[Feature, ...]) -> str | None:
        known = any(
            other.table == feature.table and not (feature.is_id and other.is_id)
            for other in others
            if not (other.is_dense or other.is_history)
        )
        usable = known and not (feature.is_dense or feature.is_history)
        return feature.table if usable else None

    return (
        [group(feature, schema.item) for feature in schema.query],
        [group(feature, schema.query) for feature in schema.item],
    )
