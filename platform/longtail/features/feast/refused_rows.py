"""Admission: decides which rows of a table are used, in the same way for a check and for a run.

A row that cannot be used is refused with a reason, and the other rows go on. Refused rows are
counted and written to a quarantine; too many of them stop a run (`checks.max_refused_share`).
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from longtail.artifacts import RunPaths, replaced_folder
from longtail.config import Config
from longtail.features.feast.history import first_of_group
from longtail.features.finding import TableName

TIMESTAMP = "event_timestamp"
REASON, COLUMN, ROW = "refused_reason", "refused_column", "refused_row"

NULL, FUTURE, BAD_WEIGHT, DUPLICATE = "null", "future_timestamp", "bad_weight", "duplicate"


@dataclass(frozen=True)
class Admitted:
    """A table as it was read, split into the rows that are used and those that are refused.

    Attributes:
        table: name of the table.
        source: its file, or the name of its data source in Feast.
        rows: the rows that are used; sorted by `unique`, if that was given.
        refused: the other rows, in the order of the source. Columns: `refused_reason` (one of
            `null`, `future_timestamp`, `bad_weight`, `duplicate`), `refused_column`, `refused_row`
            (position in the source, from 0), then the columns of `rows`.
    """

    table: TableName
    source: str
    rows: pa.Table
    refused: pa.Table

    @property
    def num_rows(self) -> int:
        """Number of rows that were read."""
        return int(self.rows.num_rows + self.refused.num_rows)

    @property
    def refused_share(self) -> float:
        """Share of the refused rows among those that were read."""
        return float(self.refused.num_rows / max(1, self.num_rows))

    def refused_for(self, reason: str, column: str | None = None) -> pa.Table:
        """Return the rows refused for one reason, and if `column` is given, for that column."""
        wanted = pc.equal(self.refused[REASON], reason)
        if column is not None:
            wanted = pc.and_(wanted, pc.equal(self.refused[COLUMN], column))
        return self.refused.filter(wanted)

    def counts(self) -> dict[str, int]:
        """Count the refused rows by reason."""
        counted = self.refused[REASON].value_counts().to_pylist()
        return {each["values"]: each["counts"] for each in counted}


def admit(
    rows: pa.Table,
    *,
    table: TableName,
    source: str,
    ids: Sequence[str],
    now: datetime,
    unique: Sequence[str] = (),
    weight: str | None = None,
) -> Admitted:
    """Split the rows of a table into those that are used and those that are refused.

    A row is refused for the first of these reasons that holds: an id or the timestamp is null; the
    timestamp is later than now; the weight is negative or not finite; an earlier row that is not
    refused has the same values in `unique`.

    Args:
        rows: the rows, in the types of `sources.normalised`, with a column `event_timestamp`.
        table: name of the table.
        source: the table's name in messages.
        ids: columns that must not be null.
        now: the latest moment that a timestamp may have.
        unique: columns that identify a row; empty if rows may repeat.
        weight: the column of weights, if there is one. A null weight stands for 1.
    """
    # A row's code is the index of its reason and column in this list; 0: not refused.
    reasons: list[tuple[str, str]] = [("", "")]
    code = np.zeros(rows.num_rows, np.int8)

    def refuse(mask: pa.ChunkedArray, reason: str, column: str) -> None:
        chosen = pc.fill_null(mask, False).to_numpy() & (code == 0)
        if chosen.any():
            code[chosen] = len(reasons)
            reasons.append((reason, column))

    for column in (*ids, TIMESTAMP):
        refuse(pc.is_null(rows[column]), NULL, column)
    latest = pa.scalar(now, rows[TIMESTAMP].type)
    refuse(pc.greater(rows[TIMESTAMP], latest), FUTURE, TIMESTAMP)
    if weight is not None:
        values = rows[weight]
        refuse(pc.or_(pc.invert(pc.is_finite(values)), pc.less(values, 0.0)), BAD_WEIGHT, weight)
    # Duplicates are looked for among the rows still in use, so that a row is not refused for being
    # equal to one that is refused itself. The sort is stable: the earliest of equal rows is kept.
    used = np.flatnonzero(code == 0)
    if unique:
        keys = rows.select(list(unique)).take(pa.array(used))
        order = pc.sort_indices(keys, [(column, "ascending") for column in unique])
        keys, used = keys.take(order), used[order.to_numpy()]
        first = first_of_group(keys, unique).to_numpy(zero_copy_only=False)
        if not first.all():
            code[used[~first]] = len(reasons)
            reasons.append((DUPLICATE, unique[0]))
        used = used[first]
    # Nothing is copied where every row is used in its order.
    kept = rows.take(pa.array(used)) if unique or len(used) < rows.num_rows else rows
    out = np.flatnonzero(code)
    names = pa.array([reason for reason, _ in reasons]), pa.array([column for _, column in reasons])
    chosen = pa.array(code[out])
    refused = pa.table({REASON: names[0].take(chosen), COLUMN: names[1].take(chosen), ROW: out})
    for column in rows.column_names:
        refused = refused.append_column(column, rows[column].take(pa.array(out)))
    return Admitted(table, source, kept, refused)


def quarantine_file(config: Config, as_of: date, table: TableName) -> Path:
    """Return the file that the refused rows of a table are written to."""
    return RunPaths(config, as_of).quarantine / f"{table}.parquet"


def write_quarantine(
    config: Config, as_of: date, tables: Mapping[TableName, Admitted]
) -> dict[str, Any]:
    """Write the refused rows of a day to its quarantine, and summarise them.

    If no row is refused, nothing is written, and an earlier quarantine of the day is removed.

    Returns:
        for each table: `num_rows` (read), `num_refused`, `share`, `reasons` (counts) and `file`,
        which is None if no row of the table is refused.
    """
    refused = {name: admitted.refused for name, admitted in tables.items()}
    folder = RunPaths(config, as_of).quarantine
    if not any(rows.num_rows for rows in refused.values()):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        with replaced_folder(folder) as temporary:
            for name, rows in refused.items():
                if rows.num_rows:
                    pq.write_table(rows, temporary / f"{name}.parquet", compression="zstd")
    return {name: _summary(config, as_of, admitted) for name, admitted in tables.items()}


def _summary(config: Config, as_of: date, admitted: Admitted) -> dict[str, Any]:
    num_refused = admitted.refused.num_rows
    return {
        "num_rows": admitted.num_rows,
        "num_refused": num_refused,
        "share": admitted.refused_share,
        "reasons": admitted.counts(),
        "file": str(quarantine_file(config, as_of, admitted.table)) if num_refused else None,
    }
