"""Sorted keys of two files beside each other, a batch of each in memory at a time."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from longtail.features.record_batches import record_batches


class Keys(NamedTuple):
    """The keys of a Parquet file, sorted, each once.

    Attributes:
        file: the file.
        column: the column that holds them.
    """

    file: Path
    column: str = "item_id"

    def batches(self, batch_rows: int) -> Iterator[pa.StringArray]:
        """The keys as strings, `batch_rows` at a time."""
        for batch in record_batches(self.file, batch_rows, [self.column]):
            yield pc.cast(batch[self.column], pa.string())


class Absent(NamedTuple):
    """Keys that one file has and another has not.

    Attributes:
        num_absent: how many.
        first: the first of them; None where there is none.
        num_keys: how many keys the one file has.
    """

    num_absent: int
    first: str | None
    num_keys: int


def absent(keys: Iterable[pa.StringArray], others: Iterable[pa.StringArray]) -> Absent:
    """Find the keys that are not among the others; both come sorted, in batches of any size."""
    count, first, num_keys = 0, None, 0
    rest = iter(others)
    window = pa.array([], pa.string())  # the others that may still be asked for
    for batch in keys:
        if not len(batch):
            continue
        num_keys += len(batch)
        last = batch[-1].as_py()
        parts = [window]
        while not len(parts[-1]) or parts[-1][-1].as_py() < last:
            part = next(rest, None)
            if part is None:
                break
            parts.append(part)
        window = pa.concat_arrays(parts)
        missing = batch.filter(pc.invert(pc.is_in(batch, value_set=window)))
        if len(missing) and first is None:
            first = missing[0].as_py()
        count += len(missing)
        window = window.filter(pc.greater(window, last))
    return Absent(count, first, num_keys)
