"""Nearest neighbours in the served version, exact or by its index."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from longtail.config import Config
from longtail.errors import LongtailError
from longtail.serving.catalogue_index import CatalogueIndex, load_index
from longtail.serving.item_keys import check_keys
from longtail.serving.served_version import Following


class Neighbours:
    """Neighbours in the version that is served; follows every publication without a restart.

    Safe to use from many threads. `exclude` and `allowed` take item ids: what must not come back,
    and all that may; how exact a filtered search is says `CatalogueIndex.search`.
    """

    def __init__(self, config: Config) -> None:
        self._following = Following(config, load_index)

    def served(self) -> CatalogueIndex:
        """The index of the served version, loaded when that changes: immutable, yours to keep.

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
    ) -> dict[str, Any]:
        """The k items nearest to an item, without itself.

        Returns:
            `{"version", "query": item, "results": [{"item", "score"}]}`, best first.

        Raises:
            InputError: `k` is not positive, or a key is not a string.
            LongtailError: the served version does not have the item.
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
    ) -> dict[str, Any]:
        """The k items nearest to each of several, each without itself, in one search.

        Returns:
            `{"version", "results": {item: [{"item", "score"}]}}`, best first.

        Raises:
            InputError: `k` is not positive, no item is named, or a key is not a string.
            LongtailError: the served version does not have one of the items.
        """
        check_keys(items, "item")
        index = self.served()
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
    ) -> list[dict[str, Any]]:
        """The k items nearest to a vector.

        Args:
            version: the model version that made the vector.
            vector: `[dim]`, unit length.
            k: how many.
            exclude: what must not come back.
            allowed: all that may come back.

        Returns:
            `{"item", "score"}` each, best first.

        Raises:
            InputError: `k` is not positive.
            LongtailError: another version is served: the two cannot be compared.
        """
        vectors = np.asarray(vector, np.float32).reshape(1, -1)
        return self.of_vectors(version, vectors, k, exclude=exclude, allowed=allowed)[0]

    def of_vectors(
        self,
        version: str,
        vectors: npt.NDArray[np.float32],
        k: int = 10,
        *,
        exclude: Collection[str] = (),
        allowed: Collection[str] | None = None,
    ) -> list[list[dict[str, Any]]]:
        """The k items nearest to each of `[n, dim]` vectors of one version; see `of_vector`."""
        index = self._following.current(version)
        if index.version != version:
            raise LongtailError(
                f"the vector is of version {version}, served is {index.version}: the two cannot be "
                "compared; encode the query again"
            )
        return index.search(vectors, k, exclude=exclude, allowed=allowed)
