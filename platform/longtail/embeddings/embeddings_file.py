"""The format of `item_embeddings.parquet`: its columns, and the size of one such file."""

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from longtail.errors import LongtailError

ITEM, EMBEDDING, MODEL_VERSION = COLUMNS = ("item_id", "embedding", "model_version")


def embeddings_schema(dim: int) -> pa.Schema:
    """Return the Arrow schema of exported embeddings with `dim` values a vector."""
    return pa.schema(
        [
            pa.field(ITEM, pa.string(), nullable=False),
            pa.field(EMBEDDING, pa.list_(pa.float32(), dim), nullable=False),
            pa.field(MODEL_VERSION, pa.string(), nullable=False),
        ]
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
