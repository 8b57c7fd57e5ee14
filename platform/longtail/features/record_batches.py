"""Parquet files that are read batch by batch, whatever their size."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def record_batches(
    file: Path, batch_rows: int, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Read a Parquet file in order; what is held at once does not grow with the file.

    Args:
        file: the file.
        batch_rows: rows of a batch, at most.
        columns: which to read, in this order; None for all.

    Raises:
        FileNotFoundError: there is no such file.
        pyarrow.ArrowException, OSError: it is damaged.
    """
    # Fetched in advance, as PyArrow does by itself, the whole file is held until its last batch.
    with pq.ParquetFile(file, pre_buffer=False) as parquet:
        yield from parquet.iter_batches(
            batch_rows, columns=list(columns) if columns is not None else None
        )
