"""The file of a version that holds the items each query has seen, for `exclude_seen`."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

from longtail.artifacts import replaced_file
from longtail.errors import LongtailError
from longtail.features.record_batches import record_batches

_SCHEMA = pa.schema(
    [
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
    ]
)
# The rows of a query stand together, so that a lookup reads one or two of these groups.
_ROWS_IN_A_GROUP = 65_536


_MADE_FROM = b"longtail.fingerprint"


def write_seen_items(interactions: Path, target: Path, *, made_from: str) -> None:
    """Copy the pairs of a day's interactions into a version, a batch of them in memory at a time.

    Args:
        interactions: the catalogue's file, with the columns `query_id` and `item_id`. It has each
            pair once, and the pairs of a query beside each other.
        target: the version's `seen_items.parquet`.
        made_from: the fingerprint of the export, kept in the file.
    """
    schema = _SCHEMA.with_metadata({_MADE_FROM: made_from.encode()})
    with (
        replaced_file(target) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for batch in record_batches(interactions, _ROWS_IN_A_GROUP, _SCHEMA.names):
            writer.write_table(pa.Table.from_batches([batch]).cast(schema))


def are_made_from(file: Path, fingerprint: str) -> bool:
    """Return whether a version's seen items are there, and were written by this export."""
    if not file.is_file():
        return False
    metadata = pq.read_schema(file).metadata or {}
    return metadata.get(_MADE_FROM) == fingerprint.encode()


def read_seen_items(file: Path, queries: Sequence[str]) -> dict[str, set[str]]:
    """Read the items that each of some queries has seen.

    Args:
        file: the version's `seen_items.parquet`, or a day's interactions.
        queries: the ids of the queries.

    Returns:
        Item ids by query; an empty set for a query that has seen nothing.

    Raises:
        LongtailError: there is no such file, or it is damaged.
    """
    if not file.is_file():
        raise LongtailError(
            f"{file} does not exist, so the items that {queries[0]!r} has seen are not known: "
            "publish a version with `longtail run`, or do not exclude seen items"
        )
    asked = pyarrow.dataset.field("query_id").isin(list(queries))
    try:
        pairs = pq.read_table(file, columns=_SCHEMA.names, filters=asked)
    except (pa.ArrowException, OSError) as error:
        raise LongtailError(
            f"{file} cannot be read ({error}): restore it, or do not exclude seen items"
        ) from error
    seen: dict[str, set[str]] = {query: set() for query in queries}
    for query, item in zip(*(pairs[name].to_pylist() for name in _SCHEMA.names), strict=True):
        seen[query].add(item)
    return seen
