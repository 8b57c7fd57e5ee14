"""Converts CSV to Parquet with PyArrow, every column as text.

A type guessed from the first rows would take the zeros off an id such as 007. `column_readings.py`
decides the types later, from all rows.
"""

import csv
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from longtail.errors import InputError

CSV_SUFFIXES = (".csv", ".tsv", ".txt")
# Cells that count as missing. `NA` is not one of them: it is the code of Namibia.
MISSING = ["", "NULL", "null", "NaN", "nan", "None", "N/A", "n/a", "<NA>"]
_DELIMITERS = ",\t;|"


def csv_to_parquet(file: Path, target: Path) -> None:
    """Write a CSV file as Parquet, a batch at a time; all columns are strings.

    Raises:
        InputError: the file is not UTF-8, its first line does not name the columns, or a row has
            more or fewer cells than the first line.
    """
    names, delimiter = _header(file)
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        strings_can_be_null=True,
        null_values=MISSING,
    )
    parse = pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    try:
        with (
            pa.csv.open_csv(file, parse_options=parse, convert_options=convert) as reader,
            pq.ParquetWriter(target, reader.schema, compression="zstd") as writer,
        ):
            for batch in reader:
                writer.write_batch(batch)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{file} cannot be read as CSV: {error}; correct the file, or convert it to Parquet"
        ) from error


def _header(file: Path) -> tuple[list[str], str]:
    """Return the column names in the first line, and the character between them."""
    try:
        with pa.input_stream(file, compression="detect") as stream:
            line = io.BufferedReader(stream).readline().decode("utf-8-sig").rstrip("\r\n")
    except (UnicodeDecodeError, pa.ArrowException, OSError) as error:
        raise InputError(f"{file} is not text in UTF-8: convert it to UTF-8 ({error})") from error
    if not line.strip():
        raise InputError(f"{file} is empty: its first line must name the columns")
    delimiter = max(_DELIMITERS, key=line.count) if ".tsv" not in file.name else "\t"
    names = next(csv.reader(io.StringIO(line), delimiter=delimiter))
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{file} names the column {name!r} twice: rename one of them")
        # A number is a value: the file has no header, and its first row would get lost.
        if _is_number(name):
            raise InputError(
                f"{file} has {name!r} in its first line, which must name the columns: add a header"
            )
    return names, delimiter


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
