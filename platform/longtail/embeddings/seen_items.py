"""The file of a version that holds the items each query has seen, for `exclude_seen`."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

from longtail.artifacts import replaced_file
from longtail.errors import LongtailError

_SCHEMA = pa.schema(
    [
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
    ]
)
# The rows of a query stand together, so that a lookup reads one or two of these groups.
_ROWS_IN_A_GROUP = 65_536


def write_seen_items(interactions: Path, target: Path) -> None:
    """Copy the pairs of a day's interactions into a version, each pair once, sorted by query.

    Args:
        interactions: the catalogue's file, with the columns `query_id` and `item_id`.
        target: the version's `seen_items.parquet`.
    """
    pairs = pq.read_table(interactions, columns=_SCHEMA.names).cast(_SCHEMA)
    pairs = pairs.group_by(_SCHEMA.names).aggregate([]).select(_SCHEMA.names)
    pairs = pairs.sort_by([(name, "ascending") for name in _SCHEMA.names])
    with replaced_file(target) as temporary:
        pq.write_table(
            pairs.cast(_SCHEMA), temporary, compression="zstd", row_group_size=_ROWS_IN_A_GROUP
        )


def read_seen_items(file: Path, queries: Sequence[str]) -> dict[str, set[str]]:
    """Read the items that each of some queries has seen.

    Args:
        file: the version's `seen_items.parquet`.
        queries: the ids of the queries.

    Returns:
        Item ids by query; an empty set for a query that has seen nothing.

    Raises:
        LongtailError: the version has no such file, because an older release made it, or the file
            is damaged.
    """
    if not file.is_file():
        raise LongtailError(
            f"{file} does not exist, so the items that {queries[0]!r} has seen are not known: "
            "publish a version of this release with `longtail run`, or do not exclude seen items"
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
