"""Writes a draft's tables as a user's program would: CSV, or Parquet by one of four writers."""

import csv
import functools
import gzip
import io
import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from tests.init.files.draft import Column, Dialect, Draft, TableName


def write_tables(draft: Draft, folder: Path) -> dict[TableName, Path]:
    """Write all tables into a folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: dict[TableName, Path] = {}
    for name, columns in draft.tables.items():
        stem = folder / draft.file_names[name]
        suffix = draft.dialect.suffix if draft.format == "csv" else ".parquet"
        if draft.num_files == 1 and draft.format != "spark":
            paths[name] = stem.with_name(stem.name + suffix)
            _write(draft, name, columns, paths[name])
            continue
        paths[name] = stem
        if draft.format == "spark":
            _write_spark(columns, stem)
            continue
        stem.mkdir()
        size = -(-len(columns[0].values) // draft.num_files)
        for number in range(draft.num_files):
            rows = slice(number * size, (number + 1) * size)
            _write(draft, name, _part(columns, rows), stem / f"part-{number}{suffix}")
    return paths


def _part(columns: Sequence[Column], rows: slice) -> list[Column]:
    return [
        Column(c.name, c.values[rows], c.type, c.part, sql_type=c.sql_type, category=c.category,
               cells=None if c.cells is None else c.cells[rows])
        for c in columns
    ]  # fmt: skip


def _write(draft: Draft, table: TableName, columns: Sequence[Column], file: Path) -> None:
    if draft.format == "csv":
        _write_csv(columns, draft.dialect, file)
    elif draft.format == "pandas":
        frame = _frame(columns)
        if table in draft.pandas_index:
            frame = frame.iloc[::-1].sort_index(ascending=True)
            frame.index = [*range(1, len(frame)), len(frame) + 4]
        frame.to_parquet(file)
    elif draft.format == "arrow":
        pq.write_table(_arrow(columns), file)
    else:
        _write_duckdb(columns, file)


def _arrow(columns: Sequence[Column]) -> pa.Table:
    arrays = []
    for column in columns:
        if column.type == pa.uuid():
            stored = pa.array(column.values, pa.binary(16))
            arrays.append(pa.ExtensionArray.from_storage(pa.uuid(), stored))
        else:
            arrays.append(pa.array(column.values, column.type))
    return pa.Table.from_arrays(arrays, names=[column.name for column in columns])


def _frame(columns: Sequence[Column]) -> Any:
    import pandas as pd

    def series(column: Column) -> Any:
        kind = column.type
        if column.category:
            return pd.Series(column.values).astype("category")
        if kind is not None and pa.types.is_timestamp(kind):
            return pd.Series(pd.array(pa.array(column.values, kind).to_pandas()))
        if kind is not None and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            return pa.array(column.values, kind).to_pandas()
        is_object = kind is not None and not pa.types.is_duration(kind)
        return pd.Series(column.values, dtype=object if is_object else None)

    found = {column.name: series(column) for column in columns}
    frame = pd.DataFrame(dict(enumerate(found.values())))
    frame.columns = list(found)
    return frame


def _write_duckdb(columns: Sequence[Column], file: Path) -> None:
    with duckdb.connect() as connection:
        connection.register("given", _arrow(columns))
        names = [(c.name.replace('"', '""'), c.sql_type) for c in columns]
        selected = ", ".join(
            f'CAST("{name}" AS {cast}) AS "{name}"' if cast else f'"{name}"' for name, cast in names
        )
        connection.execute(f"COPY (SELECT {selected} FROM given) TO '{file}' (FORMAT parquet)")


@functools.cache
def spark_session() -> Any:
    """Start Spark, once in this process."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[1]").appName("generated files")
    for name, value in (
        ("spark.ui.enabled", "false"),
        ("spark.sql.session.timeZone", "UTC"),
        ("spark.driver.memory", "512m"),
        ("spark.driver.host", "127.0.0.1"),
    ):
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    return session


def _write_spark(columns: Sequence[Column], folder: Path) -> None:
    frame = spark_session().createDataFrame(_arrow(columns))
    frame.coalesce(1).write.parquet(str(folder))


def _write_csv(columns: Sequence[Column], dialect: Dialect, file: Path) -> None:
    out = io.StringIO()
    if dialect.by_pandas:
        _frame(columns).to_csv(out, index=False)
    else:
        quoting = csv.QUOTE_ALL if dialect.quote_all else csv.QUOTE_MINIMAL
        writer = csv.writer(
            out, delimiter=dialect.delimiter, lineterminator=dialect.line_end, quoting=quoting
        )
        writer.writerow([column.name for column in columns])
        cells = [
            column.cells or [_cell(value, dialect) for value in column.values] for column in columns
        ]
        writer.writerows(zip(*cells, strict=True))
    text = out.getvalue()
    written = (dialect.edit(text) if dialect.edit else text).encode(dialect.encoding)
    file.write_bytes(gzip.compress(written, mtime=0) if file.name.endswith(".gz") else written)


def _cell(value: Any, dialect: Dialect) -> str:
    """Return a cell as Python's and pandas' writers spell it."""
    if value is None or value != value:
        return ""
    if isinstance(value, float | Decimal):
        return str(value).replace(".", "," if dialect.decimal_comma else ".")
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, bytes):
        return value.hex()
    return json.dumps(value) if isinstance(value, list) else str(value)
