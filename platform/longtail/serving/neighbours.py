"""Nearest neighbours in the served version, exact or by its index."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from longtail.artifacts import VersionPaths
from longtail.config import Config
from longtail.embeddings.pointer import served_pointer
from longtail.embeddings.versions import verify_version
from longtail.errors import InputError, LongtailError


@dataclass(frozen=True)
class CatalogueIndex:
    """The index of one version; row i of the index is item i.

    Attributes:
        version: the version's name.
        items: `[num_items]` item ids, sorted.
        index: an inner product index over `[num_items, dim]` unit vectors.
    """

    version: str
    items: pa.Array
    index: faiss.Index

    def vector_of(self, item: str) -> npt.NDArray[np.float32]:
        """The `[dim]` vector of an item.

        Raises:
            LongtailError: the version does not have the item.
        """
        return np.asarray(self.index.reconstruct(self._row_of(item)), np.float32)

    def search(
        self, vector: npt.NDArray[np.float32], k: int, *, exclude: Collection[str] = ()
    ) -> list[dict[str, Any]]:
        """The k items with the largest inner product with a `[dim]` vector, best first.

        Args:
            vector: of this version's query or item tower.
            k: how many; fewer come back where the catalogue has fewer.
            exclude: item ids that must not come back.

        Returns:
            `{"item": str, "score": float}` each.

        Raises:
            InputError: `k` is not positive.
            LongtailError: the vector has another dimension.
        """
        if k < 1:
            raise InputError(f"asked for {k} results: ask for at least one")
        query = np.ascontiguousarray(vector, np.float32).reshape(1, -1)
        if query.shape[1] != self.index.d:
            raise LongtailError(
                f"the vector has {query.shape[1]} values, version {self.version} has {self.index.d}"
            )
        excluded = pc.index_in(pa.array(list(exclude), pa.string()), value_set=self.items)
        hidden = set(excluded.drop_null().to_pylist())
        scores, rows = self.index.search(query, min(k + len(hidden), len(self.items)))
        return [
            {"item": self.items[row].as_py(), "score": float(score)}
            for row, score in zip(rows[0].tolist(), scores[0].tolist(), strict=True)
            if row >= 0 and row not in hidden
        ][:k]

    def _row_of(self, item: str) -> int:
        row = pc.index(self.items, pa.scalar(item, pa.string())).as_py()
        if row < 0:
            raise LongtailError(
                f"item {item!r} is not in the served version {self.version}: check its id; a new "
                "item comes with the next `longtail run`"
            )
        return int(row)


def load_index(config: Config, version: str) -> CatalogueIndex:
    """Load the index of a committed version, after comparing its files with the manifest.

    Raises:
        LongtailError: a file is missing or damaged, or index and items do not fit together.
    """
    paths = VersionPaths(config, version)
    manifest = verify_version(config, version, files=[paths.embeddings.name, paths.index.name])
    index = _read_index(paths.index)
    items = pq.read_table(paths.embeddings, columns=["item_id"])["item_id"].combine_chunks()
    shape, expected = (index.ntotal, index.d), (len(items), manifest["embedding_dim"])
    if shape != expected:
        raise LongtailError(
            f"{paths.index} holds {shape[0]} x {shape[1]} values, the version has {expected[0]} x "
            f"{expected[1]}: export the version again"
        )
    return CatalogueIndex(version, items, index)


def _read_index(file: Path) -> faiss.Index:
    try:
        return faiss.read_index(str(file))
    except RuntimeError as error:
        raise LongtailError(f"{file} cannot be read: export the version again") from error


class Neighbours:
    """Neighbours in the version that is served; follows every publication without a restart."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._loaded: CatalogueIndex | None = None

    def served(self) -> CatalogueIndex:
        """The index of the served version, loaded when that changes.

        Raises:
            LongtailError: nothing is published, or the version is damaged.
        """
        version = served_pointer(self._config).served.version
        loaded = self._loaded
        if loaded is None or loaded.version != version:
            loaded = load_index(self._config, version)
            self._loaded = loaded
        return loaded

    def of_item(self, item: str, k: int = 10) -> dict[str, Any]:
        """The k items nearest to an item, without itself.

        Returns:
            `{"version", "query": item, "results": [{"item", "score"}]}`, best first.

        Raises:
            InputError: `k` is not positive.
            LongtailError: the served version does not have the item.
        """
        index = self.served()
        results = index.search(index.vector_of(item), k, exclude=[item])
        return {"version": index.version, "query": item, "results": results}

    def of_vector(
        self, version: str, vector: npt.NDArray[np.float32], k: int = 10
    ) -> list[dict[str, Any]]:
        """The k items nearest to a vector.

        Args:
            version: the model version that made the vector.
            vector: `[dim]`, unit length.
            k: how many.

        Returns:
            `{"item", "score"}` each, best first.

        Raises:
            LongtailError: another version is served: the two cannot be compared.
        """
        index = self.served()
        if index.version != version:
            raise LongtailError(
                f"the vector is of version {version}, served is {index.version}: the two cannot be "
                "compared; encode the query again"
            )
        return index.search(vector, k)
