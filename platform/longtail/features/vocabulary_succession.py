"""Vocabularies over time: a value keeps its table row from day to day while it lives.

A refresh can then start from the tables of an earlier version as they are, and a row means one
value from day to day. The rows of values that are gone become free. New values take free rows
first, and a table grows only when it has none left.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from longtail.artifacts import STAMP, RunPaths
from longtail.config import Config
from longtail.fingerprints import read_stamp

MOST_FREE = 0.5
"""A table with a larger share of free rows is packed anew: every value gets a new row."""


@dataclass(frozen=True)
class Previous:
    """The vocabularies that come before a day's own.

    Attributes:
        as_of: their day.
        fingerprint: the identity of what they were made from.
        folder: their folder.
    """

    as_of: date
    fingerprint: str
    folder: Path

    def to_json(self) -> dict[str, str]:
        """Return the entry for the successor's stamp."""
        return {"as_of": self.as_of.isoformat(), "fingerprint": self.fingerprint}


@dataclass(frozen=True)
class Turnover:
    """The change of a table's values since the vocabularies before.

    Attributes:
        rows: rows of the table.
        new: values that were not there before.
        kept: values that were there before.
        freed: values that are gone, or too rare by now.
        free: rows without a value.
        compacted: whether too many rows were free (`MOST_FREE`), and all values got new rows.
    """

    rows: int
    new: int
    kept: int
    freed: int
    free: int
    compacted: bool


def previous_vocabularies(config: Config, as_of: date) -> Previous | None:
    """Find the vocabularies that a day's are to succeed.

    They are those that the day has succeeded already, or else the newest finished ones of an
    earlier day. So a finished day stays as it is when an earlier one is filled in later, and no
    day ever reads a later one.
    """
    stamp = read_stamp(RunPaths(config, as_of).vocabularies) or {}
    recorded = stamp.get("previous")
    if recorded is not None:
        found = _of_day(config, date.fromisoformat(recorded["as_of"]))
        if found is not None and found.to_json() == recorded:
            return found
    folder = config.home / "runs"
    days = [_day(entry.name) for entry in folder.iterdir()] if folder.is_dir() else []
    for day in sorted((day for day in days if day is not None and day < as_of), reverse=True):
        found = _of_day(config, day)
        if found is not None:
            return found
    return None


def _of_day(config: Config, day: date) -> Previous | None:
    folder = RunPaths(config, day).vocabularies
    stamp: dict[str, Any] | None = read_stamp(folder) if (folder / STAMP).is_file() else None
    return None if stamp is None else Previous(day, stamp["fingerprint"], folder)


def _day(name: str) -> date | None:
    try:
        return date.fromisoformat(name)
    except ValueError:  # not a day's folder
        return None


def succeed(values: pa.Array, old: pa.Array | None) -> tuple[pa.Array, Turnover]:
    """Give every value its row.

    Args:
        values: `[n]` values of the day, distinct, most frequent first.
        old: `[num_old_rows]` values of the table before, null where a row was free; None if there
            was no such table.

    Returns:
        `[num_rows]` the position in `values` of each row's value, null where the row is free; and
        the turnover. Values of `old` keep their rows. New values fill its free rows in order, then
        new rows behind them; free rows at the end are cut off. If more than `MOST_FREE` of the
        rows are then free, the values take the rows 0 to n - 1 in the given order.
    """
    # A table of another type has no value in common with this one.
    if old is None or old.type != values.type:
        old = values[:0]
    found = pc.index_in(values, value_set=old, skip_nulls=True)
    row = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    # There are always enough rows: those of the old table, and one more for each new value.
    new = np.flatnonzero(row < 0)
    taken = np.zeros(len(old) + len(new), np.bool_)
    taken[row[row >= 0]] = True
    row[new] = np.flatnonzero(~taken)[: len(new)]
    num_rows = int(row.max()) + 1 if len(row) else 0
    free = num_rows - len(row)
    compacted = free > MOST_FREE * num_rows
    if compacted:
        row, num_rows, free = np.arange(len(row)), len(row), 0
    num_kept = len(row) - len(new)
    turnover = Turnover(
        rows=max(1, num_rows),
        new=len(new),
        kept=num_kept,
        freed=len(old) - old.null_count - num_kept,
        free=free,
        compacted=compacted,
    )
    order = np.full(num_rows, -1, np.int64)
    order[row] = np.arange(len(row))
    return pa.array(order, mask=order < 0), turnover
