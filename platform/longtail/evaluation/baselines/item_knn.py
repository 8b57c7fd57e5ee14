"""Items that are linked to by the same queries as a query's own items."""

from longtail.evaluation.baselines.method import (
    Axes,
    Fitted,
    Method,
    Settings,
    too_many_products,
    without_links,
)
from longtail.evaluation.held_out import HeldOut
from longtail.memory.item_weights import item_similarity


class ItemKNN(Method):
    """The sum of the similarities of an item to the query's items.

    With `c[i, j]` the (weighted) number of queries that link to both i and j, the similarity of a
    candidate j to an item i of the query is `c[i, j] / (c[i, i]^(1 - p) c[j, j]^p)`. At p = 1/2 it
    is the cosine of the two columns of the matrix of links; a smaller p leaves popular candidates
    more of their popularity (Deshpande and Karypis 2004; Aiolli 2013).

    Settings:
        weights: `links` counts queries, `tf-idf` counts those with many links less.
        popularity: p.
        k: each item of the query has this many similar items, at most.
    """

    name = "item_knn"

    def axes(self) -> Axes:
        return {
            "popularity": (0.3, 0.0, 0.1, 0.2, 0.4, 0.5),
            "weights": ("links", "tf-idf"),
            "k": (500, 20, 100),
        }

    def left_out(self, held_out: HeldOut) -> str | None:
        links = self.known.links
        return without_links(self.known) or too_many_products(links.T.tocsr(), links)

    def fit(self, settings: Settings) -> Fitted:
        links = self.known.links
        similarity = item_similarity(
            links,
            popularity=float(settings["popularity"]),
            k=int(settings["k"]),
            by_tf_idf=settings["weights"] == "tf-idf",
        )
        return lambda query, _row: links[query] @ similarity
