"""Property tests: any CSV is read as it was written, and any damaged file is refused in words."""

import csv
import io
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.errors import InputError
from longtail.init.tables.csv_files import MISSING, csv_to_parquet
from tests.init.tables.opened import Opened

PIECES = st.sampled_from(['"', ", ", ";", "\n", "\r\n", "a", "é", " ", "#", "1,5", "NA", "|", "//"])
CELLS = st.lists(PIECES, max_size=4).map("".join)
NAMES = ["id", "a;b", 'the "name"', "two\nlines"]


def is_read_or_refused(file: Path, comment: str | None = None) -> bool:
    """Return whether a file has rows, or is refused by its name; other exceptions pass."""
    try:
        return Opened(file, comment).raw.num_rows > 0
    except InputError as error:
        return file.name in str(error)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(CELLS, min_size=4, max_size=4), min_size=1, max_size=5),
    st.sampled_from(",;\t|"),
    st.sampled_from(["", " ", "  "]),
    st.sampled_from([None, "#", "//"]),
)
def test_any_quoted_csv_is_read_as_it_was_written(
    rows: list[list[str]], delimiter: str, blanks: str, comment: str | None
) -> None:
    lines = []
    for row in [NAMES, *rows]:
        cells = ['"' + cell.replace('"', '""') + '"' for cell in row]
        lines.append((delimiter + blanks).join(cells))
    if comment is not None:
        lines.insert(1, f'{comment} a "comment')
    with tempfile.TemporaryDirectory() as folder:
        file, target = Path(folder) / "a.csv", Path(folder) / "a.parquet"
        file.write_bytes("\n".join(lines).encode())
        copy = csv_to_parquet(file, target, comment)
        found = pq.read_table(target)
    assert found.column_names == NAMES
    expected = [[None if (c := cell.strip()) in MISSING else c for cell in row] for row in rows]
    assert [list(row.values()) for row in found.to_pylist()] == expected
    assert copy.num_comments == (comment is not None)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=4),
    st.lists(st.tuples(st.integers(0, 60), st.sampled_from(b'",\n# \r\0\xff')), max_size=3),
    st.sampled_from([None, "#"]),
)
def test_any_damaged_csv_is_read_or_refused(
    rows: list[list[str]], damages: list[tuple[int, int]], comment: str | None
) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["id", "genre", "size"], *rows])
    content = bytearray(text.getvalue().encode())
    for position, byte in damages:
        content.insert(position, byte)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.csv"
        file.write_bytes(content)
        assert is_read_or_refused(file, comment)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(4, 1500), st.integers(0, 255)), min_size=1, max_size=12))
def test_any_damaged_parquet_is_read_or_refused(damages: list[tuple[int, int]]) -> None:
    table = pa.table({"id": [f"i{n}" for n in range(50)], "size": list(range(50))})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.parquet"
        pq.write_table(table, file)
        content = bytearray(file.read_bytes())
        for position, byte in damages:
            content[min(position, len(content) - 1)] = byte
        file.write_bytes(content)
        assert is_read_or_refused(file)
