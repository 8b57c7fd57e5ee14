"""Vocabularies over time: a value keeps its table row from day to day while it lives.

A refresh can then start from the tables of an earlier version as they are, and whoever looks at a
row sees one value. The rows of values that are gone are free: new values take them first, and only
then do tables grow.
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
"""A table of which more rows are free is packed anew: every value gets another row."""


@dataclass(frozen=True)
class Previous:
    """The vocabularies that a day's are the successors of.

    Attributes:
        as_of: their day.
        fingerprint: what they were made from.
        folder: where they stand.
    """

    as_of: date
    fingerprint: str
    folder: Path

    def to_json(self) -> dict[str, str]:
        """For the stamp of the successor."""
        return {"as_of": self.as_of.isoformat(), "fingerprint": self.fingerprint}


@dataclass(frozen=True)
class Turnover:
    """How the values of a table have changed since the day before.

    Attributes:
        rows: rows of the table.
        new: values that were not there.
        kept: values that were.
        freed: values that are gone, or too rare by now.
        free: rows without a value.
        compacted: whether so many rows were free that all values have another row now.
    """

    rows: int
    new: int
    kept: int
    freed: int
    free: int
    compacted: bool


def previous_vocabularies(config: Config, as_of: date) -> Previous | None:
    """The vocabularies to succeed: those that the day has succeeded already, else the newest
    finished ones of an earlier day.

    So a day that is done stays as it is when an earlier one is filled in later, and no day ever
    reads a later one.
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
        values: `[n]` of the day, distinct, most frequent first.
        old: `[num_old_rows]` of the table before, null where a row was free; None where there was
            no such table.

    Returns:
        `[num_rows]` position in `values` of each row's value, null where the row is free. Those
        of `old` stand where they stood; new ones fill its free rows in order and then stand behind
        them; free rows at the end are cut off. Where more than `MOST_FREE` of the rows were free,
        the values stand as they are given.
    """
    if old is None or old.type != values.type:
        old = values[:0]
    found = pc.index_in(values, value_set=old, skip_nulls=True)
    row = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
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
