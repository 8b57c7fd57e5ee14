"""Finds the files of a table and the types of its columns.

A table is Parquet or CSV, and one file or a folder of files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from longtail.errors import InputError
from longtail.init.tables.csv_files import CSV_SUFFIXES, csv_to_parquet
from longtail.init.tables.sql import literal, one_row

Role = Literal["items", "queries", "interactions"]

PARQUET_SUFFIXES = (".parquet", ".pq", ".parq")
_PARQUET_MAGIC = b"PAR1"


@dataclass(frozen=True)
class RawColumn:
    """A column as it is stored.

    Attributes:
        name: the column's name in the user's table.
        type: its Arrow type; string for all columns of a CSV file.
        is_text: the column comes from a CSV file or from the name of a folder, and so has no type
            of its own.
    """

    name: str
    type: pa.DataType
    is_text: bool


@dataclass(frozen=True)
class RawTable:
    """One of the three tables, as it is stored.

    Attributes:
        role: the part that the table plays.
        path: the file or folder that the user named.
        columns: the columns in the order of the table.
        num_rows: at least 1.
        relation: SQL for the table, to be written after FROM in DuckDB.
    """

    role: Role
    path: Path
    columns: tuple[RawColumn, ...]
    num_rows: int
    relation: str

    @property
    def stem(self) -> str:
        """The name of the file or folder, without its suffixes."""
        return self.path.resolve().name.split(".")[0]

    @property
    def names(self) -> list[str]:
        """The names of the columns, in the order of the table."""
        return [column.name for column in self.columns]


def open_raw_table(
    role: Role, path: Path, scratch: Path, connection: duckdb.DuckDBPyConnection
) -> RawTable:
    """Find the files of a table, and read the names and types of its columns.

    Args:
        path: a Parquet or CSV file, or a folder of either.
        scratch: an existing folder. CSV files are copied there as Parquet, a batch at a time, with
            every column as text.

    Raises:
        InputError: the table does not exist, cannot be read or is empty, or two of its columns
            have the same name.
    """
    files = _table_files(role, path)
    # From here on every table is Parquet: the rest of `init` needs one reader only.
    is_csv = not _is_parquet(files[0])
    if is_csv:
        copies = [scratch / f"{role}-{number}.parquet" for number in range(len(files))]
        for file, copy in zip(files, copies, strict=True):
            csv_to_parquet(file, copy)
    # A partitioned table keeps some columns in the names of its folders. They have no type, so they
    # are text, and a column of the same name in the files wins.
    partitions = [] if is_csv else _partitions(path, files)
    schema = _common_schema(files, copies if is_csv else files, path)
    columns = [RawColumn(field.name, field.type, is_csv) for field in schema]
    columns += [
        RawColumn(name, pa.string(), True) for name in partitions if name not in schema.names
    ]
    _check_names([column.name for column in columns], path)
    listed = ", ".join(literal(str(file)) for file in (copies if is_csv else files))
    relation = f"read_parquet([{listed}], union_by_name=true"
    relation += ", hive_partitioning=true, hive_types_autocast=false)" if partitions else ")"
    try:
        (num_rows,) = one_row(connection, f"SELECT count(*) FROM {relation}")
    except duckdb.Error as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}") from error
    if not num_rows:
        raise InputError(f"{path} (--{role}) is empty: it must have at least one row")
    return RawTable(role, path, tuple(columns), num_rows, relation)


def _table_files(role: Role, path: Path) -> list[Path]:
    if not path.exists():
        raise InputError(
            f"{path} (--{role}) does not exist: name a Parquet or CSV file, or a folder of them"
        )
    if path.is_file():
        if not _is_parquet(path) and not _is_csv(path):
            raise InputError(
                f"{path} (--{role}) is neither Parquet nor CSV: convert it to one of them (the "
                f"names of CSV files end in {', '.join(CSV_SUFFIXES)}, or in one of these and .gz)"
            )
        return [path.resolve()]
    found = sorted(
        file.resolve()
        for file in path.rglob("*")
        if file.is_file() and not any(p[0] in "._" for p in file.relative_to(path).parts)
    )
    # The first file decides how all are read, so a folder must hold one kind.
    parquet = [file for file in found if file.name.endswith(PARQUET_SUFFIXES)]
    text = [file for file in found if _is_csv(file)]
    if bool(parquet) == bool(text):
        kinds = "both Parquet and CSV files" if parquet else "neither Parquet nor CSV files"
        raise InputError(
            f"folder {path} (--{role}) holds {kinds}: name a folder with files of one kind"
        )
    return parquet or text


def _is_csv(file: Path) -> bool:
    return file.name.removesuffix(".gz").endswith(CSV_SUFFIXES)


def _is_parquet(file: Path) -> bool:
    if file.name.endswith(PARQUET_SUFFIXES):
        return True
    with file.open("rb") as handle:
        return handle.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC


def _common_schema(files: Sequence[Path], as_parquet: Sequence[Path], path: Path) -> pa.Schema:
    schemas = []
    for file, readable in zip(files, as_parquet, strict=True):
        try:
            schemas.append(pq.read_schema(readable))
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{file} is not a Parquet file: write it again ({error})") from error
        _check_names(schemas[-1].names, file)
    try:
        return pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowException as error:
        raise InputError(
            f"the files of {path} do not have the same columns: give all of them the same names "
            f"and types ({error})"
        ) from error


def _partitions(path: Path, files: Sequence[Path]) -> list[str]:
    """Return the names of columns that are stored in folder names such as `day=2024-01-01/`."""
    if path.is_file():
        return []
    folders = files[0].relative_to(path.resolve()).parts[:-1]
    return [folder.split("=", 1)[0] for folder in folders if "=" in folder]


def _check_names(names: Sequence[str], path: Path) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if not name:
            raise InputError(f"{path} has a column without a name: give it one")
        other = seen.get(name.casefold())
        seen[name.casefold()] = name
        if other is not None:
            raise InputError(
                f"{path} has the columns {other!r} and {name!r}, which SQL cannot tell apart: "
                "rename one of them"
            )
