"""Nearest neighbours in the served version, by its index."""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from longtail.config import Config
from longtail.errors import LongtailError
from longtail.serving.catalogue_index import CatalogueIndex, load_index
from longtail.serving.item_keys import check_keys
from longtail.serving.results import RankedItems, RankedItemsByKey, ScoredItem
from longtail.serving.served_version import Following


class Neighbours:
    """The search for neighbours in the served version; follows publications without a restart.

    Safe to use from many threads. `exclude` takes the item ids that must not come back, `allowed`
    the only ones that may. `CatalogueIndex.search` says how exact a search with filters is.
    """

    def __init__(self, config: Config) -> None:
        self._following = Following(config, load_index)

    def served(self) -> CatalogueIndex:
        """Return the index of the served version, which never changes and may be kept.

        It is loaded again only after another version was published.

        Raises:
            LongtailError: nothing is published, or the version is damaged.
        """
        return self._following.current()

    def of_item(
        self,
        item: str,
        k: int = 10,
        *,
        exclude: Collection[str] = (),
        allowed: Collection[str] | None = None,
    ) -> RankedItems:
        """Return the k items nearest to an item, without the item itself.

        Returns:
            `{"version", "query": item, "results": [{"item", "score"}]}`, best first.

        Raises:
            InputError: `k` is not positive, or a key is not a string.
            LongtailError: nothing is published, the version is damaged, or it does not have the
                item.
        """
        answer = self.of_items([item], k, exclude=exclude, allowed=allowed)
        return {"version": answer["version"], "query": item, "results": answer["results"][item]}

    def of_items(
        self,
        items: Sequence[str],
        k: int = 10,
        *,
        exclude: Collection[str] = (),
        allowed: Collection[str] | None = None,
    ) -> RankedItemsByKey:
        """Return the k items nearest to each of several items, in one search.

        Returns:
            `{"version", "results": {item: [{"item", "score"}]}}`, best first. No item is in its own
            list.

        Raises:
            InputError: `k` is not positive, no item is named, or a key is not a string.
            LongtailError: nothing is published, the version is damaged, or it does not have one of
                the items.
        """
        check_keys(items, "item")
        index = self.served()
        # One more than asked for, because the nearest to an item is the item itself. A `k` that is
        # not positive stays as it is: `search` refuses it.
        found = index.search(
            index.vectors_of(items), k + 1 if k > 0 else k, exclude=exclude, allowed=allowed
        )
        results = {
            item: [result for result in others if result["item"] != item][:k]
            for item, others in zip(items, found, strict=True)
        }
        return {"version": index.version, "results": results}

    def of_vector(
        self,
        version: str,
        vector: npt.NDArray[np.float32],
        k: int = 10,
        *,
        exclude: Collection[str] = (),
        allowed: Collection[str] | None = None,
        with_bias: bool = False,
    ) -> list[ScoredItem]:
        """Return the k items nearest to a vector.

        Args:
            version: the model version that made the vector.
            vector: `[dim]`, unit length.
            k: how many items.
            exclude: item ids that must not come back.
            allowed: only these item ids may come back; None for all.
            with_bias: the vector is a query's, and scores count the items' biases, as those of
                `recommend` do. It changes nothing in a version without biases.

        Returns:
            `{"item", "score"}` for each, best first.

        Raises:
            InputError: `k` is not positive.
            LongtailError: nothing is published, or another version is served: vectors of two
                versions cannot be compared.
        """
        vectors = np.asarray(vector, np.float32).reshape(1, -1)
        return self.of_vectors(
            version, vectors, k, exclude=exclude, allowed=allowed, with_bias=with_bias
        )[0]

    def of_vectors(
        self,
        version: str,
        vectors: npt.NDArray[np.float32],
        k: int = 10,
        *,
        exclude: Collection[str] = (),
        allowed: Collection[str] | None = None,
        with_bias: bool = False,
    ) -> list[list[ScoredItem]]:
        """Return the k items nearest to each of `[n, dim]` vectors of one version.

        See `of_vector` for the arguments and errors.

        Returns:
            n lists of `{"item", "score"}`, best first.
        """
        index = self._following.current(version)
        if index.version != version:
            raise LongtailError(
                f"the vector is of version {version}, served is {index.version}: the two cannot be "
                "compared; encode the query again"
            )
        return index.search(vectors, k, exclude=exclude, allowed=allowed, with_bias=with_bias)
