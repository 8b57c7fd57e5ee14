"""One slot of embeddings in an online store: emptied, written, read back and compared."""

import struct
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from feast import FeatureView, RepoConfig
from feast.infra.online_stores.online_store import OnlineStore as FeastOnlineStore

from longtail.errors import InputError
from longtail.features.feast.row_format import BIAS, Float32Array, RowFormat
from longtail.features.feast.slot_storage import open_storage
from longtail.features.feast.store_errors import store_failures


@dataclass(frozen=True)
class EmbeddingRows:
    """Embeddings as an online store returned them, one row per key asked for.

    Attributes:
        vectors: `[n]` lists of `dim` floats; None where the store has no row.
        versions: `[n]` model versions, one per row; None where the store has no row.
        biases: `[n]` biases, one per row; None where the store has no row, or its version none.
    """

    vectors: list[list[float] | None]
    versions: list[str | None]
    biases: list[float | None]


@dataclass(frozen=True)
class ReadBack:
    """The comparison of one batch with what the store returned for it.

    Attributes:
        problem: the first difference from what was written; None if every row is equal.
        content: every row as it was returned: the key's length (4 bytes, little-endian), the key in
            UTF-8, the vector's floats (little-endian), and the bias if there is one. Empty if a row
            differs.
    """

    problem: str | None
    content: bytes = b""


class OnlineSlot:
    """The rows of one slot, read and written without the service and the registry."""

    def __init__(self, store: FeastOnlineStore, config: RepoConfig, view: FeatureView) -> None:
        self._format, self._config = RowFormat(config, view), config
        self._has_bias = any(field.name == BIAS for field in view.features)
        self._name = view.name
        with self._failures():
            self._storage = open_storage(store, config, view)

    @property
    def parallel(self) -> bool:
        """Whether several threads may read and write the slot at once, and are faster for it."""
        return self._storage.parallel

    def empty(self) -> None:
        """Remove every row, whatever its version."""
        with self._failures():
            self._storage.clear()

    def write(
        self,
        items: Sequence[str],
        vectors: Float32Array,
        *,
        version: str,
        bias: Float32Array | None = None,
    ) -> None:
        """Write one batch of rows; they replace the rows of the same items.

        Args:
            items: `[n]` keys.
            vectors: `[n, dim]` float32.
            version: the model version that every row carries.
            bias: `[n]` float32, in a version with biases.

        Raises:
            InputError: there are biases, and the feature view has no place for them.
        """
        if bias is not None and not self._has_bias:
            raise InputError(
                f"version {version} has item biases, and feature view {self._name} has no feature "
                f'`{BIAS}`: add `Field(name="{BIAS}", dtype=Float32)` to the slots in the Feast '
                "repository's item_embeddings.py, run `feast apply`, and publish again"
            )
        keys, values = self._format.keys(items), self._format.vectors(vectors)
        numbers = None if bias is None else self._format.numbers(bias)
        with self._failures():
            self._storage.put(keys, values, version, numbers)

    def read(self, items: Sequence[str]) -> EmbeddingRows:
        """Read `[n]` rows, in the order of the items."""
        with self._failures():
            rows = self._storage.get(self._format.keys(items))
        return EmbeddingRows(
            vectors=[None if row is None else self._format.floats(row) for row, _, _ in rows],
            versions=[None if row is None else self._format.string(row) for _, row, _ in rows],
            biases=[None if row is None else self._format.number(row) for _, _, row in rows],
        )

    def read_back(
        self,
        items: Sequence[str],
        vectors: Float32Array,
        *,
        version: str,
        bias: Float32Array | None = None,
    ) -> ReadBack:
        """Read one batch of rows, and compare it with what was written, bit by bit.

        Args:
            items: `[n]` keys.
            vectors: `[n, dim]` float32.
            version: the model version that every row must carry.
            bias: `[n]` float32; None for rows that must have none.
        """
        keys, expected = self._format.keys(items), self._format.vectors(vectors)
        with self._failures():
            rows = self._storage.get(keys)
        carried = self._format.text(version)
        numbers: Sequence[bytes | None] = [None] * len(items)
        if bias is not None:
            numbers = self._format.numbers(bias)
        wanted = zip(items, expected, numbers, rows, strict=True)
        for item, vector, number, (found, found_version, found_number) in wanted:
            if found != vector:
                difference = "has another vector"
                if found is None:
                    difference = "has no row"
                elif len(found) != len(vector):
                    difference = f"has {len(self._format.floats(found))} values"
                return ReadBack(f"item {item!r} {difference}")
            if found_version != carried:
                other = None if found_version is None else self._format.string(found_version)
                return ReadBack(f"item {item!r} carries version {other!r}")
            if found_number != number:
                return ReadBack(f"item {item!r} has another bias")
        # Cut out of the stored bytes: what precedes the key's length and the floats is constant.
        start, size = len(self._format.key_start), 4 * vectors.shape[1]
        returned = zip(keys, rows, strict=True)
        content = (
            key[start:] + (vector or b"")[-size:] + self._number_content(number)
            for key, (vector, _, number) in returned
        )
        return ReadBack(None, b"".join(content))

    def _number_content(self, number: bytes | None) -> bytes:
        return b"" if number is None else struct.pack("<f", self._format.number(number))

    def num_rows(self) -> int | None:
        """Count the items that have a row; None if the store cannot count at a bearable cost."""
        with self._failures():
            return self._storage.num_rows()

    def _failures(self) -> AbstractContextManager[None]:
        return store_failures(self._config, "online store")
