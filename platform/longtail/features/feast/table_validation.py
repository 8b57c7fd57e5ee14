"""The conditions that the three tables must meet before anything is made from them.

Pure functions on Arrow schemas and on refused rows. Each returns findings worded for the owner of
the data: file, column, examples, and the cure.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa

from longtail.config import ChecksConfig
from longtail.errors import InputError
from longtail.features.feast.refused_rows import (
    BAD_WEIGHT,
    COLUMN,
    DUPLICATE,
    FUTURE,
    NULL,
    REASON,
    ROW,
    TIMESTAMP,
    Admitted,
)
from longtail.features.finding import MAX_EXAMPLES, Finding, TableName
from longtail.features.schema import Feature

REFUSED_SHARE = "refused_share"
"""The name of the check that `over_limit_findings` makes."""

Form = Literal[
    "id",
    "string",
    "integer",
    "strings",
    "integers",
    "decimal",
    "vector",
    "boolean",
    "number",
    "timestamp",
]

TYPES: dict[Form, str] = {
    "id": "a string",
    "string": "a string",
    "integer": "an integer",
    "strings": "a list of strings",
    "integers": "a list of integers",
    "decimal": "a number",
    "vector": "a list of numbers",
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
    "decimal": pa.float64(),
    "vector": pa.list_(pa.float32()),
    "boolean": pa.bool_(),
    "number": pa.float32(),
    "timestamp": pa.timestamp("us", "UTC"),
}


@dataclass(frozen=True)
class Column:
    """A column that a table must have, and the form that its values must have."""

    name: str
    form: Form


def feature_column(feature: Feature) -> Column:
    """Return the column that a feature is read from."""
    if feature.is_id:
        return Column(feature.name, "id")
    forms: dict[tuple[str, str], Form] = {
        ("single", "string"): "string",
        ("single", "integer"): "integer",
        ("multi", "string"): "strings",
        ("multi", "integer"): "integers",
        ("dense", "number"): "decimal",
        ("dense", "vector"): "vector",
    }
    return Column(feature.name, forms[feature.kind, feature.dtype])


def schema_findings(
    schema: pa.Schema, columns: Sequence[Column], table: TableName, source: str
) -> list[Finding]:
    """Find missing columns, wrong types and timestamps without a zone.

    Args:
        schema: the schema of the table, or of one of its files.
        columns: the columns that it must have.
        table: name of the table.
        source: the table's (or the file's) name in messages.
    """
    findings = []
    for column in columns:
        name = column.name
        if name not in schema.names:
            problem = f"{source} has no column `{name}`"
            cure = f"add it, or correct the definition (its columns are {', '.join(schema.names)})"
            findings.append(Finding(problem, cure, source, table, name))
            continue
        found = schema.field(name).type
        # A local time taken for UTC is hours off, and could show features from the future.
        if column.form == "timestamp" and pa.types.is_timestamp(found) and found.tz is None:
            problem = f"column `{name}` of {source} has timestamps without a zone"
            cure = "write them with the zone UTC (pandas: `.dt.tz_localize('UTC')`)"
            findings.append(Finding(problem, cure, source, table, name))
        elif not has_form(found, column.form):
            declared = TYPES[column.form]
            problem = f"column `{name}` of {source} is {found} where {declared} is declared"
            cure = "cast the column, or change the declaration in the feature repository"
            findings.append(Finding(problem, cure, source, table, name))
    return findings


def has_form(found: pa.DataType, form: Form) -> bool:
    """Return whether values of an Arrow type can be read as a form."""
    if pa.types.is_dictionary(found):
        found = found.value_type
    # A column that is null throughout has no type, and fits any form but the timestamp's.
    if pa.types.is_null(found):
        return form != "timestamp"
    if form in ("id", "string"):
        return bool(pa.types.is_string(found) or pa.types.is_large_string(found))
    if form == "integer":
        return bool(pa.types.is_integer(found))
    if form == "boolean":
        return bool(pa.types.is_boolean(found))
    if form in ("number", "decimal"):
        return bool(pa.types.is_integer(found) or pa.types.is_floating(found))
    if form == "timestamp":
        return bool(pa.types.is_timestamp(found))
    if form == "vector" and pa.types.is_fixed_size_list(found):
        return has_form(found.value_type, "decimal")
    if not (pa.types.is_list(found) or pa.types.is_large_list(found)):
        return False
    values: dict[Form, Form] = {"strings": "string", "integers": "integer", "vector": "decimal"}
    return has_form(found.value_type, values[form])


def null_findings(admitted: Admitted) -> Iterator[Finding]:
    """Find the rows refused because an id or the timestamp is null; one finding per column."""
    nulls = admitted.refused_for(NULL)
    for column in nulls[COLUMN].unique().to_pylist():
        rows = admitted.refused_for(NULL, column)
        yield Finding(
            f"column `{column}` of {admitted.source} is null in {rows.num_rows} of "
            f"{admitted.num_rows} rows, first in row {rows[ROW][0]} (counted from 0)",
            "fill it in, or drop these rows",
            source=admitted.source,
            table=admitted.table,
            column=column,
            num_rows=rows.num_rows,
            examples=example_rows(rows),
        )


def duplicate_findings(admitted: Admitted) -> Iterator[Finding]:
    """Find the rows refused because another row has the same key and timestamp."""
    rows = admitted.refused_for(DUPLICATE)
    if rows.num_rows:
        key = rows[COLUMN][0].as_py()
        yield Finding(
            f"{admitted.source} has {rows.num_rows} duplicated rows: `{key}` = "
            f"{rows[key][0].as_py()!r} occurs more than once with `{TIMESTAMP}` = "
            f"{rows[TIMESTAMP][0].as_py().isoformat()}",
            "keep one row per key and timestamp",
            source=admitted.source,
            table=admitted.table,
            column=key,
            num_rows=rows.num_rows,
            examples=example_rows(rows),
        )


def future_findings(admitted: Admitted) -> Iterator[Finding]:
    """Find the rows refused because their timestamp is in the future."""
    rows = admitted.refused_for(FUTURE)
    if rows.num_rows:
        yield Finding(
            f"column `{TIMESTAMP}` of {admitted.source} is later than now in {rows.num_rows} of "
            f"{admitted.num_rows} rows, such as {rows[TIMESTAMP][0].as_py().isoformat()}",
            "write moments that have passed, in UTC (a local time written as UTC is hours off)",
            source=admitted.source,
            table=admitted.table,
            column=TIMESTAMP,
            num_rows=rows.num_rows,
            examples=example_rows(rows),
        )


def weight_findings(admitted: Admitted) -> Iterator[Finding]:
    """Find the rows refused because their weight is negative or not finite."""
    rows = admitted.refused_for(BAD_WEIGHT)
    if rows.num_rows:
        column = rows[COLUMN][0].as_py()
        yield Finding(
            f"column `{column}` of {admitted.source} is negative or not finite in "
            f"{rows.num_rows} of {admitted.num_rows} rows, such as {rows[column][0]} in row "
            f"{rows[ROW][0]}",
            "weights must be finite and not negative, so correct or drop these rows",
            source=admitted.source,
            table=admitted.table,
            column=column,
            num_rows=rows.num_rows,
            examples=example_rows(rows),
        )


def over_limit_findings(admitted: Admitted, max_share: float) -> Iterator[Finding]:
    """Yield one finding if a larger share of a table's rows is refused than `max_share`."""
    if admitted.refused_share <= max_share:
        return
    every = (null_findings, duplicate_findings, future_findings, weight_findings)
    reasons = [finding for find in every for finding in find(admitted)]
    yield Finding(
        f"{admitted.refused.num_rows} of {admitted.num_rows} rows of {admitted.source} are refused "
        f"({admitted.refused_share:.2%}, more than {max_share:.2%}): "
        + "; ".join(finding.message for finding in reasons),
        "the quarantine has these rows and the reasons; correct them, or raise "
        "`checks.max_refused_share`",
        source=admitted.source,
        table=admitted.table,
        num_rows=admitted.refused.num_rows,
        examples=tuple(example for each in reasons for example in each.examples)[:MAX_EXAMPLES],
    )


def require_within_limit(tables: Iterable[Admitted], checks: ChecksConfig) -> None:
    """Raise an error if too many rows of a table were refused.

    It does nothing if `checks.severity` makes the check less than an error.

    Raises:
        InputError: names every such table, and the reasons why its rows were refused.
    """
    if checks.severity.get(REFUSED_SHARE, "error") != "error":
        return
    limit = checks.max_refused_share
    found = [finding for table in tables for finding in over_limit_findings(table, limit)]
    if found:
        raise InputError("; ".join(finding.message for finding in found))


def example_rows(rows: pa.Table) -> tuple[dict[str, Any], ...]:
    """Return the first rows in JSON's types; a refused row has its position as `row`."""
    first = rows.slice(0, MAX_EXAMPLES)
    if ROW in first.column_names:
        first = first.drop_columns([REASON, COLUMN])
        first = first.rename_columns(["row" if c == ROW else c for c in first.column_names])
    return tuple(
        {name: json_value(value) for name, value in row.items()} for row in first.to_pylist()
    )


def json_value(value: Any) -> Any:
    """Return a value in JSON's types: moments in ISO 8601, NaN and infinities as text."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [json_value(each) for each in value]
    return value
