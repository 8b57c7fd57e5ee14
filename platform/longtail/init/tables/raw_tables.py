"""Finds the files of a table and the types of its columns.

A table is Parquet or CSV, and one file or a folder of files.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from longtail.errors import InputError
from longtail.init.tables.csv_files import CSV_SUFFIXES, csv_to_parquet, notes_of
from longtail.init.tables.sql import literal, quoted

Role = Literal["items", "queries", "interactions"]

PARQUET_SUFFIXES = (".parquet", ".pq", ".parq")
_PARQUET_MAGIC = b"PAR1"
_EXTENSION = b"ARROW:extension:name"
# `0.0` is a row number that went through floats. A leading zero marks a code.
_ROW_NUMBER = r"(0|[1-9][0-9]*)(\.0)?"


@dataclass(frozen=True)
class RawColumn:
    """A column as it is stored.

    Attributes:
        name: the column's name in the user's table.
        type: its Arrow type; string for all columns of a CSV file.
        is_text: the column comes from a CSV file or from the name of a folder, and so has no type
            of its own.
        extension: name of the Arrow extension type that it has, whether PyArrow knows it or not,
            such as `pandas.interval`; `type` is then the type that the values are stored as.
        stored: the type that DuckDB reads, which tells UUIDs, intervals and binary values apart.
        delimiter: the character between the cells of the CSV files; "" if it has none, or several.
    """

    name: str
    type: pa.DataType
    is_text: bool
    extension: str = ""
    stored: str = ""
    delimiter: str = ""


@dataclass(frozen=True)
class RawTable:
    """One of the three tables, as it is stored.

    Attributes:
        role: the part that the table plays.
        path: the file or folder that the user named.
        columns: the columns in the order of the table.
        num_rows: at least 1.
        relation: SQL for the table, to be written after FROM in DuckDB.
        notes: what was changed or left out on the way, as sentences without the full stop.
    """

    role: Role
    path: Path
    columns: tuple[RawColumn, ...]
    num_rows: int
    relation: str
    notes: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        """The name of the file or folder, without its suffixes."""
        return self.path.resolve().name.split(".")[0]

    @property
    def names(self) -> list[str]:
        """The names of the columns, in the order of the table."""
        return [column.name for column in self.columns]


def open_raw_table(
    role: Role,
    path: Path,
    scratch: Path,
    connection: duckdb.DuckDBPyConnection,
    comment: str | None = None,
) -> RawTable:
    """Find the files of a table, and read the names and types of its columns.

    Args:
        path: a Parquet or CSV file, or a folder of either.
        scratch: an existing folder. CSV files are copied there as Parquet, a batch at a time, with
            every column as text.
        comment: lines of CSV files that begin with it are skipped.

    Raises:
        InputError: the table does not exist, cannot be read or is empty, or two of its columns
            have the same name, or one without a name has values that say something.
    """
    if comment is not None and (not comment.strip() or '"' in comment):
        raise InputError(f"--comment {comment!r}: name the sign that comments begin with, as '#'")
    files = _table_files(role, path)
    # From here on every table is Parquet: the rest of `init` needs one reader only.
    if is_csv := not _is_parquet(files[0]):
        copies = [scratch / f"{role}-{number}.parquet" for number in range(len(files))]
        read = [csv_to_parquet(*pair, comment) for pair in zip(files, copies, strict=True)]
        [delimiter, *others] = {copy.layout.delimiter for copy in read}
        delimiter = "" if others else delimiter
        notes = notes_of(read, comment)
        parts = [
            _Part(file, copy, _read_fields(file, copy), each.unnamed)
            for file, copy, each in zip(files, copies, read, strict=True)
        ]
    else:
        notes, delimiter = [], ""
        parts = [_parquet_part(connection, file) for file in files]
    notes += dict.fromkeys(note for part in parts for note in _leave_out(connection, part))
    # A partitioned table keeps some columns in the names of its folders. They have no type, so they
    # are text, and a column of the same name in the files wins.
    partitions = [] if is_csv else _partitions(path, files)
    columns = _common_columns(parts, path, is_text=is_csv, delimiter=delimiter)
    taken = [column.name for column in columns]
    columns += [RawColumn(name, pa.string(), True) for name in partitions if name not in taken]
    _check_names([column.name for column in columns], path)
    relation = _relation([part.readable for part in parts], partitions)
    [(num_rows,)] = _query(connection, path, f"SELECT count(*) FROM {relation}")
    if not num_rows:
        raise InputError(f"{path} (--{role}) is empty: it must have at least one row")
    types = _stored_types(connection, path, relation)
    columns = [replace(column, stored=types[column.name]) for column in columns]
    return RawTable(role, path, tuple(columns), num_rows, relation, tuple(notes))


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


@dataclass(frozen=True)
class _Part:
    """One file of a table.

    Attributes:
        file: where the user has it.
        readable: its values as Parquet.
        fields: all its columns.
        unnamed: the columns without a name: their positions, and what DuckDB calls them.
    """

    file: Path
    readable: Path
    fields: Sequence[pa.Field]
    unnamed: Mapping[int, str]


def _parquet_part(connection: duckdb.DuckDBPyConnection, file: Path) -> _Part:
    fields = _read_fields(file, file)
    positions = [n for n, each in enumerate(fields) if not each.name.strip(" \t\r\n")]
    if not positions:
        return _Part(file, file, fields, {})
    # DuckDB makes up names for these, such as `C0`, and refuses or renames others of that name.
    nameless = InputError(f"{file}: column {positions[0] + 1} has no name: give it one")
    try:
        called = list(_stored_types(connection, file, _relation([file])))
    except InputError as error:
        raise nameless from error
    if any(each.name != called[n] for n, each in enumerate(fields) if n not in positions):
        raise nameless
    return _Part(file, file, fields, {n: called[n] for n in positions})


def _read_fields(file: Path, readable: Path) -> list[pa.Field]:
    try:
        schema = pq.read_schema(readable)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{file} is not a Parquet file, or it is cut off or encrypted: write it again, as "
            f"plain Parquet ({error})"
        ) from error
    return list(schema)


def _leave_out(connection: duckdb.DuckDBPyConnection, part: _Part) -> Iterator[str]:
    """Yield why each column without a name is left out.

    Raises:
        InputError: it has values that are no row numbers.
    """
    for position, name in part.unnamed.items():
        text = f"nullif(trim(CAST({quoted(name)} AS VARCHAR)), '')"
        [(rows, known, distinct, whole, example)] = _query(
            connection,
            part.file,
            f"SELECT count(*), count(t), count(DISTINCT t), "
            f"count(*) FILTER (regexp_full_match(t, '{_ROW_NUMBER}')), min(t) "
            f"FROM (SELECT {text} AS t FROM {_relation([part.readable])})",
        )
        column = f"Column {position + 1} has no name"
        if not known:
            yield f"{column} and no values: it is left out"
        elif rows == distinct == whole:
            yield f"{column} and holds row numbers: it is left out"
        else:
            raise InputError(
                f"{part.file}: column {position + 1} has no name, and its values, such as "
                f"{example!r}, are no row numbers: give it a name"
            )


def _common_columns(
    parts: Sequence[_Part], path: Path, *, is_text: bool, delimiter: str
) -> list[RawColumn]:
    """Return the columns that any of the files has, each with a type for the values of all.

    Raises:
        InputError: two columns of a file have the same name, or the types of a column do not fit.
    """
    found: dict[str, dict[tuple[pa.DataType, str], Path]] = {}
    for part in parts:
        named = [each for n, each in enumerate(part.fields) if n not in part.unnamed]
        _check_names([each.name for each in named], part.file)
        for each in named:
            found.setdefault(each.name, {}).setdefault(_type_of(each), part.file)
    if any(name in found for part in parts for name in part.unnamed.values()):
        raise InputError(f"{path} has a column without a name in some files: give it one")
    columns = []
    for name, types in found.items():
        [(type_, extension), *others] = types
        if others:
            type_, extension = _common_type(name, types, path)
        columns.append(RawColumn(name, type_, is_text, extension, delimiter=delimiter))
    return columns


def _type_of(found: pa.Field) -> tuple[pa.DataType, str]:
    """Return the type as which a column is stored, and the name of its extension type."""
    if isinstance(found.type, pa.BaseExtensionType):
        return found.type.storage_type, found.type.extension_name
    return found.type, (found.metadata or {}).get(_EXTENSION, b"").decode()


def _common_type(
    name: str, types: Mapping[tuple[pa.DataType, str], Path], path: Path
) -> tuple[pa.DataType, str]:
    schemas = [pa.schema([pa.field(name, _plain(type_))]) for type_, _ in types]
    extensions = {extension for _, extension in types}
    try:
        if len(extensions) > 1:
            raise pa.ArrowTypeError("extension types differ")
        common = pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowException as error:
        listed = ", ".join(f"{extension or t} in {file}" for (t, extension), file in types.items())
        raise InputError(
            f"the files of {path} do not have the same columns: `{name}` is {listed}; give it one "
            "type in all of them"
        ) from error
    return common.field(0).type, extensions.pop()


def _plain(found: pa.DataType) -> pa.DataType:
    """Return the type that DuckDB reads a type as, where PyArrow has several for the same."""
    if pa.types.is_dictionary(found):
        return _plain(found.value_type)
    if pa.types.is_large_string(found) or found == pa.string_view():
        return pa.string()
    if pa.types.is_large_binary(found) or found == pa.binary_view():
        return pa.binary()
    if pa.types.is_large_list(found) or pa.types.is_fixed_size_list(found):
        return pa.list_(_plain(found.value_type))
    return found


def _relation(files: Sequence[Path], partitions: Sequence[str] = ()) -> str:
    # A name may have the signs of a pattern: `*`, `?` and `[`.
    listed = ", ".join(literal(re.sub(r"([*?\[])", r"[\1]", str(file))) for file in files)
    hive = ", hive_partitioning=true, hive_types_autocast=false" if partitions else ""
    return f"read_parquet([{listed}], union_by_name=true{hive})"


def _query(connection: duckdb.DuckDBPyConnection, path: Path, query: str) -> list[Any]:
    try:
        return connection.execute(query).fetchall()
    except duckdb.Error as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}") from error


def _stored_types(
    connection: duckdb.DuckDBPyConnection, path: Path, relation: str
) -> dict[str, str]:
    """Return the columns as DuckDB calls them, in their order, and their types in DuckDB."""
    rows = _query(connection, path, f"DESCRIBE SELECT * FROM {relation}")
    return {name: type_ for name, type_, *_ in rows}


def _partitions(path: Path, files: Sequence[Path]) -> list[str]:
    """Return the names of columns that are stored in folder names such as `day=2024-01-01/`."""
    if path.is_file():
        return []
    folders = files[0].relative_to(path.resolve()).parts[:-1]
    return [folder.split("=", 1)[0] for folder in folders if "=" in folder]


def _check_names(names: Sequence[str], path: Path) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.get(name.casefold())
        seen[name.casefold()] = name
        if other is not None:
            raise InputError(
                f"{path} has the columns {other!r} and {name!r}, which SQL cannot tell apart: "
                "rename one of them"
            )
