"""A Feast data source, read whole through the offline store, checked and normalised."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import ibis
import pyarrow as pa
import pyarrow.dataset
from feast import FeatureStore, FileSource
from feast.data_source import DataSource

from longtail.errors import InputError
from longtail.features.validation import ARROW_TYPES, Column, null_problems, schema_problems

TIMESTAMP = "event_timestamp"


def read_source(store: FeatureStore, source: DataSource, columns: Sequence[Column]) -> pa.Table:
    """All rows of a source.

    Args:
        columns: what to read besides the timestamp, the ids first. Ids must never be null.

    Returns:
        the columns in the Arrow types of their forms, and `event_timestamp` in UTC, last.

    Raises:
        InputError: the table is missing or empty, a column is missing or of another type, an id
            or a timestamp is null, or a timestamp has no zone.
    """
    table = describe(source)
    timestamp = source.timestamp_field
    if not timestamp:
        raise InputError(f"the source of {table} names no `timestamp_field`: name its column")
    if isinstance(source, FileSource):
        wanted = [*columns, Column(timestamp, "timestamp")]
        raise_problems(schema_problems(file_schema(source), wanted, table))
    with duckdb_session():
        rows = store.provider.offline_store.pull_all_from_table_or_query(
            config=store.config,
            data_source=source,
            join_key_columns=[column.name for column in columns],
            feature_name_columns=[],
            timestamp_field=timestamp,
        ).to_arrow()
    if not rows.num_rows:
        raise InputError(f"{table} is empty: it must have at least one row")
    never_null = [column.name for column in columns if column.form == "id"] + [timestamp]
    raise_problems(null_problems(rows, never_null, table))
    names = [TIMESTAMP if name == timestamp else name for name in rows.column_names]
    return normalised(rows.rename_columns(names), columns)


def column_names(store: FeatureStore, source: DataSource) -> list[str]:
    """The columns of a source.

    Raises:
        InputError: a file source has no such file.
    """
    if isinstance(source, FileSource):
        return list(file_schema(source).names)
    return [name for name, _ in source.get_table_column_names_and_types(store.config)]


def describe(source: DataSource) -> str:
    """A source as an error names it: its file, or its name in Feast."""
    return source.path if isinstance(source, FileSource) else f"data source `{source.name}`"


def file_schema(source: FileSource) -> pa.Schema:
    """The Arrow schema of a file source.

    Raises:
        InputError: there is no such file, or it is not a Parquet file.
    """
    filesystem, path = FileSource.create_filesystem_and_path(
        source.path, source.s3_endpoint_override or ""
    )
    try:
        return pa.dataset.dataset(path, filesystem=filesystem, format="parquet").schema
    except FileNotFoundError as error:
        raise InputError(
            f"{source.path} does not exist: put the table there, or correct the path of source "
            f"`{source.name}` in the feature repository"
        ) from error
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{source.path} is not a Parquet file: write the table as Parquet ({error})"
        ) from error


def normalised(rows: pa.Table, columns: Sequence[Column]) -> pa.Table:
    """The rows with every column in the Arrow type of its form."""
    types = {column.name: ARROW_TYPES[column.form] for column in columns}
    types[TIMESTAMP] = ARROW_TYPES["timestamp"]
    if pa.types.is_string(rows[TIMESTAMP].type):
        # ibis 12 does not know DuckDB 2's type for nanoseconds with a zone, as pandas writes them,
        # and passes them on in words.
        precise = rows[TIMESTAMP].cast(pa.timestamp("ns", "UTC"))
        rows = rows.set_column(rows.column_names.index(TIMESTAMP), TIMESTAMP, precise)
    return pa.table(
        {
            # Not safe: nanoseconds are cut to microseconds.
            name: rows[name].cast(types[name], safe=name != TIMESTAMP)
            for name in rows.column_names
        }
    )


def raise_problems(problems: Sequence[str]) -> None:
    """Raise all problems as one `InputError`, if there are any."""
    if problems:
        raise InputError("; ".join(problems))


@contextmanager
def duckdb_session() -> Iterator[None]:
    """Give Feast's DuckDB store a connection of its own, dropped when the block is left.

    The store uses ibis's default connection, which otherwise keeps every data frame that was ever
    joined, and which DuckDB reports as leaked, line by line, when the process ends.
    """
    before = ibis.options.default_backend
    ibis.options.default_backend = None
    try:
        with warnings.catch_warnings():
            # ibis 12 calls DuckDB by a name that DuckDB 2 renames; Feast makes Python show it.
            warnings.filterwarnings("ignore", "fetch_arrow_table", DeprecationWarning)
            yield
    finally:
        ibis.options.default_backend = before
