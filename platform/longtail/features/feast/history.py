"""Rows over time: those up to the end of a day, and the first and last row of each key."""

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
    """Return the rows with an `event_timestamp` before the end of the day `as_of` in UTC."""
    end = datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC) + timedelta(days=1)
    before = pc.less(rows["event_timestamp"], pa.scalar(end, pa.timestamp("us", "UTC")))
    return rows if pc.all(before).as_py() else rows.filter(before)


def first_of_group(rows: pa.Table, columns: Sequence[str]) -> pa.Array:
    """Return a mask, `[num_rows]` bool, of the first row of each run of equal values.

    Args:
        rows: the rows.
        columns: the columns to compare; they have no nulls.
    """
    first = np.zeros(rows.num_rows, dtype=bool)
    first[:1] = True
    for column in columns:
        values = in_one(rows[column])
        changed = pc.not_equal(values.slice(1), values.slice(0, max(len(values) - 1, 0)))
        first[1:] |= changed.to_numpy(zero_copy_only=False)
    return pa.array(first)


def latest_rows(history: pa.Table, key: str) -> pa.Table:
    """Return the last row of each key of a history that is sorted by key, then timestamp."""
    first = first_of_group(history, [key]).to_numpy(zero_copy_only=False)
    return history.filter(pa.array(np.append(first[1:], True)))


def newest_day(rows: pa.Table, source: str) -> date:
    """Return the day of the newest row, or the last complete UTC day if that is 1970-01-01.

    Tables without timestamps have 1970-01-01 in every row.

    Raises:
        InputError: there is no row.
    """
    _require_some(rows, source)
    newest: date = pc.max(rows["event_timestamp"]).as_py().date()
    return datetime.now(UTC).date() - timedelta(days=1) if newest == EPOCH_DAY else newest


def known_pairs(rows: pa.Table, as_of: date, source: str) -> pa.Table:
    """Return the interactions up to the end of a day: each pair once, at its earliest moment.

    If a pair has several rows at that moment, the one with the largest weight counts.

    Args:
        rows: `query_id`, `item_id`, `event_timestamp`, and maybe `weight`, where null stands for 1.
        as_of: the day.
        source: the table's name in messages.

    Returns:
        columns `query_id`, `item_id`, `event_timestamp`, `weight` (float32), sorted by pair.

    Raises:
        InputError: there is no interaction up to then.
    """
    known = _required(before_end_of(rows, as_of), rows, as_of, source)
    if WEIGHT in known.column_names:
        weight = pc.fill_null(known[WEIGHT], 1.0)
    else:
        weight = pa.array(np.ones(known.num_rows, dtype=np.float32))
    # A pair of ids becomes one number, which sorts far faster than two texts.
    (query_ids, query), (item_ids, item) = ranked(known["query_id"]), ranked(known["item_id"])
    moments = known["event_timestamp"].cast(pa.int64()).to_numpy()
    order = _earliest(query * len(item_ids) + item, moments, -weight.to_numpy())
    return pa.table(
        {
            "query_id": query_ids.take(pa.array(query[order])),
            "item_id": item_ids.take(pa.array(item[order])),
            "event_timestamp": pa.array(moments[order]).cast(pa.timestamp("us", "UTC")),
            WEIGHT: pa.array(weight.to_numpy()[order]),
        }
    )


def _earliest(
    group: npt.NDArray[np.int64], moments: npt.NDArray[np.int64], tie: npt.NDArray[np.float32]
) -> npt.NDArray[np.int64]:
    """Return the row of each group that is first by moment, then by `tie`, in order of groups."""
    order = np.argsort(group)
    ordered = group[order]
    first = np.append(True, ordered[1:] != ordered[:-1])
    if not first.all():  # few groups have several rows, so only these are sorted by all keys
        repeated = ~first
        repeated[:-1] |= ~first[1:]
        rows = order[repeated]
        order[repeated] = rows[np.lexsort([rows, tie[rows], moments[rows], group[rows]])]
    earliest: npt.NDArray[np.int64] = order[first]
    return earliest


def ranked(column: pa.ChunkedArray) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """Return the sorted distinct values of a column, and each row's rank among them.

    Ranks then stand in for the values: numbers sort ten times faster than texts.

    Args:
        column: `[num_rows]` without nulls, at least one row.

    Returns:
        `[num_values]` values, and `[num_rows]` int64 ranks.
    """
    # In one piece, because the dictionaries of several chunks would have to be unified.
    encoded = pc.dictionary_encode(in_one(column))
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    values = encoded.dictionary.take(pa.array(order)).cast(column.type)
    return values, rank[encoded.indices.to_numpy()]


def in_one(column: pa.ChunkedArray) -> pa.Array:
    """Return a column in one piece; texts get 64-bit offsets, as they may exceed 2 GiB."""
    if pa.types.is_string(column.type) and column.num_chunks != 1:
        column = column.cast(pa.large_string())
    return column.combine_chunks()


def known_history(rows: pa.Table, as_of: date, source: str) -> pa.Table:
    """Return the rows of a side up to the end of a day.

    Raises:
        InputError: there is no row up to then.
    """
    return _required(before_end_of(rows, as_of), rows, as_of, source)


def _required(known: pa.Table, rows: pa.Table, as_of: date, source: str) -> pa.Table:
    _require_some(rows, source)
    if not known.num_rows:
        oldest = pc.min(rows["event_timestamp"]).as_py().isoformat()
        raise InputError(
            f"{source} has no row from before the end of {as_of} (UTC); its oldest row is of "
            f"{oldest}: choose a later --as-of, or correct its timestamps"
        )
    return known


def _require_some(rows: pa.Table, source: str) -> None:
    if not rows.num_rows:
        raise InputError(f"no row of {source} can be used: correct the rows that were refused")
