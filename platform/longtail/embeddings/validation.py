"""What a version's embeddings must show before any slot is touched."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from longtail.errors import LongtailError

COLUMNS = ("item_id", "embedding", "model_version")
NORM_TOLERANCE = 1e-3
"""How far a norm may be from 1: far above float32 rounding, far below any wrong export."""


def embedding_batches(
    file: Path, batch_rows: int
) -> Iterator[tuple[list[str], npt.NDArray[np.float32]]]:
    """Read `item_embeddings.parquet` in batches: `[n]` item ids and `[n, dim]` vectors."""
    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(batch_size=batch_rows, columns=list(COLUMNS[:2])):
            yield batch["item_id"].to_pylist(), _matrix(batch["embedding"])


def validate_embeddings(
    file: Path, manifest: dict[str, Any], *, batch_rows: int, catalogue: pa.ChunkedArray | None
) -> int:
    """Check columns, dimension, values, norms, order, duplicates, and completeness.

    Args:
        file: a version's `item_embeddings.parquet`.
        manifest: the version's manifest.
        batch_rows: rows held in memory at once.
        catalogue: keys of all items that must be there, no other; None where it is not known.

    Returns:
        The number of rows.

    Raises:
        LongtailError: what is wrong, and in which row.
    """
    try:
        with pq.ParquetFile(file) as parquet:
            _check_columns(file, parquet.schema_arrow, manifest["embedding_dim"])
            num_rows = 0
            last = None
            for batch in parquet.iter_batches(batch_size=batch_rows, columns=list(COLUMNS)):
                last = _check_batch(file, batch, num_rows, last, manifest["version"])
                num_rows += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise _invalid(file, f"it cannot be read: {error}") from error
    if num_rows != manifest["num_items"]:
        raise _invalid(file, f"it has {num_rows} rows, its manifest says {manifest['num_items']}")
    if catalogue is not None:
        _check_complete(file, catalogue)
    return num_rows


def _check_columns(file: Path, schema: pa.Schema, dim: int) -> None:
    expected = {
        "item_id": pa.string(),
        "embedding": pa.list_(pa.float32(), dim),
        "model_version": pa.string(),
    }
    for name, column_type in expected.items():
        if name not in schema.names:
            raise _invalid(file, f"column {name} is missing")
        found = schema.field(name).type
        same = (
            pa.types.is_fixed_size_list(found)
            and found.list_size == dim
            and found.value_type == pa.float32()
            if name == "embedding"
            else found == column_type
        )
        if not same:
            raise _invalid(file, f"column {name} is {found}, expected {column_type}")


def _check_batch(
    file: Path, batch: pa.RecordBatch, start: int, last: str | None, version: str
) -> str | None:
    """Check one batch; `last` is the id before it, the last id of the batch is returned."""
    ids = batch["item_id"]
    for name in COLUMNS:
        if batch[name].null_count:
            raise _invalid(file, f"column {name} has {batch[name].null_count} nulls")
    if not pc.all(pc.equal(batch["model_version"], version)).as_py():
        raise _invalid(file, f"rows carry another model_version than {version}")
    before = pa.concat_arrays([pa.array([last], pa.string()), ids[:-1]]) if len(ids) else ids
    unordered = np.flatnonzero(pc.fill_null(pc.greater_equal(before, ids), False))
    if len(unordered):
        row = int(unordered[0])
        what = "stands twice" if before[row] == ids[row] else "is out of order"
        raise _invalid(file, f"row {start + row}: item {ids[row].as_py()!r} {what}")
    vectors = _matrix(batch["embedding"])
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    # A norm that is not finite fails this comparison too.
    wrong = np.flatnonzero(~(np.abs(norms - 1.0) <= NORM_TOLERANCE))
    if len(wrong):
        row = int(wrong[0])
        what = f"norm {norms[row]:.4g}, not 1" if np.isfinite(norms[row]) else "a value not finite"
        raise _invalid(file, f"row {start + row}: item {ids[row].as_py()!r} has {what}")
    return str(ids[-1].as_py()) if len(ids) else last


def _check_complete(file: Path, catalogue: pa.ChunkedArray) -> None:
    ids = pq.read_table(file, columns=["item_id"])["item_id"]
    wanted = pc.cast(catalogue, pa.string())
    missing = wanted.filter(pc.invert(pc.is_in(wanted, value_set=ids)))
    if len(missing):
        raise _invalid(
            file, f"{len(missing)} catalogue items are missing, such as {missing[0].as_py()!r}"
        )
    foreign = ids.filter(pc.invert(pc.is_in(ids, value_set=wanted)))
    if len(foreign):
        raise _invalid(
            file, f"{len(foreign)} items are not in the catalogue, such as {foreign[0].as_py()!r}"
        )


def _matrix(column: pa.FixedSizeListArray) -> npt.NDArray[np.float32]:
    flat: npt.NDArray[np.float32] = column.flatten().to_numpy()
    return flat.reshape(len(column), column.type.list_size)


def _invalid(file: Path, problem: str) -> LongtailError:
    return LongtailError(
        f"{file} is not published: {problem}; what is served stays. Export the version again"
    )
