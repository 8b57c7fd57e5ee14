"""Reads single-valued columns from DuckDB as integer codes."""

from collections.abc import Sequence

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ibis.expr.types import Table

from longtail.correlation.code_counts import Codes

# Rows of a batch.
BATCH = 1_000_000


def read_codes(table: Table, columns: Sequence[str]) -> list[Codes]:
    """Read single-valued columns as codes, which take 4 bytes for each item and column.

    Args:
        table: one row for each item, on a DuckDB backend.
        columns: columns that are not lists.

    Returns:
        One `Codes` for each column, all in the same order of items. Nulls have the last code.
    """
    backend = table.get_backend()
    # DuckDB is asked directly, since ibis 12 streams by a call that DuckDB 2.0 no longer has.
    query = ibis.to_sql(table.select(*columns), dialect="duckdb")
    reader = backend.con.sql(query).to_arrow_reader(BATCH)
    chunks: list[list[pa.Array]] = [[] for _ in columns]
    for batch in reader:
        for chunk, column in zip(chunks, batch.columns, strict=True):
            chunk.append(pc.dictionary_encode(column))
    return [_codes(chunk) for chunk in chunks]


def _codes(chunks: list[pa.Array]) -> Codes:
    """Return one column's codes from its dictionary-encoded batches."""
    if not chunks:
        return Codes(np.empty(0, dtype=np.int32), 1, 0)
    unified = pa.chunked_array(chunks).unify_dictionaries()
    missing = len(unified.chunk(0).dictionary)
    values = np.empty(len(unified), dtype=np.int32)
    start = 0
    for chunk in unified.chunks:
        indices = pc.fill_null(chunk.indices, missing)
        values[start : start + len(chunk)] = indices.to_numpy()
        start += len(chunk)
    return Codes(values, missing + 1, missing)
