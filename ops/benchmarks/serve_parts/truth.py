"""The right answers of a soak: the item and query vectors of each version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from longtail.config import Config

Float32Array = npt.NDArray[np.float32]

SCORE_TOLERANCE = 1e-4
"""Scores are sums in float32 in another order. Those of two versions differ far more."""


class MixedVersionsError(Exception):
    """An answer differs from the files of the version that it names."""


@dataclass(frozen=True)
class Truth:
    """The vectors of several versions of one catalogue.

    Attributes:
        items: item ids in the order of the rows.
        queries: query ids in the order of the rows.
        item_vectors: `[num_items, dim]` by version.
        query_vectors: `[num_queries, dim]` by version.
    """

    items: list[str]
    queries: list[str]
    item_vectors: Mapping[str, Float32Array]
    query_vectors: Mapping[str, Float32Array]

    def check_lookup(self, answer: Mapping[str, Any]) -> None:
        """Compare every vector of a lookup, bit by bit.

        Raises:
            MixedVersionsError: a vector is not that of the version that the answer names.
        """
        if missing := answer["missing"]:
            raise MixedVersionsError(f"a lookup of {answer['version']} misses {len(missing)} rows")
        keys = list(answer["embeddings"])
        found = np.array(list(answer["embeddings"].values()), np.float32)
        expected = self.item_vectors[answer["version"]][[self._rows[key] for key in keys]]
        if not np.array_equal(found.view(np.uint32), expected.view(np.uint32)):
            raise MixedVersionsError(
                f"a lookup of {answer['version']} has vectors of another version"
            )

    def check_results(
        self, version: str, vector: Float32Array, results: Sequence[Mapping[str, Any]]
    ) -> None:
        """Compare scores with inner products of `vector` and the version's items, best first.

        Raises:
            MixedVersionsError: a score differs, or the order is wrong.
        """
        scores = np.array([result["score"] for result in results], np.float32)
        rows = [self._rows[result["item"]] for result in results]
        expected = self.item_vectors[version][rows] @ vector
        if not np.allclose(scores, expected, atol=SCORE_TOLERANCE) or (np.diff(scores) > 0).any():
            raise MixedVersionsError(f"scores of {version} are not its own")

    def vector(self, version: str, item: str) -> Float32Array:
        """Return the vector `[dim]` of an item."""
        found: Float32Array = self.item_vectors[version][self._rows[item]]
        return found

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {item: row for row, item in enumerate(self.items)}


def write_truth(config: Config, versions: Sequence[str], file: Path) -> None:
    """Write each version's item vectors, from its Parquet file, and its encoded queries."""
    import pyarrow.parquet as pq
    from serve_parts.project import query_table

    from longtail.artifacts import VersionPaths
    from longtail.serving import embedding_matrix
    from longtail.serving.encoders import load_version_encoder

    table = query_table(config)
    arrays: dict[str, Any] = {"queries": np.array(table["query_id"].to_pylist())}
    for version in versions:
        embeddings = VersionPaths(config, version).embeddings
        arrays["items"] = np.array(pq.read_table(embeddings)["item_id"].to_pylist())
        arrays[f"items of {version}"] = embedding_matrix(embeddings)
        encoded = load_version_encoder(config, version).encode("query", table)
        arrays[f"queries of {version}"] = encoded.vectors
    np.savez(file, **arrays)


def read_truth(file: Path) -> Truth:
    """Read the file that `write_truth` wrote."""
    with np.load(file) as arrays:
        versions = [name.split()[-1] for name in arrays if name.startswith("items of")]
        return Truth(
            arrays["items"].tolist(),
            arrays["queries"].tolist(),
            {version: arrays[f"items of {version}"] for version in versions},
            {version: arrays[f"queries of {version}"] for version in versions},
        )
