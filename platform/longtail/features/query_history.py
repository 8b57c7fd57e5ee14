"""Each query's history as of a day: the newest items that it has interacted with.

These histories hold all interactions, those of the validation and test parts too. They are what a
served version reads. Training and evaluation never read them: they make their own from the
training part.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from longtail.features.feast.history import in_one, ranked

HISTORY_TYPE = pa.list_(pa.string())
# Queries whose histories are made at once: their texts stay far below Arrow's limit of 2 GiB.
_BLOCK = 1 << 20


def query_histories(
    queries: pa.ChunkedArray,
    interactions: pa.Table,
    known_items: pa.ChunkedArray,
    *,
    length: int,
) -> pa.ChunkedArray:
    """Return the newest items of each query, newest first.

    An item counts once, at the moment of its pair. Of several items of one moment the one with the
    lower id comes first. Items that never had a feature row are left out: no version knows them,
    and they would take the places of others. Items that are gone from the catalogue stay, because
    the versions that were trained on them know them.

    Args:
        queries: `[num_queries]` distinct ids.
        interactions: each pair once: `query_id`, `item_id`, `event_timestamp`, sorted by pair. The
            pairs of other queries are ignored.
        known_items: ids of items that have feature rows; they may repeat.
        length: most items of a history.

    Returns:
        `[num_queries]` lists of item ids; an empty list for a query without interactions.
    """
    assert length > 0, "a history has at least one place"
    num_queries = len(queries)
    if not interactions.num_rows or not num_queries:
        return pa.chunked_array([pa.array([[]] * num_queries, HISTORY_TYPE)], HISTORY_TYPE)
    query = pc.index_in(interactions["query_id"], value_set=in_one(queries).cast(pa.string()))
    query = query.fill_null(-1).to_numpy().astype(np.int64)
    item_ids, item = ranked(interactions["item_id"])
    known = pc.is_in(item_ids, value_set=pc.unique(known_items)).to_numpy(zero_copy_only=False)
    kept = np.flatnonzero((query >= 0) & known[item])
    query, item = query[kept], item[kept]
    moment = interactions["event_timestamp"].cast(pa.int64()).to_numpy()[kept]
    # By query, then from new to old, then by id.
    order = np.lexsort((item, -moment, query))
    query, item = query[order], item[order]
    # The place of each item in its query's history.
    place = np.arange(len(query)) - np.searchsorted(query, query)
    query, item = query[place < length], item[place < length]
    ends = np.searchsorted(query, np.arange(num_queries + 1))
    blocks = []
    for first in range(0, num_queries, _BLOCK):
        offsets = ends[first : first + _BLOCK + 1]
        items = item_ids.take(pa.array(item[offsets[0] : offsets[-1]])).cast(pa.string())
        starts = pa.array((offsets - offsets[0]).astype(np.int32))
        blocks.append(pa.ListArray.from_arrays(starts, items))
    return pa.chunked_array(blocks, HISTORY_TYPE)
