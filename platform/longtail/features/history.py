"""Rows over time: which belong to a day, and which come first and last of each key."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longtail.errors import InputError

ACTIVE = "active"
WEIGHT = "weight"
EPOCH_DAY = date(1970, 1, 1)


def before_end_of(rows: pa.Table, as_of: date) -> pa.Table:
    """The rows whose `event_timestamp` is before the day after `as_of`, 00:00 UTC."""
    end = datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC) + timedelta(days=1)
    return rows.filter(pc.less(rows["event_timestamp"], pa.scalar(end, pa.timestamp("us", "UTC"))))


def first_of_group(rows: pa.Table, columns: Sequence[str]) -> pa.Array:
    """A boolean mask [num_rows] of the first row of each run of equal values in `columns`.

    The columns have no nulls.
    """
    first = np.zeros(rows.num_rows, dtype=bool)
    first[:1] = True
    for column in columns:
        values = rows[column].combine_chunks()
        changed = pc.not_equal(values.slice(1), values.slice(0, max(len(values) - 1, 0)))
        first[1:] |= changed.to_numpy(zero_copy_only=False)
    return pa.array(first)


def latest_rows(history: pa.Table, key: str) -> pa.Table:
    """The last row of each key of a history that is sorted by key, then timestamp."""
    first = first_of_group(history, [key]).to_numpy(zero_copy_only=False)
    return history.filter(pa.array(np.append(first[1:], True)))


def newest_day(rows: pa.Table, source: str) -> date:
    """The day of the newest row, or the last complete UTC day where all rows are of 1970-01-01.

    That is what tables without timestamps are given.

    Raises:
        InputError: there is no row.
    """
    _require_some(rows, source)
    newest: date = pc.max(rows["event_timestamp"]).as_py().date()
    return datetime.now(UTC).date() - timedelta(days=1) if newest == EPOCH_DAY else newest


def known_pairs(rows: pa.Table, as_of: date, source: str) -> pa.Table:
    """Interactions up to the end of a day, each pair once, at its earliest; sorted by pair.

    Args:
        rows: `query_id`, `item_id`, `event_timestamp`, maybe `weight`, where null stands for 1.
        as_of: the day.
        source: the table's name in messages.

    Returns:
        columns `query_id`, `item_id`, `event_timestamp`, `weight` float32.

    Raises:
        InputError: there is none.
    """
    known = _required(before_end_of(rows, as_of), rows, as_of, source)
    if WEIGHT in known.column_names:
        weight = pc.fill_null(known[WEIGHT], 1.0)
    else:
        weight = pa.array(np.ones(known.num_rows, dtype=np.float32))
    (query_ids, query), (item_ids, item) = ranked(known["query_id"]), ranked(known["item_id"])
    moments = known["event_timestamp"].cast(pa.int64()).to_numpy()
    pair = query * len(item_ids) + item
    order = np.lexsort([-weight.to_numpy(), moments, pair])
    first = np.append(True, np.diff(pair[order]) != 0)
    order = order[first]
    return pa.table(
        {
            "query_id": query_ids.take(pa.array(query[order])),
            "item_id": item_ids.take(pa.array(item[order])),
            "event_timestamp": pa.array(moments[order]).cast(pa.timestamp("us", "UTC")),
            WEIGHT: pa.array(weight.to_numpy()[order]),
        }
    )


def ranked(column: pa.ChunkedArray) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """The distinct values of a column, sorted, and the place of each row's among them.

    Numbers sort ten times faster than texts do.

    Args:
        column: `[num_rows]` without nulls, at least one row.
    """
    encoded = pc.dictionary_encode(column).unify_dictionaries()
    values = encoded.chunk(0).dictionary
    order = pc.sort_indices(values).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])
    return values.take(pa.array(order)), rank[codes]


def known_history(rows: pa.Table, as_of: date, source: str) -> pa.Table:
    """Rows of a side up to the end of a day.

    Raises:
        InputError: there is none.
    """
    return _required(before_end_of(rows, as_of), rows, as_of, source)


def _required(known: pa.Table, rows: pa.Table, as_of: date, source: str) -> pa.Table:
    _require_some(rows, source)
    if not known.num_rows:
        oldest = pc.min(rows["event_timestamp"]).as_py().isoformat()
        raise InputError(
            f"{source} has no row that is older than the end of {as_of} (UTC); the oldest is of "
            f"{oldest}: choose a later --as-of, or correct its timestamps"
        )
    return known


def _require_some(rows: pa.Table, source: str) -> None:
    if not rows.num_rows:
        raise InputError(f"no row of {source} can be used: mend the rows that were refused")
