"""Rows over time: which belong to a day, and which come first and last of each key."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


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
