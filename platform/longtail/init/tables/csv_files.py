"""Converts CSV to Parquet with PyArrow, every column as text.

A type guessed from the first rows would take the zeros off an id such as 007. `column_readings.py`
decides the types later, from all rows.
"""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from longtail.errors import InputError
from longtail.init.tables.csv_layout import COMMENT_MARKS, CsvLayout, find_delimiter, read_layout
from longtail.init.tables.csv_text import (
    Tidying,
    check_quotes,
    inspect_text,
    line_number,
    open_text,
    read_head,
)

CSV_SUFFIXES = (".csv", ".tsv", ".txt")
# Cells that count as missing. `NA` is not one of them: it is the code of Namibia.
MISSING = (
    *("", "NULL", "Null", "null", "(null)", "<null>", "[NULL]", r"\N", "None", "<NA>", "NaT"),
    *("NaN", "nan", "NAN", "-NaN", "-nan", "1.#QNAN", "-1.#IND", "N/A", "n/a", "#N/A", "#N/A N/A"),
    *("#NA", "#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!"),
)
# PyArrow reads so many bytes at a time, and cannot read a longer row.
_BLOCK_BYTES = 1 << 24


@dataclass(frozen=True)
class CsvCopy:
    """A Parquet copy of one CSV file, and what was changed on the way.

    Attributes:
        layout: the delimiter and the names of the file.
        columns: the names in the copy, one for each of `layout.names`; a column without a name has
            one that says where it stands.
        num_cut: number of cells with blanks around them, which were cut, by column.
        has_cut_quoted: blanks between delimiters and quotes were cut.
        num_comments: number of comment lines that were skipped.
    """

    layout: CsvLayout
    columns: tuple[str, ...]
    num_cut: Counter[str] = field(default_factory=Counter)
    has_cut_quoted: bool = False
    num_comments: int = 0

    @property
    def unnamed(self) -> dict[int, str]:
        """The columns without a name: their positions, from 0 on, and their names in the copy."""
        return {n: self.columns[n] for n, name in enumerate(self.layout.names) if not name}


def csv_to_parquet(file: Path, target: Path, comment: str | None = None) -> CsvCopy:
    """Write a CSV file as Parquet, a batch at a time; all columns are strings.

    Blanks around names and cells are cut, inside quotes as well.

    Args:
        comment: lines that begin with it are skipped. A quoted cell never begins a comment.

    Raises:
        InputError: the file is not UTF-8, its first line does not name the columns, or a row has
            more or fewer cells than the first line.
    """
    text = inspect_text(file)
    delimiter = find_delimiter(file, text.head, comment)

    # Few files need tidying, and it takes as long as all the rest.
    def tidying() -> Tidying | None:
        is_needed = comment is not None or text.has_blank_before_quote
        return Tidying(file, delimiter, comment) if is_needed else None

    with open_text(file, tidying()) as stream:
        layout = read_layout(file, read_head(stream), delimiter, comment)
    columns = tuple(name or f"(column {n}, no name)" for n, name in enumerate(layout.names, 1))
    refused: list[pa.csv.InvalidRow] = []
    try:
        tidied = tidying()
        with open_text(file, tidied) as stream:
            stream.read(layout.start)
            num_cut, has_line_ends = _copy_rows(stream, target, delimiter, columns, refused)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{file} cannot be read as CSV: {_explain(file, layout, refused, error)}"
        ) from error
    # A quote that nobody closes swallows the rows below it, up to the next quote or to the end.
    if has_line_ends:
        check_quotes(file, delimiter, comment)
    if tidied is None:
        return CsvCopy(layout, columns, num_cut)
    return CsvCopy(layout, columns, num_cut, tidied.has_cut, tidied.num_comments)


def notes_of(copies: Sequence[CsvCopy], comment: str | None) -> list[str]:
    """Return what was changed in the files of a table, as sentences without the full stop."""
    notes = []
    names = list(dict.fromkeys(name for copy in copies for name in copy.layout.cut_names))
    if names:
        notes.append(f"Blanks around names of columns are cut: {_listed(names)}")
    num_cut = sum((copy.num_cut for copy in copies), Counter[str]())
    if num_cut:
        cells = f"{num_cut.total():,} cells" if num_cut.total() > 1 else "a cell"
        notes.append(f"Blanks around {cells} are cut, in {_listed(list(num_cut))}")
    if any(copy.has_cut_quoted for copy in copies):
        notes.append("Blanks between delimiters and quotes are cut")
    comments = sum(copy.num_comments for copy in copies)
    if comments:
        lines = f"{comments:,} lines that begin" if comments > 1 else "A line that begins"
        notes.append(f"{lines} with {comment!r} {'are' if comments > 1 else 'is'} skipped")
    return notes


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(f"`{name}`" for name in names[:5]) + more


def _copy_rows(
    stream: io.BufferedReader,
    target: Path,
    delimiter: str,
    columns: Sequence[str],
    refused: list["pa.csv.InvalidRow"],
) -> tuple[Counter[str], bool]:
    """Write the rows.

    Args:
        refused: gets the row with a wrong number of cells, if there is one.

    Returns:
        the number of cells with blanks that were cut, by column, and whether any cell has a line
        end in it.
    """
    schema = pa.schema([(name, pa.string()) for name in columns])
    num_cut, has_line_ends = Counter[str](), False

    def refuse(row: "pa.csv.InvalidRow") -> str:
        refused.append(row)
        return "error"

    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        try:
            reader = pa.csv.open_csv(
                stream,
                pa.csv.ReadOptions(column_names=columns, block_size=_BLOCK_BYTES),
                pa.csv.ParseOptions(
                    delimiter=delimiter, newlines_in_values=True, invalid_row_handler=refuse
                ),
                # `inspect_text` has checked that all is UTF-8.
                pa.csv.ConvertOptions(
                    column_types=schema, strings_can_be_null=False, check_utf8=False
                ),
            )
        except pa.ArrowInvalid as error:
            # The reason has no type of its own.
            if "Empty CSV file" in str(error):
                return num_cut, has_line_ends
            raise
        with reader:
            for batch in reader:
                cells = []
                for name, found in zip(columns, batch.columns, strict=True):
                    has_line_ends |= _contains_line_end(found)
                    trimmed, changed = _without_blanks(found)
                    num_cut += Counter({name: changed})
                    cells.append(trimmed)
                writer.write_batch(pa.record_batch(cells, schema=schema))
    return num_cut, has_line_ends


def _contains_line_end(cells: pa.Array) -> bool:
    return any(bool(pc.any(pc.match_substring(cells, end)).as_py()) for end in "\n\r")


def _without_blanks(cells: pa.Array) -> tuple[pa.Array, int]:
    """Return the cells without blanks around them, missing ones as null, and how many had any."""
    trimmed = pc.utf8_trim_whitespace(cells)
    changed = pc.not_equal(pc.binary_length(trimmed), pc.binary_length(cells))
    missing = pc.is_in(trimmed, value_set=pa.array(MISSING))
    return pc.if_else(missing, pa.scalar(None, pa.string()), trimmed), pc.sum(changed).as_py() or 0


def _explain(
    file: Path, layout: CsvLayout, refused: Sequence["pa.csv.InvalidRow"], error: Exception
) -> str:
    """Return why PyArrow gave up, and the cure."""
    if not refused:
        if "straddling" in str(error):
            return (
                f"a row is longer than {_BLOCK_BYTES >> 20} MiB: look for a quote that is opened "
                "and never closed, or convert the file to Parquet"
            )
        return f"{error}; correct the file, or convert it to Parquet"
    row = refused[0]
    message = (
        f"line {line_number(file, row.text)} (`{row.text.strip()[:60]}`) has {row.actual_columns} "
        f"cells, but there are {row.expected_columns} columns ({_listed(layout.names)}): correct "
        f"the line, or put quotes around cells that contain {layout.delimiter!r}"
    )
    mark = next((mark for mark in COMMENT_MARKS if row.text.startswith(mark)), None)
    return (
        message if mark is None else f"{message}; if it is a comment, skip it: --comment {mark!r}"
    )
