"""Finds the layout of a CSV file from its top: the delimiter, the names, and the first row."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from longtail.errors import InputError

_DELIMITERS = ",\t;|"
# Signs that comment lines begin with. Nothing is skipped unless the user says so: an id may begin
# with one of them.
COMMENT_MARKS = ("#", "%", "//")
_NUM_SAMPLED = 200
# Excel writes this line above the names, and hides it when it opens the file.
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
# A column may be called `#`, as in a numbered list.
_NAMED_LIKE_A_COMMENT = re.compile(rf"[#%]\s*[{_DELIMITERS}]")
_QUOTED = re.compile(r'"[^"]*"')
_WHOLE = re.compile(r"0|[1-9][0-9]*")


@dataclass(frozen=True)
class CsvLayout:
    """The delimiter and the columns of a CSV file, as its top says.

    Attributes:
        delimiter: the character between two cells.
        names: one for each cell of a row, without blanks around it; "" where there is no name.
        start: number of bytes above the first row.
        cut_names: the names that had blanks around them, in the order of the columns.
    """

    delimiter: str
    names: tuple[str, ...]
    start: int
    cut_names: tuple[str, ...]


# Dates, UUIDs and addresses name no column.
_VALUE = re.compile(
    r"\d{4}-\d\d-\d\d([T ].*)?|\d{1,4}[./]\d{1,2}[./]\d{1,4}( .*)?|[\w.+-]+@[\w-]+\.[\w.]+|\w+://.*|"
    r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
)


def find_delimiter(file: Path, head: str, comment: str | None) -> str:
    """Return the character between the cells.

    It is the most frequent candidate in the line of names that cuts the rows below into as many
    cells. Candidates inside quotes do not count.

    Args:
        head: the first lines of the file.
        comment: lines that begin with it are skipped.

    Raises:
        InputError: the file has no line of names, or begins with comments that nobody allowed, or
            two candidates fit equally well.
    """
    lines, separator = _below_top(file, head, comment)
    if separator is not None:
        return separator
    if ".tsv" in file.name:
        return "\t"
    lines = [line for line in lines if not (comment and line.startswith(comment))]
    quoted_or_bare = re.match(r'(?:"[^"]*"|[^"\r\n])*', "".join(lines))
    assert quoted_or_bare is not None
    bare = _QUOTED.sub("", quoted_or_bare.group())
    ranked = sorted((d for d in _DELIMITERS if d in bare), key=bare.count, reverse=True)
    exact = [candidate for candidate in ranked if _fits_exactly(_records(lines, candidate))]
    if len(exact) > 1 and bare.count(exact[0]) == bare.count(exact[1]):
        raise InputError(
            f"{file}: {exact[0]!r} and {exact[1]!r} cut its lines into cells equally well "
            f"(`{lines[0].strip()[:60]}`): write the line `sep={exact[1]}`, or the other one, above"
        )
    for candidate in exact + ranked:
        if candidate in exact or _fits(_records(lines, candidate)):
            return candidate
    if ranked:
        return ranked[0]
    # R separates by blanks, and quotes. In another file without quotes they belong to the text.
    if '"' in lines[0] or ".txt" in file.name:
        records = _records(lines, " ")
        if max(map(len, records), default=0) > 1 and _fits(records):
            return " "
    # A first line without a delimiter above rows that have one is a title, which is refused later.
    for candidate in _DELIMITERS:
        widths = Counter(len(record) for record in _records(lines, candidate)[1:])
        if widths and widths.most_common(1)[0][0] > 1:
            return candidate
    return ","


def read_layout(file: Path, head: str, delimiter: str, comment: str | None) -> CsvLayout:
    """Return the layout of a file.

    Rows with one cell more than there are names end with a delimiter each, or begin with a row
    number: the name "" is added at this place. `raw_tables.py` then looks at all values of it.

    Args:
        head: the first lines of the file, without blanks before quotes.

    Raises:
        InputError: the names are missing, no names, or given twice, or they do not fit the rows.
    """
    lines, _ = _below_top(file, head, comment)
    above = len(head.encode()) - len("".join(lines).encode())
    reader = csv.reader(lines, delimiter=delimiter)
    header = next(reader)
    header_lines, lines = lines[: reader.line_num], lines[reader.line_num :]
    names = [name.strip() for name in header]
    rows = _records(lines, delimiter)
    names = _fit_names(file, names, delimiter, rows, lines)
    _check_names(file, names, rows)
    return CsvLayout(
        delimiter,
        tuple(names),
        above + len("".join(header_lines).encode()),
        tuple(cell.strip() for cell in header if cell.strip() and cell != cell.strip()),
    )


def _below_top(file: Path, head: str, comment: str | None) -> tuple[list[str], str | None]:
    """Return the lines from the names on, and the delimiter that a line above names, if any."""
    # An empty `newline` splits at every kind of line end and keeps it.
    lines = list(io.StringIO(head, newline=""))
    separator = None
    for number, line in enumerate(lines):
        named = None if separator else _SEPARATOR_LINE.fullmatch(line)
        if named:
            separator = named.group(1)
        # Spreadsheets keep the delimiters of an empty line.
        elif line.strip(_DELIMITERS + " \r\n") and not (comment and line.startswith(comment)):
            _refuse_comments(file, lines[number:])
            return lines[number:], separator
    raise InputError(f"{file} is empty: its first line must name the columns")


def _refuse_comments(file: Path, lines: Sequence[str]) -> None:
    mark = next((mark for mark in COMMENT_MARKS if lines[0].startswith(mark)), None)
    if mark is None or _NAMED_LIKE_A_COMMENT.match(lines[0]):
        return
    count = 0
    for line in lines:
        if line.strip() and not line.startswith(mark):
            break
        count += bool(line.strip())
    begins = f"{count} comment lines" if count > 1 else "a comment line"
    raise InputError(
        f"{file} begins with {begins} (`{lines[0].strip()[:60]}`): skip what begins with {mark!r} "
        f"with --comment {mark!r}; if one of these lines names the columns, take the {mark!r} off "
        "it, or put quotes around its first name"
    )


def _records(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Return the cells of the first lines that are not empty."""

    def read() -> Iterator[list[str]]:
        reader = csv.reader(
            lines, delimiter=delimiter, skipinitialspace=delimiter != " ", strict=True
        )
        try:
            yield from (record for record in reader if record)
        except csv.Error:  # a cell of more than 128 KiB, or cut off; the rows above it are enough
            return

    return [record for record, _ in zip(read(), range(_NUM_SAMPLED), strict=False)]


def _fits_exactly(records: Sequence[Sequence[str]]) -> bool:
    """Return whether all rows have the cells that the first record names, and all have a name."""
    widths = {len(row) for row in records}
    return len(widths) == 1 and widths != {1} and all(map(str.strip, records[0]))


def _fits(records: Sequence[Sequence[str]]) -> bool:
    """Return whether the rows have the cells that the first record names, or one more."""
    if not records:
        return False
    names, widths = records[0], {len(row) for row in records[1:]}
    if len(widths) > 1:
        return False
    return all(
        len(names) <= width <= len(names) + 1
        or (width < len(names) and not any(map(str.strip, names[width:])))
        for width in widths
    )


def _check_names(file: Path, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    # Values in the first line: the file has no header, and its first row would get lost. One column
    # of several may have its name among its values, such as `other`.
    recurring = {
        name
        for position, name in enumerate(names)
        if name and any(name == row[position].strip() for row in rows if len(row) > position)
    }
    without_header = 2 * len(recurring) >= len(names)
    for name in filter(None, names):
        if names.count(name) > 1:
            raise InputError(f"{file} names the column {name!r} twice: rename one of them")
        is_value = _is_number(name) or _VALUE.fullmatch(name)
        if is_value or (without_header and name in recurring):
            raise InputError(
                f"{file} has {name!r} in its first line, which must name the columns: add a header"
            )


def _fit_names(
    file: Path,
    names: list[str],
    delimiter: str,
    rows: Sequence[Sequence[str]],
    lines: Sequence[str],
) -> list[str]:
    """Return one name for each cell of the rows.

    Args:
        rows: the first rows.
        lines: the lines below the names.
    """
    if not rows:
        return names
    [(width, times)] = Counter(len(row) for row in rows).most_common(1)
    if width <= len(names):
        # Delimiters at the end of the first line alone name nothing.
        return names[:width] if not any(names[width:]) and times == len(rows) else names
    # One cell more in all rows: nothing after the last delimiter, or a row number without a name.
    if width == len(names) + 1 and times == len(rows):
        if not any(row[-1].strip() for row in rows):
            return [*names, ""]
        if _are_row_numbers([row[0] for row in rows]):
            if delimiter != "," or not _may_be_decimal_commas(rows, lines):
                return ["", *names]
            raise InputError(
                f"{file} names {len(names)} columns, but its rows have {width} cells "
                f"(`{_line(lines)}`): if the first cell is a row number, name it in the first "
                "line; if a comma is a decimal comma, write a point, or put quotes around the cell"
            )
    raise InputError(
        f"{file} has {len(names)} cells in its first line (`{', '.join(names)[:60]}`), but its "
        f"rows have {width} (`{_line(lines)}`): if the first line is a title, remove it, so that "
        f"the first line names the columns; else name all columns in it, and put quotes around "
        f"cells that contain {delimiter!r}"
    )


def _are_row_numbers(cells: Sequence[str]) -> bool:
    return all(map(_WHOLE.fullmatch, cells)) and len(set(cells)) == len(cells)


def _may_be_decimal_commas(rows: Sequence[Sequence[str]], lines: Sequence[str]) -> bool:
    """Return whether `1,3,14` may be a column with the values 1 and one with the value 3,14."""
    # Only R puts quotes around row numbers, and nobody around half of a number.
    if all(line.startswith('"') for line in lines if line.strip()):
        return False
    whole = [all(map(_WHOLE.fullmatch, cells)) for cells in zip(*rows, strict=True)]
    digits = [all(map(str.isdigit, cells)) for cells in zip(*rows, strict=True)]
    first = [int(row[0]) for row in rows]
    # Nobody's decimals count up from 0 or 1, so the first cell may pair only if it does not.
    skipped = first in ([*range(len(rows))], [*range(1, len(rows) + 1)])
    return any(map(lambda left, right: left and right, whole[skipped:], digits[skipped + 1 :]))


def _line(lines: Sequence[str]) -> str:
    return next(line.strip() for line in lines if line.strip())[:60]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
