"""Encodes Arrow tables of raw features as rows of embedding-table positions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longtail.features.dense import distinct_vectors, encode_dense
from longtail.features.schema import Feature
from longtail.features.vocabulary import Vocabulary, flat_values

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]

# Rows that are copied together. The positions of their values are held twice, as 64-bit numbers,
# so all rows at once would need several times the memory of the values.
TAKE_BLOCK = 1 << 16


@dataclass(frozen=True)
class EncodedRows:
    """Feature rows as one jagged array, row by row and feature by feature.

    The values of feature f in row r are `values[offsets[r * F + f] : offsets[r * F + f + 1]]`.
    Nulls and values outside the vocabulary are left out: an empty feature is the learned default.
    The value of a dense feature is the position of its vector among the distinct ones. So code
    that drops, moves or compares values treats all features alike.

    Attributes:
        num_features: F.
        offsets: `[R * F + 1]` int64, starting at 0.
        values: `[nnz]` int32: embedding-table rows, or rows of `vectors` for a dense feature.
        vectors: `[m, length]` float32, normalised and distinct, for each dense feature; the key
            is the feature's position among the F.
    """

    num_features: int
    offsets: Int64Array
    values: Int32Array
    vectors: Mapping[int, Float32Array] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        """Number of rows, R."""
        return (len(self.offsets) - 1) // self.num_features

    def take(self, rows: npt.NDArray[np.integer]) -> "EncodedRows":
        """Return the given rows, in the given order."""
        rows = np.asarray(rows, np.int64)
        starts = self.offsets[rows * self.num_features]
        sizes = self.offsets[(rows + 1) * self.num_features] - starts
        # The values of a row are contiguous, so each row is copied whole, features and all.
        ends = offsets_of(sizes)
        lengths = np.empty((len(rows), self.num_features), np.int64)
        values = np.empty(ends[-1], self.values.dtype)
        for first in range(0, len(rows), TAKE_BLOCK):
            block = slice(first, first + TAKE_BLOCK)
            cells = rows[block, None] * self.num_features + np.arange(self.num_features + 1)
            lengths[block] = np.diff(self.offsets[cells])
            taken = self.values[ranges(starts[block], sizes[block])]
            values[ends[first] : ends[first] + len(taken)] = taken
        return EncodedRows(self.num_features, offsets_of(lengths.ravel()), values, self.vectors)

    def without(self, feature: int) -> "EncodedRows":
        """Return all rows with one feature left empty, as if its values were unknown.

        Args:
            feature: the position of the feature among the F.
        """
        lengths = np.diff(self.offsets).reshape(-1, self.num_features)
        kept = np.ones_like(lengths, np.bool_)
        kept[:, feature] = False
        return EncodedRows(
            self.num_features,
            offsets_of((lengths * kept).ravel()),
            self.values[np.repeat(kept.ravel(), lengths.ravel())],
            self.vectors,
        )

    def columns(
        self, rows: npt.NDArray[np.integer], *, num_features: int | None = None
    ) -> tuple[Int32Array, Int64Array]:
        """Return the given rows feature by feature, as a KeyedJaggedTensor holds them.

        Args:
            rows: `[n]` positions.
            num_features: the number of first features to return; None returns all F.

        Returns:
            values `[nnz]` int32, and lengths `[F, n]` int64.
        """
        cells = np.asarray(rows, np.int64) * self.num_features
        cells = cells + np.arange(num_features or self.num_features)[:, None]
        starts = self.offsets[cells]
        lengths = self.offsets[cells + 1] - starts
        return self.values[ranges(starts.ravel(), lengths.ravel())], lengths

    def to_arrow(self) -> pa.Table:
        """Return a table with one column, `values`, of `R * F` lists, without the vectors.

        `from_arrow` reads it.
        """
        return pa.table(
            {"values": pa.LargeListArray.from_arrays(self.offsets, self.values)}
        ).replace_schema_metadata({"num_features": str(self.num_features)})

    @classmethod
    def from_arrow(
        cls, table: pa.Table, vectors: Mapping[int, Float32Array] | None = None
    ) -> "EncodedRows":
        """Read what `to_arrow` made, without a copy. The vectors are stored elsewhere."""
        lists = table["values"].combine_chunks()
        num_features = int(table.schema.metadata[b"num_features"])
        return cls(num_features, lists.offsets.to_numpy(), lists.values.to_numpy(), vectors or {})


def offsets_of(lengths: npt.NDArray[np.integer]) -> Int64Array:
    """Return the `[n + 1]` offsets of `[n]` lengths: their exclusive running sum."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def ranges(starts: Int64Array, lengths: npt.NDArray[np.integer]) -> Int64Array:
    """Concatenate `starts[i] .. starts[i] + lengths[i]` for all i, without a loop."""
    offsets = offsets_of(lengths)
    return np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])


def encode_table(
    table: pa.Table, features: Sequence[Feature], vocabularies: Mapping[str, Vocabulary]
) -> EncodedRows:
    """Encode the feature columns of a table.

    Args:
        table: `[R]` rows, with one column per feature.
        features: the features of one side, in the order of the schema; the scales of dense ones
            must be known.
        vocabularies: the vocabularies by table name.

    Raises:
        InputError: a dense feature has a value that is not finite or of another length.
    """
    num_rows, num_features = table.num_rows, len(features)
    lengths = np.empty((num_rows, num_features), np.int32)
    columns: list[tuple[Int32Array, Int32Array]] = []
    vectors: dict[int, Float32Array] = {}
    for position, feature in enumerate(features):
        if feature.is_dense:
            codes, vectors[position] = encode_dense(table[feature.name], feature)
            sizes = np.ones(num_rows, np.int32)
        else:
            codes, sizes = _encode_column(table[feature.name], feature, vocabularies[feature.table])
        columns.append(_known(codes, sizes))
        lengths[:, position] = columns[-1][1]
    # Columns are encoded one by one, but values are stored row by row: each column is scattered to
    # its places, which follow from the lengths of all columns.
    offsets = offsets_of(lengths.ravel())
    values = np.empty(offsets[-1], np.int32)
    for position, (codes, sizes) in enumerate(columns):
        starts = offsets[position:-1:num_features]
        one_a_row = len(codes) == num_rows and bool(sizes.all())
        values[starts if one_a_row else ranges(starts, sizes)] = codes
    return EncodedRows(num_features, offsets, values, vectors)


def concatenated(parts: Sequence[EncodedRows]) -> EncodedRows:
    """Return the rows of several tables one after another; equal vectors are kept once.

    Args:
        parts: at least one table; all have the same features.
    """
    first = parts[0]
    starts = offsets_of(np.array([len(part.values) for part in parts]))
    shifted = (part.offsets[:-1] + start for part, start in zip(parts, starts, strict=False))
    offsets = np.concatenate([*shifted, starts[-1:]])
    values = np.concatenate([part.values for part in parts])
    vectors: dict[int, Float32Array] = {}
    if first.vectors:
        feature = np.arange(len(offsets) - 1) % first.num_features
        feature = np.repeat(feature, np.diff(offsets))
        owner = np.repeat(np.arange(len(parts)), [len(part.values) for part in parts])
    # A dense value counts within the vectors of its own part: move it behind the vectors of the
    # parts before, then to the kept one among equals.
    for position in first.vectors:
        ends = offsets_of(np.array([len(part.vectors[position]) for part in parts]))
        together = np.concatenate([part.vectors[position] for part in parts])
        kept, code = distinct_vectors(together)
        vectors[position] = together[kept]
        cells = feature == position
        values[cells] = code[values[cells] + ends[owner[cells]]]
    return EncodedRows(first.num_features, offsets, values, vectors)


def _encode_column(
    column: pa.ChunkedArray, feature: Feature, vocabulary: Vocabulary
) -> tuple[Int32Array, Int32Array]:
    """Return the table row of every value of a column, and the number of values in each row."""
    array = column.combine_chunks()
    value_type = pa.string() if feature.dtype == "string" else pa.int64()
    codes = vocabulary.encode(pc.cast(flat_values(array), value_type))
    if feature.kind == "single":
        return codes, np.ones(len(array), np.int32)
    sizes = pc.fill_null(pc.list_value_length(array), 0)
    return codes, sizes.to_numpy(zero_copy_only=False).astype(np.int32, copy=False)


def _known(codes: Int32Array, sizes: Int32Array) -> tuple[Int32Array, Int32Array]:
    """Return the codes that are not negative, and the number of these in each row."""
    known = codes >= 0
    if known.all():
        return codes, sizes
    known_before = offsets_of(known.view(np.int8))
    return codes[known], np.diff(known_before[offsets_of(sizes)]).astype(np.int32)
