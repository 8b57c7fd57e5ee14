"""The table row of a few values, without going through the whole vocabulary.

Training and export encode columns of many values: they build a hash table of the vocabulary for
each column, which takes half a second where it has a million values. A request has a few values:
it searches a sorted vocabulary, in microseconds, and holds four bytes a value for it.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longtail.artifacts import read_json
from longtail.embeddings.embedding_matrix import read_columns
from longtail.features.schema import Schema
from longtail.features.vocabulary import SCHEMA_FILE, Vocabulary
from longtail.fingerprints import required_stamp

Number = TypeVar("Number", bound=np.generic)

VALUES_A_SEARCH = 16
"""Searching one value takes as long as putting this many into a hash table, about."""

FEW_HASHES = 256
"""Up to here hashing value by value is quicker than starting DuckDB, which hashes columns."""


class SortedValues:
    """Distinct strings or integers, searchable one by one.

    Args:
        values: `[n]` string or int64, distinct, in any order; a null is no value.
    """

    def __init__(self, values: pa.Array) -> None:
        ascending = pc.all(pc.less(values[:-1], values[1:]), min_count=0).as_py()
        self._order: npt.NDArray[np.int32] | None = None
        if values.null_count or not ascending:
            order = pc.sort_indices(values)[: len(values) - values.null_count]  # nulls come last
            values = values.take(order)
            self._order = _numbers(order, np.uint64).astype(np.int32)
        self._size = len(values)
        self._is_string = pa.types.is_string(values.type)
        if self._is_string:
            _, offsets, content = values.buffers() if self._size else (None, b"", b"")
            first = 4 * values.offset
            self._offsets = memoryview(offsets)[first : first + 4 * (self._size + 1)].cast("i")
            self._content = memoryview(content if content is not None else b"")
        else:
            self._integers = _numbers(values, np.int64)

    def find(self, value: str | int) -> int:
        """The position of a value in `values`; -1 where it is not there."""
        if self._is_string:
            # Bytes of UTF-8 sort as Arrow sorts strings.
            wanted = str(value).encode()
            place = bisect_left(range(self._size), wanted, key=self._bytes)
            found = place < self._size and self._bytes(place) == wanted
        else:
            place = int(np.searchsorted(self._integers, value))
            found = place < self._size and int(self._integers[place]) == value
        if not found:
            return -1
        return int(self._order[place]) if self._order is not None else place

    def _bytes(self, place: int) -> bytes:
        return bytes(self._content[self._offsets[place] : self._offsets[place + 1]])


@dataclass(frozen=True)
class ServedVocabulary(Vocabulary):
    """A vocabulary that is quick for few values, too.

    Attributes:
        known: its values, sorted; None where it is hashed.
    """

    known: SortedValues | None = field(default=None, compare=False)

    @classmethod
    def exact(cls, table: str, values: pa.Array) -> "ServedVocabulary":
        """Of a table whose values are listed, in the order of its rows."""
        return cls(table, values, pa.nulls(0, pa.int64()), known=SortedValues(values))

    @classmethod
    def hashed(cls, table: str, buckets: int) -> "ServedVocabulary":
        """Of a table whose values are hashed into its rows."""
        return cls(table, pa.nulls(0, pa.string()), pa.nulls(0, pa.int64()), buckets)

    def row_of(self, value: str | int) -> int:
        """The table row of a value; -1 where it is outside the vocabulary."""
        if self.known is not None:
            return self.known.find(value)
        assert self.buckets is not None, "a vocabulary is exact or hashed"
        return _bucket(value, self.buckets)

    def encode(self, values: pa.Array) -> npt.NDArray[np.int32]:
        """The table row of each value, as `Vocabulary.encode` finds it."""
        few = len(self.values) // VALUES_A_SEARCH if self.buckets is None else FEW_HASHES
        if len(values) > few:
            return super().encode(values)
        found: Sequence[str | int | None] = values.to_pylist()
        return np.array([-1 if value is None else self.row_of(value) for value in found], np.int32)


def load_served_vocabularies(folder: Path) -> dict[str, ServedVocabulary]:
    """Read a version's vocabularies, by table name; without counts, which only training needs.

    Raises:
        LongtailError: a file is missing or damaged.
    """
    schema = Schema.from_json(read_json(folder / SCHEMA_FILE))
    num_rows = required_stamp(folder, made_by="dataset")["num_rows"]
    vocabularies = {}
    for table, features in schema.tables.items():
        if features[0].vocabulary == "hash":
            vocabularies[table] = ServedVocabulary.hashed(table, num_rows[table])
        else:
            values = read_columns(folder / f"{table}.parquet", ["value"])["value"]
            vocabularies[table] = ServedVocabulary.exact(table, values.combine_chunks())
    return vocabularies


def _numbers(values: pa.Array, dtype: type[Number]) -> npt.NDArray[Number]:
    """What `to_numpy` gives of numbers without nulls; that one imports pandas, for 45 MB."""
    if not len(values):
        return np.empty(0, dtype)
    width = np.dtype(dtype).itemsize
    return np.frombuffer(values.buffers()[1], dtype, len(values), values.offset * width)


def _bucket(value: str | int, buckets: int) -> int:
    """What `features.hashing.stable_hash` gives, for one value."""
    digest = hashlib.md5(str(value).encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big") % buckets
