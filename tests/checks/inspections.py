"""Three small clean tables, and inspections of them or of changed tables for the checks."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from longtail.checks.inspected_project import Inspection, Served
from longtail.config import Config
from longtail.features.feast.history import known_rows, latest_rows
from longtail.features.feast.refused_rows import TIMESTAMP, admit
from longtail.features.finding import TABLES, TableName
from longtail.features.schema import Feature, Schema, Side

UTC_US = pa.timestamp("us", "UTC")
NUM_ITEMS, NUM_QUERIES, NUM_INTERACTIONS = 300, 240, 2400
AS_OF = date(2024, 1, 9)
NOW = datetime(2024, 1, 10, 12, tzinfo=UTC)
BORN, CHOSEN = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 5, tzinfo=UTC)


def moments(count: int, moment: datetime) -> pa.Array:
    """Return a column with the same moment `count` times."""
    return pa.array([moment] * count, UTC_US)


def clean_items() -> pa.Table:
    numbers = np.arange(NUM_ITEMS)
    return pa.table(
        {
            "item_id": [f"item-{n:03}" for n in numbers],
            "section": [f"section-{n % 8}" for n in numbers],
            "words": [[f"word-{n % 7}", f"word-{n % 11}"] for n in numbers],
            "size": pa.array(numbers % 20, pa.int64()),
            TIMESTAMP: moments(NUM_ITEMS, BORN),
        }
    )


def clean_queries() -> pa.Table:
    numbers = np.arange(NUM_QUERIES)
    return pa.table(
        {
            "query_id": [f"query-{n:03}" for n in numbers],
            "country": [f"country-{n % 5}" for n in numbers],
            "tags": [[f"tag-{n % 3}"] if n % 2 else [] for n in numbers],
            TIMESTAMP: moments(NUM_QUERIES, BORN),
        }
    )


def clean_interactions() -> pa.Table:
    rng = np.random.default_rng(0)
    pairs = rng.permutation(NUM_ITEMS * NUM_QUERIES)[:NUM_INTERACTIONS]
    return pa.table(
        {
            "query_id": [f"query-{n:03}" for n in pairs // NUM_ITEMS],
            "item_id": [f"item-{n:03}" for n in pairs % NUM_ITEMS],
            TIMESTAMP: moments(NUM_INTERACTIONS, CHOSEN),
            "weight": pa.array([1.0] * NUM_INTERACTIONS, pa.float32()),
        }
    )


CLEAN = {"items": clean_items, "queries": clean_queries, "interactions": clean_interactions}


def schema_of(items: pa.Table, queries: pa.Table, *, shared_ids: bool = False) -> Schema:
    """Return a schema in which each column is a feature with an embedding table of its own."""

    def features(side: Side, rows: pa.Table) -> tuple[Feature, ...]:
        key, *others = [name for name in rows.column_names if name not in (TIMESTAMP, "active")]
        table = "entity" if shared_ids else f"{side}_{key}"
        found = [Feature(key, side, "single", "string", table, 8, is_id=True)]
        for name in others:
            of = rows.schema.field(name).type
            listed = pa.types.is_list(of)
            value_type = of.value_type if listed else of
            dtype = "integer" if pa.types.is_integer(of) else "string"
            if pa.types.is_floating(value_type):
                dtype = "vector" if listed else "number"
            kind = "dense" if pa.types.is_floating(value_type) else "multi" if listed else "single"
            found.append(Feature(name, side, kind, dtype, f"{side}_{name}", 8))
        return tuple(found)

    return Schema(features("query", queries), features("item", items))


def inspect_tables(
    *,
    served: dict[str, pa.Table] | None = None,
    checks: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    shared_ids: bool = False,
    home: Path = Path("/tmp"),
    **changed: pa.Table,
) -> Inspection:
    """Return the inspection that `preflight` would make of these tables, without using Feast.

    Args:
        served: the tables of the served version; tables that are not given are clean. None: no
            version is served.
        checks: the section `checks` of the configuration.
        config: other sections of the configuration.
        shared_ids: whether a query and an item with the same id are the same thing.
        home: the folder that a run would write to.
        changed: tables to use instead of the clean ones, by name.
    """
    tables = {name: changed[name] if name in changed else make() for name, make in CLEAN.items()}
    schema = schema_of(tables["items"], tables["queries"], shared_ids=shared_ids)
    ids: dict[TableName, Sequence[str]] = {
        "items": [schema.item_key],
        "queries": [schema.query_key],
        "interactions": ["query_id", "item_id"],
    }
    settings = {"feature_repo": "repo", "home": home, "checks": checks or {}, **(config or {})}
    project = Config.model_validate(settings)
    # From here on as in `preflight`: refuse rows, then keep what is known by the day.
    admitted = {
        name: admit(
            tables[name],
            table=name,
            source=f"{name}.parquet",
            ids=ids[name],
            now=NOW,
            unique=() if name == "interactions" else (*ids[name], TIMESTAMP),
            weight="weight" if "weight" in tables[name].column_names else None,
        )
        for name in TABLES
    }
    known = {
        name: known_rows(
            name,
            admitted[name].rows,
            AS_OF,
            admitted[name].source,
            project.features.repeated_weights,
        )
        for name in TABLES
    }
    return Inspection(
        project,
        AS_OF,
        schema=schema,
        sources={name: f"{name}.parquet" for name in TABLES},
        admitted=admitted,
        known=known,
        served=None if served is None else served_version(served),
    )


def served_version(tables: dict[str, pa.Table]) -> Served:
    """Return a served version of these tables, one row for each key; clean ones by default."""
    rows = {name: tables.get(name, CLEAN[name]()) for name in ("items", "queries")}
    schema = schema_of(rows["items"], rows["queries"])
    return Served(
        "20240101-abc",
        schema,
        latest_rows(rows["items"], schema.item_key),
        latest_rows(rows["queries"], schema.query_key),
    )


def replaced(rows: pa.Table, column: str, values: Any) -> pa.Table:
    """Return the table with other values in a column, which is added if it is missing."""
    if column not in rows.column_names:
        return rows.append_column(column, values if isinstance(values, pa.Array) else [values])
    return rows.set_column(rows.column_names.index(column), column, values)
