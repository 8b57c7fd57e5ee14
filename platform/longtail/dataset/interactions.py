"""The interactions as numbers: whose, when, of what weight; read block by block."""

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

# Ids are texts, and the hash of a pair is a longer one: so many pairs are held at once.
BLOCK = 1 << 20


@dataclass(frozen=True)
class Interactions:
    """All interactions of a day, 20 bytes each.

    Attributes:
        query_ids, item_ids: every key of the side with features or interactions, sorted.
        query, item: `[n]` int32 positions in these.
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
        """`query_ids` or `item_ids`."""
        return self.query_ids if side == "query" else self.item_ids

    def entity(self, side: Side) -> Int32Array:
        """`query` or `item`."""
        return self.query if side == "query" else self.item


def read_interactions(
    file: Path, *, known_queries: pa.ChunkedArray, known_items: pa.ChunkedArray
) -> Interactions:
    """Read the catalogue's interactions.

    Args:
        file: columns `query_id`, `item_id`, `event_timestamp`, `weight`.
        known_queries: ids with features, as often as they like.
        known_items: likewise.
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
    """Each pair's place in the hash split, see `pair_position`: `[n]`."""
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
    """A column of timestamps as int64 microseconds since 1970-01-01 UTC."""
    utc = pc.cast(column, pa.timestamp("us", tz="UTC"))
    numbers: Int64Array = pc.cast(utc, pa.int64()).to_numpy()
    return numbers


def positions(keys: pa.Array, ids: pa.Array) -> Int32Array:
    """The position of each key among distinct ids, -1 where there is none: `[n]`.

    A run of equal keys is looked up once.
    """
    first = first_of_group(pa.table({"key": keys}), ["key"])
    found = pc.index_in(keys.filter(first), value_set=ids).fill_null(-1).to_numpy()
    of_run: Int32Array = found[np.cumsum(first.to_numpy(zero_copy_only=False)) - 1]
    return of_run


def _coded(file: Path, column: str, known: pa.ChunkedArray) -> tuple[pa.Array, Int32Array]:
    """All ids of a side, sorted, and the position among them of each interaction's."""
    seen, codes = [], []
    for batch in _blocks(file, [column]):
        coded = pc.dictionary_encode(batch[column].combine_chunks())
        seen.append(coded.dictionary)
        codes.append(coded.indices.to_numpy())
    ids = pc.unique(pa.chunked_array([_runs(known), *seen], pa.string())).sort()
    of_block = [pc.index_in(values, value_set=ids).to_numpy() for values in seen]
    return ids, np.concatenate([place[code] for place, code in zip(of_block, codes, strict=True)])


def _runs(keys: pa.ChunkedArray) -> pa.Array:
    """One key of each run of equal ones."""
    return keys.filter(first_of_group(pa.table({"key": keys}), ["key"])).combine_chunks()


def _blocks(file: Path, columns: list[str]) -> Iterator[pa.Table]:
    for batch in record_batches(file, BLOCK, columns):
        yield pa.Table.from_batches([batch])
