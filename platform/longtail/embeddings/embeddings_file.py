"""The format of `item_embeddings.parquet`: its columns, and the size of one such file."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from longtail.embeddings.arrow_columns import numbers
from longtail.errors import LongtailError

ITEM, EMBEDDING, MODEL_VERSION = COLUMNS = ("item_id", "embedding", "model_version")

BIAS = "bias"
"""The column of a version whose scores are a cosine and a bias of the item."""


def embeddings_schema(dim: int, *, has_bias: bool = False) -> pa.Schema:
    """Return the Arrow schema of exported embeddings.

    Args:
        dim: the values of a vector.
        has_bias: whether items have a bias: what is added to the cosine of a query and the item.
    """
    fields = [
        pa.field(ITEM, pa.string(), nullable=False),
        pa.field(EMBEDDING, pa.list_(pa.float32(), dim), nullable=False),
        pa.field(MODEL_VERSION, pa.string(), nullable=False),
    ]
    if has_bias:
        fields.append(pa.field(BIAS, pa.float32(), nullable=False))
    return pa.schema(fields)


def bias_values(source: pa.Table | pa.RecordBatch) -> npt.NDArray[np.float32] | None:
    """Return the biases of exported embeddings: `[num_items]`, or None in a version without.

    Args:
        source: what was read from a version's `item_embeddings.parquet`.

    Raises:
        LongtailError: an item has none.
    """
    if BIAS not in source.schema.names:
        return None
    column = source[BIAS]
    if column.null_count:
        raise LongtailError(
            f"column `{BIAS}` has {column.null_count} rows without a value: export the version "
            "again"
        )
    return numbers(
        column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column, np.float32
    )


class EmbeddingsSize(NamedTuple):
    """The size of a file of embeddings.

    Attributes:
        num_items: its rows.
        embedding_dim: length of a vector.
    """

    num_items: int
    embedding_dim: int


def embeddings_size(file: Path) -> EmbeddingsSize:
    """Read the size of a file of embeddings, which stands in its footer.

    Raises:
        LongtailError: there is no such file, or it is damaged.
    """
    try:
        with pq.ParquetFile(file) as parquet:
            return EmbeddingsSize(
                parquet.metadata.num_rows, parquet.schema_arrow.field(EMBEDDING).type.list_size
            )
    except FileNotFoundError as error:
        raise LongtailError(f"{file} does not exist: run `longtail export` first") from error
    except (pa.ArrowException, OSError) as error:
        raise LongtailError(f"{file} cannot be read ({error}): export the version again") from error


def has_bias_column(file: Path) -> bool:
    """Return whether a file of embeddings has biases; the file must be readable."""
    return BIAS in pq.read_schema(file).names
