"""What must hold of the three tables before anything is made from them.

Pure functions on Arrow schemas and tables; each returns the problems it found, worded for the
owner of the data: file, column, an example, and the cure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from longtail.features.history import first_of_group
from longtail.features.schema import Feature

Form = Literal["id", "string", "integer", "strings", "integers", "boolean", "number", "timestamp"]

TYPES: dict[Form, str] = {
    "id": "a string",
    "string": "a string",
    "integer": "an integer",
    "strings": "a list of strings",
    "integers": "a list of integers",
    "boolean": "a boolean",
    "number": "a number",
    "timestamp": "a timestamp with the zone UTC",
}
ARROW_TYPES: dict[Form, pa.DataType] = {
    "id": pa.string(),
    "string": pa.string(),
    "integer": pa.int64(),
    "strings": pa.list_(pa.string()),
    "integers": pa.list_(pa.int64()),
    "boolean": pa.bool_(),
    "number": pa.float32(),
    "timestamp": pa.timestamp("us", "UTC"),
}


@dataclass(frozen=True)
class Column:
    """A column that a table must have, and the form of its values."""

    name: str
    form: Form


def feature_column(feature: Feature) -> Column:
    """The column of a feature."""
    if feature.is_id:
        return Column(feature.name, "id")
    forms: dict[tuple[str, str], Form] = {
        ("single", "string"): "string",
        ("single", "integer"): "integer",
        ("multi", "string"): "strings",
        ("multi", "integer"): "integers",
    }
    return Column(feature.name, forms[feature.kind, feature.dtype])


def schema_problems(schema: pa.Schema, columns: Sequence[Column], table: str) -> list[str]:
    """Missing columns, wrong types and timestamps without a zone of the table called `table`."""
    problems = []
    for column in columns:
        if column.name not in schema.names:
            problems.append(
                f"{table} has no column `{column.name}`: add it, or correct the definition "
                f"(its columns are {', '.join(schema.names)})"
            )
            continue
        found = schema.field(column.name).type
        if column.form == "timestamp" and pa.types.is_timestamp(found) and found.tz is None:
            problems.append(
                f"column `{column.name}` of {table} has timestamps without a zone: write them "
                "with the zone UTC (pandas: `.dt.tz_localize('UTC')`)"
            )
        elif not _has_form(found, column.form):
            problems.append(
                f"column `{column.name}` of {table} is {found} where {TYPES[column.form]} is "
                "declared: cast the column, or change the declaration in the feature repository"
            )
    return problems


def _has_form(found: pa.DataType, form: Form) -> bool:
    if pa.types.is_dictionary(found):
        found = found.value_type
    if pa.types.is_null(found):
        return form != "timestamp"
    if form in ("id", "string"):
        return bool(pa.types.is_string(found) or pa.types.is_large_string(found))
    if form == "integer":
        return bool(pa.types.is_integer(found))
    if form == "boolean":
        return bool(pa.types.is_boolean(found))
    if form == "number":
        return bool(pa.types.is_integer(found) or pa.types.is_floating(found))
    if form == "timestamp":
        return bool(pa.types.is_timestamp(found))
    if not (pa.types.is_list(found) or pa.types.is_large_list(found)):
        return False
    return _has_form(found.value_type, "string" if form == "strings" else "integer")


def null_problems(rows: pa.Table, columns: Sequence[str], table: str) -> list[str]:
    """Columns that must be known in every row and are not."""
    problems = []
    for column in columns:
        if rows[column].null_count:
            row = pc.index(pc.is_null(rows[column]), True).as_py()
            problems.append(
                f"column `{column}` of {table} is null in {rows[column].null_count} of "
                f"{rows.num_rows} rows, first in row {row} (counted from 0): fill it in, or "
                "drop these rows"
            )
    return problems


def duplicate_problems(history: pa.Table, key: str, timestamp: str, table: str) -> list[str]:
    """Rows that say twice what was true of one key from one moment on.

    Args:
        history: the table's rows, sorted by `key`, then `timestamp`.
    """
    repeated = history.select([key, timestamp]).filter(
        pc.invert(first_of_group(history, [key, timestamp]))
    )
    if not repeated.num_rows:
        return []
    example = repeated.slice(0, 1).to_pylist()[0]
    return [
        f"{table} has {repeated.num_rows} duplicated rows: `{key}` = {example[key]!r} stands more "
        f"than once with `{timestamp}` = {example[timestamp].isoformat()}: keep one row a key and "
        "timestamp"
    ]


def weight_problems(rows: pa.Table, column: str, table: str) -> list[str]:
    """Weights that are negative or not finite."""
    weights = rows[column].drop_null()
    bad = pc.or_(pc.invert(pc.is_finite(weights)), pc.less(weights, 0.0))
    if not pc.any(bad).as_py():
        return []
    example = weights.filter(bad)[0].as_py()
    return [
        f"column `{column}` of {table} has the value {example}: weights must be finite and not "
        "negative"
    ]
