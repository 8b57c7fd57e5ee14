"""Numbers and sizes that are read from Arrow's memory and from a Parquet footer."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.embeddings.arrow_columns import numbers
from longtail.embeddings.embeddings_file import embeddings_size
from longtail.embeddings.write_progress import passes_tenth
from longtail.errors import LongtailError
from tests.publications import write_embeddings


@given(st.lists(st.integers(-(2**63), 2**63 - 1)), st.integers(0, 5))
def test_numbers_are_those_of_the_slice(values: list[int], start: int) -> None:
    array = pa.array(values, pa.int64())
    found = numbers(array[start:], np.int64)
    assert (found.tolist(), found.dtype) == (values[start:], np.int64)
    if len(found):
        assert not found.flags.writeable
        assert found.__array_interface__["data"][0] == array.buffers()[1].address + 8 * start


def test_the_size_of_a_file_of_embeddings(tmp_path: Path) -> None:
    file = tmp_path / "item_embeddings.parquet"
    with pytest.raises(LongtailError, match="run `longtail export` first"):
        embeddings_size(file)
    write_embeddings(file, ["a", "b", "c"], np.ones((3, 5), np.float32), "20240101-00000000")
    assert embeddings_size(file) == (3, 5)
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(LongtailError, match=r"item_embeddings\.parquet cannot be read"):
        embeddings_size(file)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_a_write_passes_a_tenth_ten_times_at_most_and_at_its_end(batches: list[int]) -> None:
    ends = np.cumsum(batches).tolist()
    starts, total = [0, *ends[:-1]], ends[-1]
    passed = [passes_tenth(a, b, total) for a, b in zip(starts, ends, strict=True)]
    assert passed[-1]
    assert sum(passed) <= 10
    marks = [mark for mark in range(1, 11) if any(10 * b >= mark * total for b in ends)]
    assert sum(passed) == len({next(b for b in ends if 10 * b >= m * total) for m in marks})
