"""Comparison of the sorted keys of two files, with one batch of each in memory at a time."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from longtail.features.record_batches import record_batches


class Keys(NamedTuple):
    """The keys of a Parquet file: sorted, and each once.

    Attributes:
        file: the file.
        column: the column that holds them.
    """

    file: Path
    column: str = "item_id"

    def batches(self, batch_rows: int) -> Iterator[pa.StringArray]:
        """Yield the keys as strings, `batch_rows` at a time."""
        for batch in record_batches(self.file, batch_rows, [self.column]):
            yield pc.cast(batch[self.column], pa.string())


class Absent(NamedTuple):
    """The keys of one file that another file does not have.

    Attributes:
        num_absent: how many there are.
        first: the first of them; None if there is none.
        num_keys: how many keys the one file has.
    """

    num_absent: int
    first: str | None
    num_keys: int


def absent(keys: Iterable[pa.StringArray], others: Iterable[pa.StringArray]) -> Absent:
    """Find the keys that are not among the others.

    Args:
        keys: sorted keys, in batches of any size.
        others: sorted keys, in batches of any size.
    """
    count, first, num_keys = 0, None, 0
    rest = iter(others)
    # The others read so far that are not below the next key: all that a batch is compared with.
    window = pa.array([], pa.string())
    for batch in keys:
        if not len(batch):
            continue
        num_keys += len(batch)
        last = batch[-1].as_py()
        # Read on among the others until they reach the end of this batch.
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
