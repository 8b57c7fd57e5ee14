"""The interactions as numbers: whose, when, of what weight; read block by block."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from longtail.dataset.splits import pair_position
from longtail.features.schema import Side
from longtail.record_batches import record_batches

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]

# Ids are texts, and the hash of a pair is a longer one: so many pairs are held at once.
BLOCK = 1 << 20


@dataclass(frozen=True)
class Interactions:
    """All interactions of a day, 28 bytes each.

    Attributes:
        query_ids, item_ids: every key of the side with features or interactions, sorted.
        query, item: `[n]` int32 positions in these.
        when: `[n]` int64, microseconds since 1970-01-01 UTC.
        weight: `[n]` float32.
        place: `[n]` float64, the pair's place in the hash split.
    """

    query_ids: pa.Array
    item_ids: pa.Array
    query: Int32Array
    item: Int32Array
    when: Int64Array
    weight: npt.NDArray[np.float32]
    place: npt.NDArray[np.float64]

    def ids(self, side: Side) -> pa.Array:
        """`query_ids` or `item_ids`."""
        return self.query_ids if side == "query" else self.item_ids

    def entity(self, side: Side) -> Int32Array:
        """`query` or `item`."""
        return self.query if side == "query" else self.item


def read_interactions(
    file: Path, *, known_queries: pa.ChunkedArray, known_items: pa.ChunkedArray, unordered: bool
) -> Interactions:
    """Read the catalogue's interactions.

    Args:
        file: columns `query_id`, `item_id`, `event_timestamp`, `weight`.
        known_queries: ids with features, as often as they like.
        known_items: likewise.
        unordered: whether queries and items share ids, see `pair_position`.
    """
    query_ids = _all_ids(file, "query_id", known_queries)
    item_ids = _all_ids(file, "item_id", known_items)
    with pq.ParquetFile(file) as parquet:
        count = parquet.metadata.num_rows
    query, item = np.empty(count, np.int32), np.empty(count, np.int32)
    when, weight, place = np.empty(count, np.int64), np.empty(count, np.float32), np.empty(count)
    start = 0
    for batch in _blocks(file, ["query_id", "item_id", "event_timestamp", "weight"]):
        rows = slice(start, start + batch.num_rows)
        queries, items = batch["query_id"].combine_chunks(), batch["item_id"].combine_chunks()
        query[rows] = pc.index_in(queries, value_set=query_ids).to_numpy()
        item[rows] = pc.index_in(items, value_set=item_ids).to_numpy()
        when[rows] = microseconds(batch["event_timestamp"])
        weight[rows] = batch["weight"].to_numpy()
        place[rows] = pair_position(queries, items, unordered=unordered)
        start = rows.stop
    return Interactions(query_ids, item_ids, query, item, when, weight, place)


def microseconds(column: pa.ChunkedArray) -> Int64Array:
    """A column of timestamps as int64 microseconds since 1970-01-01 UTC."""
    utc = pc.cast(column, pa.timestamp("us", tz="UTC"))
    numbers: Int64Array = pc.cast(utc, pa.int64()).to_numpy()
    return numbers


def _all_ids(file: Path, column: str, known: pa.ChunkedArray) -> pa.Array:
    seen = [pc.unique(batch[column]) for batch in _blocks(file, [column])]
    return pc.unique(pa.chunked_array([pc.unique(known), *seen], pa.string())).sort()


def _blocks(file: Path, columns: list[str]) -> Iterator[pa.Table]:
    for batch in record_batches(file, BLOCK, columns):
        yield pa.Table.from_batches([batch])
