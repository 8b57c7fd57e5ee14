"""Validation of a version's embeddings, before any slot is touched."""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from longtail.embeddings.embedding_matrix import embedding_matrix
from longtail.embeddings.embeddings_file import (
    BIAS,
    EMBEDDING,
    ITEM,
    MODEL_VERSION,
    bias_values,
    embeddings_schema,
    has_bias_column,
)
from longtail.embeddings.results import Manifest
from longtail.embeddings.sorted_keys import Keys, absent
from longtail.embeddings.versions import has_bias
from longtail.encoder.score_vectors import with_bias
from longtail.errors import LongtailError
from longtail.features.record_batches import record_batches

NORM_TOLERANCE = 1e-3
"""The allowed distance of a norm from 1: far above float32 rounding, far below any wrong export."""


class Batch(NamedTuple):
    """Rows of a version: `[n]` item ids, `[n, dim]` vectors, and `[n]` biases or None."""

    items: list[str]
    vectors: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class Content:
    """The identity of a version's embeddings, equal for every file or store that holds them.

    Attributes:
        num_rows: how many rows there are.
        sha256: the hash of every row in order: the item's length in bytes (4 bytes,
            little-endian), the item in UTF-8, the vector's floats (little-endian), and its bias
            (one float) in a version with biases.
    """

    num_rows: int
    sha256: str


def embedding_batches(file: Path, batch_rows: int) -> Iterator[Batch]:
    """Read `item_embeddings.parquet` in batches."""
    columns = [ITEM, EMBEDDING, *([BIAS] if has_bias_column(file) else [])]
    for batch in record_batches(file, batch_rows, columns):
        yield Batch(batch[ITEM].to_pylist(), embedding_matrix(batch), bias_values(batch))


def validate_embeddings(
    file: Path, manifest: Manifest, *, batch_rows: int, catalogue: Keys | None
) -> Content:
    """Check columns, dimension, values, norms, order, duplicates, and completeness.

    Args:
        file: a version's `item_embeddings.parquet`.
        manifest: the version's manifest.
        batch_rows: rows held in memory at once.
        catalogue: the items that the file must have, all of them and no other; None to accept any.

    Returns:
        The number of rows and their hash.

    Raises:
        LongtailError: names the problem, and the row.
    """
    try:
        expected = embeddings_schema(manifest["embedding_dim"], has_bias=has_bias(manifest))
        _check_columns(file, pq.read_schema(file), expected)
        num_rows, last, digest = 0, None, hashlib.sha256()
        for batch in record_batches(file, batch_rows, expected.names):
            last = _check_batch(file, batch, num_rows, last, manifest["version"])
            digest.update(_content(batch))
            num_rows += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise _invalid(file, f"it cannot be read: {error}") from error
    if num_rows != manifest["num_items"]:
        raise _invalid(file, f"it has {num_rows} rows, its manifest says {manifest['num_items']}")
    if catalogue is not None:
        _check_complete(file, catalogue, batch_rows)
    return Content(num_rows, digest.hexdigest())


def check_lost(file: Path, served: Path, *, version: str, limit: float, batch_rows: int) -> None:
    """Refuse a version that lacks too many of the items that are served now.

    Args:
        file: the new version's `item_embeddings.parquet`.
        served: the served version's.
        version: the served version's name.
        limit: the share of its items that may be gone, 0 to 1.
        batch_rows: rows held in memory at once.

    Raises:
        LongtailError: more are gone; names the first.
    """
    new, old = Keys(file), Keys(served)
    lost = absent(old.batches(batch_rows), new.batches(batch_rows))
    if lost.num_absent > limit * lost.num_keys:
        raise LongtailError(
            f"{file} is not published: it lacks {lost.num_absent} of the {lost.num_keys} items "
            f"that version {version} serves, such as {lost.first!r}, more than the share "
            f"{limit:g} that `publication.max_lost_share` allows; what is served stays. Check "
            "whether the items table is whole; if these items are meant to go, raise the limit"
        )


def _check_columns(file: Path, schema: pa.Schema, wanted: pa.Schema) -> None:
    """Refuse a file without the columns of `embeddings_schema`, or with other types."""
    # Biases that the manifest does not know would be served to nobody.
    if BIAS in schema.names and BIAS not in wanted.names:
        raise _invalid(file, f"it has a column {BIAS}, and its manifest says `score: cosine`")
    dim = wanted.field(EMBEDDING).type.list_size
    for expected in wanted:
        name = expected.name
        if name not in schema.names:
            raise _invalid(file, f"column {name} is missing")
        found = schema.field(name).type
        # The name that a list type gives to its values says nothing of the values.
        same = (
            pa.types.is_fixed_size_list(found)
            and found.list_size == dim
            and found.value_type == pa.float32()
            if name == EMBEDDING
            else found == expected.type
        )
        if not same:
            raise _invalid(file, f"column {name} is {found}, expected {expected.type}")


def _check_batch(
    file: Path, batch: pa.RecordBatch, start: int, last: str | None, version: str
) -> str | None:
    """Check the rows of one batch.

    Args:
        file: the file, for messages.
        batch: `[n]` rows with the columns of `embeddings_schema`.
        start: the number of its first row in the file.
        last: the item before its first, because a pair may stand in two batches.
        version: the version that every row must carry.

    Returns:
        The last item of the batch.

    Raises:
        LongtailError: names the problem, and the row.
    """
    ids = batch[ITEM]
    for name in batch.schema.names:
        if batch[name].null_count:
            raise _invalid(file, f"column {name} has {batch[name].null_count} nulls")
    if num_nulls := batch[EMBEDDING].flatten().null_count:
        raise _invalid(file, f"column {EMBEDDING} has {num_nulls} nulls inside its vectors")
    if not pc.all(pc.equal(batch[MODEL_VERSION], version)).as_py():
        raise _invalid(file, f"rows carry another model_version than {version}")
    # Each item is compared with the one before it, which shows duplicates and disorder at once.
    before = pa.concat_arrays([pa.array([last], pa.string()), ids[:-1]]) if len(ids) else ids
    unordered = np.flatnonzero(pc.fill_null(pc.greater_equal(before, ids), False))
    if len(unordered):
        row = int(unordered[0])
        problem = "stands twice" if before[row] == ids[row] else "is out of order"
        raise _invalid(file, f"row {start + row}: item {ids[row].as_py()!r} {problem}")
    norms = np.linalg.norm(embedding_matrix(batch).astype(np.float64), axis=1)
    # A norm that is not finite fails this comparison, too.
    wrong = np.flatnonzero(~(np.abs(norms - 1.0) <= NORM_TOLERANCE))
    if len(wrong):
        row = int(wrong[0])
        finite = np.isfinite(norms[row])
        problem = f"norm {norms[row]:.4g}, not 1" if finite else "a value not finite"
        raise _invalid(file, f"row {start + row}: item {ids[row].as_py()!r} has {problem}")
    bias = bias_values(batch)
    if bias is not None and not np.isfinite(bias).all():
        row = int(np.flatnonzero(~np.isfinite(bias))[0])
        raise _invalid(file, f"row {start + row}: item {ids[row].as_py()!r} has a bias not finite")
    return str(ids[-1].as_py()) if len(ids) else last


def _content(batch: pa.RecordBatch) -> bytes:
    """Return the bytes of the rows that `Content.sha256` is the hash of."""
    matrix = with_bias(embedding_matrix(batch), bias_values(batch))
    vectors, size = matrix.astype("<f4", copy=False).tobytes(), 4 * matrix.shape[1]
    items = map(str.encode, batch[ITEM].to_pylist())
    return b"".join(
        struct.pack("<I", len(item)) + item + vectors[row * size : (row + 1) * size]
        for row, item in enumerate(items)
    )


def _check_complete(file: Path, catalogue: Keys, batch_rows: int) -> None:
    """Refuse items that are not exactly those of the catalogue."""
    own = Keys(file)
    missing = absent(catalogue.batches(batch_rows), own.batches(batch_rows))
    if missing.num_absent:
        raise _invalid(
            file, f"{missing.num_absent} catalogue items are missing, such as {missing.first!r}"
        )
    foreign = absent(own.batches(batch_rows), catalogue.batches(batch_rows))
    if foreign.num_absent:
        raise _invalid(
            file, f"{foreign.num_absent} items are not in the catalogue, such as {foreign.first!r}"
        )


def _invalid(file: Path, problem: str) -> LongtailError:
    return LongtailError(
        f"{file} is not published: {problem}; what is served stays. Export the version again"
    )
