"""The table rows of a few values, found without going through the whole vocabulary.

Training and export encode columns of many values. They build a hash table of the vocabulary for
each column, which takes half a second for a vocabulary of a million values. A request has a few
values: it searches a sorted vocabulary, in microseconds, at four bytes of memory for each value.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longtail.artifacts import read_json
from longtail.embeddings.arrow_columns import numbers, read_columns
from longtail.features.schema import Schema
from longtail.features.vocabulary import SCHEMA_FILE, Vocabulary
from longtail.fingerprints import required_stamp

VALUES_A_SEARCH = 16
"""Searching for one value takes about as long as putting this many into a hash table."""

FEW_HASHES = 256
"""Up to this many values are hashed one by one; for more it pays to start DuckDB."""


class SortedValues:
    """Distinct strings or integers, sorted so that single values can be searched for.

    Args:
        values: `[n]` string or int64, distinct, in any order; a null is no value.
    """

    def __init__(self, values: pa.Array) -> None:
        ascending = pc.all(pc.less(values[:-1], values[1:]), min_count=0).as_py()
        # The position in `values` of each sorted value; None if they are the same.
        self._order: npt.NDArray[np.int32] | None = None
        if values.null_count or not ascending:
            order = pc.sort_indices(values)[: len(values) - values.null_count]  # nulls come last
            values = values.take(order)
            self._order = numbers(order, np.uint64).astype(np.int32)
        self._size = len(values)
        self._is_string = pa.types.is_string(values.type)
        # Strings stay in Arrow's memory: a list of Python strings would take many times as much.
        if self._is_string:
            _, offsets, content = values.buffers() if self._size else (None, b"", b"")
            first = 4 * values.offset
            self._offsets = memoryview(offsets)[first : first + 4 * (self._size + 1)].cast("i")
            self._content = memoryview(content if content is not None else b"")
        else:
            self._integers = numbers(values, np.int64)

    def find(self, value: str | int) -> int:
        """Return the position of a value in `values`; -1 if it is not there."""
        if self._is_string:
            # The bytes of UTF-8 sort in the order in which Arrow sorts strings.
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
    """A vocabulary that is quick for a few values, too.

    Attributes:
        known: its values, sorted; None for a hashed vocabulary.
    """

    known: SortedValues | None = field(default=None, compare=False)

    @classmethod
    def exact(cls, table: str, values: pa.Array) -> "ServedVocabulary":
        """Make the vocabulary of a table that has one row for each listed value, in their order."""
        return cls(table, values, pa.nulls(0, pa.int64()), known=SortedValues(values))

    @classmethod
    def hashed(cls, table: str, buckets: int) -> "ServedVocabulary":
        """Make the vocabulary of a table with `buckets` rows, into which values are hashed."""
        return cls(table, pa.nulls(0, pa.string()), pa.nulls(0, pa.int64()), buckets)

    def row_of(self, value: str | int) -> int:
        """Return the table row of a value; -1 if it is outside the vocabulary."""
        if self.known is not None:
            return self.known.find(value)
        assert self.buckets is not None, "a vocabulary is exact or hashed"
        return _bucket(value, self.buckets)

    def encode(self, values: pa.Array) -> npt.NDArray[np.int32]:
        """Return the table row of each value, as `Vocabulary.encode` does."""
        few = len(self.values) // VALUES_A_SEARCH if self.buckets is None else FEW_HASHES
        if len(values) > few:
            return super().encode(values)
        found: Sequence[str | int | None] = values.to_pylist()
        return np.array([-1 if value is None else self.row_of(value) for value in found], np.int32)


def load_served_vocabularies(folder: Path) -> dict[str, ServedVocabulary]:
    """Read a version's vocabularies, without the counts, which only training needs.

    Returns:
        Vocabularies by table name.

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


def _bucket(value: str | int, buckets: int) -> int:
    """Return the bucket of one value, by the same hash as `features.hashing.stable_hash`."""
    digest = hashlib.md5(str(value).encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big") % buckets
