"""Exported embeddings as one NumPy matrix, without a copy."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from longtail.embeddings.arrow_columns import numbers, read_columns
from longtail.embeddings.embeddings_file import EMBEDDING
from longtail.errors import InputError, LongtailError


def embedding_matrix(
    source: str | os.PathLike[str] | pa.Table | pa.RecordBatch,
) -> npt.NDArray[np.float32]:
    """Return the column `embedding` as a matrix that is a view of Arrow's memory.

    A table of one chunk, as `pyarrow.parquet.ParquetFile(file).read()` returns it, is not copied,
    whatever its size; the matrix keeps the memory alive. `pyarrow.parquet.read_table` makes a chunk
    of every row group: the chunks of such a table are joined first, which is one copy.

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
        source = read_columns(Path(source), [EMBEDDING])
    if EMBEDDING not in source.schema.names:
        raise InputError(f"{where} has no column `{EMBEDDING}`: give a version's embeddings")
    found = source.schema.field(EMBEDDING).type
    if not pa.types.is_fixed_size_list(found) or found.value_type != pa.float32():
        raise InputError(
            f"column `{EMBEDDING}` of {where} is {found}, expected fixed_size_list<float32>: give "
            "a version's embeddings"
        )
    column = source[EMBEDDING]
    if column.null_count:
        raise LongtailError(
            f"column `{EMBEDDING}` of {where} has {column.null_count} rows without a vector: "
            "export the version again"
        )
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    # A slice shares the memory of its array: `flatten` keeps to the rows that the slice shows.
    values = column.flatten()
    if values.null_count:
        raise LongtailError(
            f"column `{EMBEDDING}` of {where} has vectors without a value: export the version again"
        )
    return numbers(values, np.float32).reshape(len(column), found.list_size)
