"""Reads Parquet files batch by batch, whatever their size."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def record_batches(
    file: Path, batch_rows: int, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield a Parquet file's rows in order; memory does not grow with the file.

    Args:
        file: the file.
        batch_rows: rows in one batch, at most.
        columns: the columns to read, in this order; None for all.

    Raises:
        FileNotFoundError: there is no such file.
        pyarrow.ArrowException, OSError: the file is damaged.
    """
    # By default PyArrow fetches in advance, and then holds the whole file until its last batch.
    with pq.ParquetFile(file, pre_buffer=False) as parquet:
        yield from parquet.iter_batches(
            batch_rows, columns=list(columns) if columns is not None else None
        )
