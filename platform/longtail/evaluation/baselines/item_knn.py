"""Items that are linked to by the same queries as a query's own items."""

import numpy as np
from scipy import sparse

from longtail.evaluation.baselines.method import (
    Axes,
    Fitted,
    Method,
    Settings,
    too_many_products,
    without_links,
)
from longtail.evaluation.baselines.nearest import largest_of_rows
from longtail.evaluation.baselines.ranks import blocks
from longtail.evaluation.baselines.tf_idf import idf
from longtail.evaluation.held_out import HeldOut


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


def item_similarity(
    links: sparse.csr_array, *, popularity: float, k: int, by_tf_idf: bool
) -> sparse.csr_array:
    """Return the similarity of items, `[C, C]` float32, for each row its k largest.

    Args:
        links: `[N, C]` of zeros and ones.
        popularity: the exponent p.
        k: the number of similar items of each item; the item itself is not one of them.
        by_tf_idf: weight each query by its idf, squared.
    """
    weighted = links.T.tocsr()
    if by_tf_idf:
        weighted.data = weighted.data * idf(weighted)[weighted.indices]
        weighted.eliminate_zeros()
    transposed = weighted.T.tocsr()
    own = np.bincount(transposed.indices, transposed.data.astype(np.float64) ** 2, links.shape[1])
    parts = []
    for block in blocks(links.shape[1], links.shape[1]):
        together = weighted[block] @ transposed
        first = np.repeat(np.arange(block.start, block.stop), np.diff(together.indptr))
        second = together.indices
        scale = own[first] ** (1.0 - popularity) * own[second] ** popularity
        together.data = np.where(first == second, 0.0, together.data / scale).astype(np.float32)
        parts.append(largest_of_rows(together, k))
    return sparse.csr_array(sparse.vstack(parts, format="csr"))
