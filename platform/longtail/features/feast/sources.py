"""Reads a Feast data source whole through the offline store, checks it and normalises it.

All code reads the three tables here, and `refused_rows.admit` then decides which rows are used.
So a check and a run see the same rows.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import RLock

import ibis
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
from feast import FeatureStore, FileSource
from feast.data_source import DataSource

from longtail.errors import InputError
from longtail.features.feast.refused_rows import TIMESTAMP
from longtail.features.feast.store_errors import store_failures
from longtail.features.feast.table_validation import ARROW_TYPES, Column, schema_findings
from longtail.features.finding import MAX_EXAMPLES, Finding, TableName


def source_findings(
    source: DataSource, columns: Sequence[Column], table: TableName
) -> list[Finding]:
    """Find what keeps a source from being read: no file, missing columns, wrong types.

    Args:
        source: the data source.
        columns: the columns that are read besides the timestamp.
        table: name of the table.
    """
    name = describe(source)
    timestamp = source.timestamp_field
    if not timestamp:
        problem = f"the source of {name} names no `timestamp_field`"
        return [Finding(problem, "name the column of timestamps", name, table)]
    if not isinstance(source, FileSource):
        return []
    wanted = [*columns, Column(timestamp, "timestamp")]
    try:
        files = file_schemas(source)
    except InputError as error:
        return [replace(Finding.of(str(error), name), table=table)]
    # One finding per column, however many files of the table are wrong in it.
    found: dict[str | None, Finding] = {}
    wrong: dict[str | None, set[str]] = {}
    for file, schema in files.items():
        for finding in schema_findings(schema, wanted, table, file):
            found.setdefault(finding.column, finding)
            wrong.setdefault(finding.column, set()).add(file)
    return [_disagreement(each, files, wrong[each.column]) for each in found.values()]


def _disagreement(finding: Finding, files: Mapping[str, pa.Schema], wrong: set[str]) -> Finding:
    """Extend a finding that holds for some files only by the type that the others have."""
    right = [file for file in files if file not in wrong]
    if not right:
        return finding
    other = files[right[0]].field(finding.column).type
    what = f"{finding.what}, and {other} in {len(right)} other files, such as {right[0]}"
    return replace(finding, what=what, examples=tuple(sorted(wrong))[:MAX_EXAMPLES])


def read_source(
    store: FeatureStore, source: DataSource, columns: Sequence[Column], table: TableName
) -> pa.Table:
    """Read all rows of a source, in its order, before any is refused.

    Args:
        store: the project's store.
        source: the data source.
        columns: the columns to read besides the timestamp, ids first.
        table: name of the table.

    Returns:
        the columns in the Arrow types of their forms, then `event_timestamp` in UTC. Any value may
        be null.

    Raises:
        InputError: the table is missing or empty, a column is missing or of another type, or a
            timestamp has no zone.
    """
    raise_findings(source_findings(source, columns, table))
    with duckdb_session(), store_failures(store.config, "offline store"):
        rows = store.provider.offline_store.pull_all_from_table_or_query(
            config=store.config,
            data_source=source,
            join_key_columns=[column.name for column in columns],
            feature_name_columns=[],
            timestamp_field=source.timestamp_field,
        ).to_arrow()
    if not rows.num_rows:
        raise InputError(f"{describe(source)} is empty: it must have at least one row")
    names = [TIMESTAMP if n == source.timestamp_field else n for n in rows.column_names]
    return normalised(rows.rename_columns(names), columns)


def column_names(store: FeatureStore, source: DataSource) -> list[str]:
    """Return the names of a source's columns.

    Raises:
        InputError: the file of a file source does not exist.
    """
    if isinstance(source, FileSource):
        return list(next(iter(file_schemas(source).values())).names)
    with store_failures(store.config, "offline store"):
        return [name for name, _ in source.get_table_column_names_and_types(store.config)]


def describe(source: DataSource) -> str:
    """Return the name of a source for messages: its file, or its name in Feast."""
    return source.path if isinstance(source, FileSource) else f"data source `{source.name}`"


def file_schemas(source: FileSource) -> dict[str, pa.Schema]:
    """Return the Arrow schema of every file of a source, by file, in their order.

    Raises:
        InputError: the file does not exist, cannot be read, or is not a Parquet file.
    """
    try:
        filesystem, path = FileSource.create_filesystem_and_path(
            source.path, source.s3_endpoint_override or ""
        )
        files = pa.dataset.dataset(path, filesystem=filesystem, format="parquet")
        if not files.files:
            raise FileNotFoundError
        single = len(files.files) == 1
        return {
            source.path if single else fragment.path: fragment.physical_schema
            for fragment in files.get_fragments()
        }
    except FileNotFoundError as error:
        raise InputError(
            f"{source.path} does not exist: put the table there, or correct the path of source "
            f"`{source.name}` in the feature repository"
        ) from error
    except OSError as error:
        said = next(iter(str(error).splitlines()), "")
        raise InputError(
            f"{source.path} cannot be read ({type(error).__name__}, {said}): check that its store "
            "runs and lets you read it, or correct the path of source "
            f"`{source.name}` in the feature repository"
        ) from error
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{source.path} is not a Parquet file: write the table as Parquet ({error})"
        ) from error


def normalised(rows: pa.Table, columns: Sequence[Column]) -> pa.Table:
    """Return the rows with every column in the Arrow type of its form."""
    types = {column.name: ARROW_TYPES[column.form] for column in columns}
    types[TIMESTAMP] = ARROW_TYPES["timestamp"]
    if pa.types.is_string(rows[TIMESTAMP].type):
        # pandas writes nanoseconds with a zone. ibis 12 does not know DuckDB 2's type for these,
        # and passes them on as text.
        precise = rows[TIMESTAMP].cast(pa.timestamp("ns", "UTC"))
        rows = rows.set_column(rows.column_names.index(TIMESTAMP), TIMESTAMP, precise)
    if rows[TIMESTAMP].type == pa.timestamp("ns", rows[TIMESTAMP].type.tz):
        nearest = _to_the_nearest_microsecond(rows[TIMESTAMP])
        rows = rows.set_column(rows.column_names.index(TIMESTAMP), TIMESTAMP, nearest)
    return pa.table({name: _cast(rows[name], name, types[name]) for name in rows.column_names})


def _to_the_nearest_microsecond(moments: pa.ChunkedArray) -> pa.ChunkedArray:
    """Round nanoseconds as DuckDB does in Feast's join: halves go away from zero.

    If they were cut off, an interaction would come before the features that were written with it.
    """
    nanoseconds = moments.cast(pa.int64())
    half = pc.if_else(pc.less(nanoseconds, 0), -500, 500)
    return pc.divide(pc.add(nanoseconds, half), 1000).cast(pa.timestamp("us", "UTC"))


_ROUNDED = (ARROW_TYPES["decimal"], ARROW_TYPES["vector"])


def _cast(values: pa.ChunkedArray, name: str, to: pa.DataType) -> pa.ChunkedArray:
    if values.null_count == len(values):
        # A column without any value has no type of its own, whatever DuckDB makes of it.
        return pa.chunked_array([pa.nulls(len(values), to)])
    try:
        # These casts may lose digits: of finer timestamps, and of large integers read as floats.
        return values.cast(to, safe=name != TIMESTAMP and to not in _ROUNDED)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"column `{name}` has values that cannot be read as {to}: cast or correct them "
            f"({error})"
        ) from error


def raise_findings(findings: Sequence[Finding]) -> None:
    """Raise all findings as one `InputError`, if there are any."""
    if findings:
        raise InputError("; ".join(finding.message for finding in findings))


@contextmanager
def duckdb_session() -> Iterator[None]:
    """Give Feast's DuckDB store a connection of its own, and drop it at the end of the block.

    Otherwise the store uses ibis's default connection. That keeps every data frame that was ever
    joined, and DuckDB reports these as leaked, line by line, when the process ends. There is one
    default per process, so one thread at a time has a session and the others wait.
    """
    with _SESSION:
        before = ibis.options.default_backend
        ibis.options.default_backend = None
        try:
            with warnings.catch_warnings():
                # ibis 12 calls a function that DuckDB 2 renames, and Feast turns warnings on.
                warnings.filterwarnings("ignore", "fetch_arrow_table", DeprecationWarning)
                yield
        finally:
            ibis.options.default_backend = before


_SESSION = RLock()
