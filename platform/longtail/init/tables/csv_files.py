"""CSV through PyArrow: every column as text, so that no type is guessed from the first rows.

An id such as 007 keeps its zeros; what the texts are is found out from all of them, afterwards.
"""

import csv
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from longtail.errors import InputError

CSV_SUFFIXES = (".csv", ".tsv", ".txt")
# What counts as missing. `NA` does not: it is Namibia's code.
MISSING = ["", "NULL", "null", "NaN", "nan", "None", "N/A", "n/a", "<NA>"]
_DELIMITERS = ",\t;|"


def csv_to_parquet(file: Path, target: Path) -> None:
    """Write a CSV file as Parquet, a batch at a time; all columns are strings.

    Raises:
        InputError: it is not text in UTF-8, its first line does not name the columns, or a row has
            another number of cells.
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
            f"{file} cannot be read as CSV: {error}; correct it there, or write it as Parquet"
        ) from error


def _header(file: Path) -> tuple[list[str], str]:
    """The names in the first line, and what separates them."""
    try:
        with pa.input_stream(file, compression="detect") as stream:
            line = io.BufferedReader(stream).readline().decode("utf-8-sig").rstrip("\r\n")
    except (UnicodeDecodeError, pa.ArrowException, OSError) as error:
        raise InputError(f"{file} is not text in UTF-8: write it so ({error})") from error
    if not line.strip():
        raise InputError(f"{file} is empty: its first line must name the columns")
    delimiter = max(_DELIMITERS, key=line.count) if ".tsv" not in file.name else "\t"
    names = next(csv.reader(io.StringIO(line), delimiter=delimiter))
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{file} names the column {name!r} twice: rename one")
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
