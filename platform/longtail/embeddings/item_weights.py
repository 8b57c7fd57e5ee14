"""The file of the weights from item to item, which are a part of a version's memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

from longtail.artifacts import replaced_file
from longtail.embeddings.arrow_columns import numbers, read_columns
from longtail.errors import LongtailError
from longtail.memory.item_weights import Kind


def write_item_weights(file: Path, weights: Mapping[Kind, sparse.csr_array]) -> None:
    """Write the weights `[C, C]` of each kind; without any, remove the file.

    Row i of the file is row i of `item_embeddings.parquet`. A kind has two columns: lists of the
    rows of other items, int32, and of their weights, float32.
    """
    if not weights:
        file.unlink(missing_ok=True)
        return
    columns = {}
    for kind, matrix in weights.items():
        offsets = pa.array(matrix.indptr.astype(np.int32))
        for name, values in (
            (_items(kind), matrix.indices.astype(np.int32)),
            (_weights(kind), matrix.data.astype(np.float32)),
        ):
            columns[name] = pa.ListArray.from_arrays(offsets, pa.array(values))
    with replaced_file(file) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def read_item_weights(
    file: Path, kinds: Sequence[Kind], num_items: int
) -> dict[Kind, sparse.csr_array]:
    """Read the weights of some kinds.

    Args:
        file: of `write_item_weights`.
        kinds: the kinds that vote.
        num_items: rows of `item_embeddings.parquet`, C.

    Returns:
        `[C, C]` float32 for each kind.

    Raises:
        LongtailError: the file is missing or damaged, lacks a kind, or is of other items.
    """
    names = [name for kind in kinds for name in (_items(kind), _weights(kind))]
    table = read_columns(file, names)
    weights: dict[Kind, sparse.csr_array] = {}
    for kind in kinds:
        items, values = (table[name].combine_chunks() for name in (_items(kind), _weights(kind)))
        offsets = numbers(items.offsets, np.int32)
        columns = numbers(items.values, np.int32)
        if table.num_rows != num_items or np.any(columns >= num_items):
            raise LongtailError(
                f"{file} has the weights of other items than those of its version: restore it, or "
                "export the version again"
            )
        weights[kind] = sparse.csr_array(
            (numbers(values.values, np.float32), columns, offsets), shape=(num_items, num_items)
        )
    return weights


def _items(kind: Kind) -> str:
    return f"{kind}_items"


def _weights(kind: Kind) -> str:
    return f"{kind}_weights"
