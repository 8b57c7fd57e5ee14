"""Exported embeddings as one NumPy matrix, without a copy."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from longtail.errors import InputError, LongtailError

COLUMN = "embedding"


def embedding_matrix(
    source: str | os.PathLike[str] | pa.Table | pa.RecordBatch,
) -> npt.NDArray[np.float32]:
    """The column `embedding` as a matrix that looks straight into Arrow's memory.

    A table of one chunk, as `pyarrow.parquet.ParquetFile(file).read()` returns it, is not copied,
    whatever its size; the matrix keeps the memory alive. `pyarrow.parquet.read_table` makes a chunk
    of every row group: a table of several chunks is put together first, which is one copy.

    Args:
        source: a version's `item_embeddings.parquet`, or what was read from it.

    Returns:
        `[num_items, dim]` float32, in the order of the rows, not writable.

    Raises:
        InputError: there is no such file, or no column `embedding` of `fixed_size_list<float32>`.
        LongtailError: the file is damaged, or a row has no vector.
    """
    where = "the table"
    if isinstance(source, (str, os.PathLike)):
        where = os.fspath(source)
        source = read_columns(Path(source), [COLUMN])
    if COLUMN not in source.schema.names:
        raise InputError(f"{where} has no column `{COLUMN}`: give a version's embeddings")
    found = source.schema.field(COLUMN).type
    if not pa.types.is_fixed_size_list(found) or found.value_type != pa.float32():
        raise InputError(
            f"column `{COLUMN}` of {where} is {found}, expected fixed_size_list<float32>: give a "
            "version's embeddings"
        )
    column = source[COLUMN]
    if column.null_count:
        raise LongtailError(
            f"column `{COLUMN}` of {where} has {column.null_count} rows without a vector: export "
            "the version again"
        )
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    values = column.flatten()  # of the rows that a slice shows; a view
    if values.null_count:
        raise LongtailError(
            f"column `{COLUMN}` of {where} has vectors without a value: export the version again"
        )
    if not len(values):
        return np.empty((0, found.list_size), np.float32)
    # What `to_numpy` returns, which imports pandas to do so.
    flat = np.frombuffer(values.buffers()[1], np.float32, len(values), 4 * values.offset)
    flat.flags.writeable = False  # Arrow's arrays never change
    return flat.reshape(-1, found.list_size)


def read_columns(file: Path, columns: list[str]) -> pa.Table:
    """Columns of a Parquet file; fixed-size values come in one chunk, whatever its row groups.

    Raises:
        InputError: there is no such file, or it has no such column.
        LongtailError: it is damaged.
    """
    try:
        with pq.ParquetFile(file) as parquet:
            if missing := sorted(set(columns) - set(parquet.schema_arrow.names)):
                raise InputError(f"{file} has no column {', '.join(missing)}")
            return parquet.read(columns=columns)
    except FileNotFoundError as error:
        raise InputError(f"{file} does not exist: run `longtail export` first") from error
    except (pa.ArrowException, OSError) as error:
        raise LongtailError(
            f"{file} cannot be read ({error}): restore it, or export the version again"
        ) from error
