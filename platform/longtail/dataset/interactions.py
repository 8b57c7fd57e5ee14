"""The interactions as numbers (query, item, time and weight), read block by block."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longtail.dataset.splits import pair_position
from longtail.features.feast.history import first_of_group
from longtail.features.record_batches import record_batches
from longtail.features.schema import Side

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]

# Interactions that are held as texts at once: their ids, and the longer text that a pair hashes.
BLOCK = 1 << 20


@dataclass(frozen=True)
class Interactions:
    """All interactions up to a day, 20 bytes each.

    Attributes:
        query_ids, item_ids: every key of the side that has features or interactions, sorted.
        query, item: `[n]` int32 positions in these ids.
        when: `[n]` int64, microseconds since 1970-01-01 UTC.
        weight: `[n]` float32.
    """

    query_ids: pa.Array
    item_ids: pa.Array
    query: Int32Array
    item: Int32Array
    when: Int64Array
    weight: npt.NDArray[np.float32]

    def ids(self, side: Side) -> pa.Array:
        """Return `query_ids` or `item_ids`."""
        return self.query_ids if side == "query" else self.item_ids

    def entity(self, side: Side) -> Int32Array:
        """Return `query` or `item`."""
        return self.query if side == "query" else self.item


def read_interactions(
    file: Path, *, known_queries: pa.ChunkedArray, known_items: pa.ChunkedArray
) -> Interactions:
    """Read the catalogue's interactions.

    Args:
        file: Parquet with columns `query_id`, `item_id`, `event_timestamp`, `weight`.
        known_queries: ids of queries with features; they may repeat.
        known_items: ids of items with features; they may repeat.
    """
    query_ids, query = _coded(file, "query_id", known_queries)
    item_ids, item = _coded(file, "item_id", known_items)
    when, weight = np.empty(len(query), np.int64), np.empty(len(query), np.float32)
    start = 0
    for batch in _blocks(file, ["event_timestamp", "weight"]):
        rows = slice(start, start + batch.num_rows)
        when[rows] = microseconds(batch["event_timestamp"])
        weight[rows] = batch["weight"].to_numpy()
        start = rows.stop
    return Interactions(query_ids, item_ids, query, item, when, weight)


def pair_places(interactions: Interactions, *, unordered: bool) -> npt.NDArray[np.float64]:
    """Return each pair's place in the hash split, see `pair_position`: `[n]`."""
    places = np.empty(len(interactions.query))
    for start in range(0, len(places), BLOCK):
        block = slice(start, start + BLOCK)
        places[block] = pair_position(
            interactions.query_ids.take(pa.array(interactions.query[block])),
            interactions.item_ids.take(pa.array(interactions.item[block])),
            unordered=unordered,
        )
    return places


def microseconds(column: pa.ChunkedArray) -> Int64Array:
    """Return a column of timestamps as int64 microseconds since 1970-01-01 UTC."""
    utc = pc.cast(column, pa.timestamp("us", tz="UTC"))
    numbers: Int64Array = pc.cast(utc, pa.int64()).to_numpy()
    return numbers


def positions(keys: pa.Array, ids: pa.Array) -> Int32Array:
    """Return the position of each key among distinct ids, -1 for an unknown key: `[n]`.

    It looks up a run of equal keys once.
    """
    first = first_of_group(pa.table({"key": keys}), ["key"])
    found = pc.index_in(keys.filter(first), value_set=ids).fill_null(-1).to_numpy()
    of_run: Int32Array = found[np.cumsum(first.to_numpy(zero_copy_only=False)) - 1]
    return of_run


def _coded(file: Path, column: str, known: pa.ChunkedArray) -> tuple[pa.Array, Int32Array]:
    """Return all ids of a side, sorted, and the position of each interaction's id among them."""
    # The positions are known only when all ids are: until then each block has codes of its own.
    seen, codes = [], []
    for batch in _blocks(file, [column]):
        coded = pc.dictionary_encode(batch[column].combine_chunks())
        seen.append(coded.dictionary)
        codes.append(coded.indices.to_numpy())
    ids = pc.unique(pa.chunked_array([_runs(known), *seen], pa.string())).sort()
    of_block = [pc.index_in(values, value_set=ids).to_numpy() for values in seen]
    return ids, np.concatenate([place[code] for place, code in zip(of_block, codes, strict=True)])


def _runs(keys: pa.ChunkedArray) -> pa.Array:
    """Return one key of each run of equal keys."""
    return keys.filter(first_of_group(pa.table({"key": keys}), ["key"])).combine_chunks()


def _blocks(file: Path, columns: list[str]) -> Iterator[pa.Table]:
    """Yield the rows of a file as tables of at most `BLOCK` rows."""
    for batch in record_batches(file, BLOCK, columns):
        yield pa.Table.from_batches([batch])
