"""Rows over time: those up to the end of a day, and the first and last row of each key."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longtail.config.data import RepeatedWeights
from longtail.errors import InputError
from longtail.features.finding import TableName

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


def known_rows(
    table: TableName, rows: pa.Table, as_of: date, source: str, repeated: RepeatedWeights
) -> pa.Table:
    """Return what a day knows of one of the three tables.

    The interactions are those of `known_pairs`, items and queries those of `known_history`.
    """
    if table == "interactions":
        return known_pairs(rows, as_of, source, repeated)
    return known_history(rows, as_of, source)


def known_pairs(rows: pa.Table, as_of: date, source: str, repeated: RepeatedWeights) -> pa.Table:
    """Return the interactions up to the end of a day: each pair once, at its earliest moment.

    Args:
        rows: `query_id`, `item_id`, `event_timestamp`, and maybe `weight`, where null stands for 1.
            Without that column a pair weighs 1 for `max` and `last`, and for `sum` its number of
            rows.
        as_of: the day. Later rows count neither for the moment nor for the weight.
        source: the table's name in messages.
        repeated: the weight of a pair with several rows: the largest (`max`), all together
            (`sum`), or that of the newest row (`last`; the largest, if several are as new).

    Returns:
        columns `query_id`, `item_id`, `event_timestamp`, `weight` (float32), sorted by pair.

    Raises:
        InputError: there is no interaction up to then.
    """
    known = _required(before_end_of(rows, as_of), rows, as_of, source)
    if WEIGHT in known.column_names:
        weight = pc.fill_null(known[WEIGHT], 1.0).to_numpy()
    else:
        weight = np.ones(known.num_rows, dtype=np.float32)
    # A pair of ids becomes one number, which sorts far faster than two texts.
    (query_ids, query), (item_ids, item) = ranked(known["query_id"]), ranked(known["item_id"])
    moments = known["event_timestamp"].cast(pa.int64()).to_numpy()
    order, weights = _one_of_each(query * len(item_ids) + item, moments, weight, repeated)
    return pa.table(
        {
            "query_id": query_ids.take(pa.array(query[order])),
            "item_id": item_ids.take(pa.array(item[order])),
            "event_timestamp": pa.array(moments[order]).cast(pa.timestamp("us", "UTC")),
            WEIGHT: pa.array(weights),
        }
    )


def _one_of_each(
    group: npt.NDArray[np.int64],
    moments: npt.NDArray[np.int64],
    weight: npt.NDArray[np.float32],
    repeated: RepeatedWeights,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return an earliest row of each group, and the group's weight, in the order of groups."""
    order = np.argsort(group)
    ordered = group[order]
    first = np.append(True, ordered[1:] != ordered[:-1])
    if first.all():
        return order, weight[order]
    # Few groups have several rows, so only these are sorted by time and combined.
    several = ~first
    several[:-1] |= ~first[1:]
    rows = order[several]
    # By weight as well: the newest row that weighs most is the last of its group, and the order of
    # a sum, whose rounding depends on it, does not follow the order of the table.
    rows = rows[np.lexsort([weight[rows], moments[rows], group[rows]])]
    order[several] = rows
    earliest = order[first]
    weights = weight[earliest]
    weights[several[first]] = _combined(weight[rows], np.flatnonzero(first[several]), repeated)
    return earliest, weights


def _combined(
    weight: npt.NDArray[np.float32], starts: npt.NDArray[np.int64], repeated: RepeatedWeights
) -> npt.NDArray[np.float32]:
    """Return one weight of each run of rows; `starts` are the positions where the runs begin."""
    combined: npt.NDArray[np.float32]
    if repeated == "last":
        combined = weight[np.append(starts[1:], len(weight)) - 1]
    elif repeated == "max":
        combined = np.maximum.reduceat(weight, starts)
    else:
        total = np.add.reduceat(weight, starts, dtype=np.float64)
        # Finite weights can have a sum that is too large for float32.
        combined = np.minimum(total, np.finfo(np.float32).max).astype(np.float32)
    return combined


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
