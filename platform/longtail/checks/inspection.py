"""What the checks look at: the project, and its tables as a run would read them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

import duckdb
import pyarrow as pa

from longtail.config import Config
from longtail.features.feast.admission import TIMESTAMP, Admitted
from longtail.features.feast.history import ACTIVE, latest_rows
from longtail.features.finding import Finding, TableName
from longtail.features.schema import Feature, Schema, Side

CATEGORICAL = ("single", "multi")
TABLE_OF: dict[Side, TableName] = {"query": "queries", "item": "items"}


@dataclass(frozen=True)
class Served:
    """What the served version was made from.

    Attributes:
        version: its name.
        schema: its features.
        items: its catalogue, one row an item.
        queries: the latest row of each query.
    """

    version: str
    schema: Schema
    items: pa.Table
    queries: pa.Table


@dataclass(frozen=True)
class Inspection:
    """A project as far as it could be read; what could not be read is noted.

    In SQL (`rows`) the tables are `item_rows` and `query_rows` (all rows up to the day), `items`
    and `queries` (the latest row of each active item, of each query), `interactions` (each pair
    once), and of the served version `served_items` and `served_queries`. What a row is refused
    from is in `admitted_items` and `admitted_queries`, and they themselves in `refused_items` and
    `refused_queries`.

    Attributes:
        config: the project's configuration.
        as_of: the day, or None where it depends on a table that cannot be read.
        noted: findings made while reading, by the check that tells them.
        schema: the features, where the definitions can be used.
        sources: the file of each table that was found.
        admitted: the tables that could be read.
        known: of them, what is known by the day: histories, pairs.
        served: the served version's catalogue, where there is one.
        online_store: the settings of Feast's online store.
    """

    config: Config
    as_of: date | None = None
    noted: tuple[tuple[str, Finding], ...] = ()
    schema: Schema | None = None
    sources: Mapping[TableName, str] = field(default_factory=dict)
    admitted: Mapping[TableName, Admitted] = field(default_factory=dict)
    known: Mapping[TableName, pa.Table] = field(default_factory=dict)
    served: Served | None = None
    online_store: Any = None

    def notes(self, check: str) -> Iterator[Finding]:
        """The findings that were made for a check while reading."""
        return (finding for name, finding in self.noted if name == check)

    @cached_property
    def latest(self) -> dict[Side, pa.Table]:
        """The newest row of each key by the day, active items only; by side."""
        found: dict[Side, pa.Table] = {}
        for side, table in TABLE_OF.items():
            if table in self.known:
                history = self.known[table]
                rows = latest_rows(history, history.column_names[0])
                if ACTIVE in rows.column_names and side == "item":
                    rows = rows.filter(rows[ACTIVE])
                found[side] = rows
        return found

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sides whose table could be read."""
        return tuple(self.latest)

    def features(self, side: Side, *, dense: bool = False) -> Iterator[Feature]:
        """The categorical features of a side but for its id; with dense ones if these are asked."""
        assert self.schema is not None
        for feature in self.schema.side(side):
            if (dense or feature.kind in CATEGORICAL) and not feature.is_id:
                yield feature

    def key(self, side: Side) -> str:
        """The column that names a side's rows."""
        assert self.schema is not None
        return self.schema.side(side)[0].name

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect()
        tables: dict[str, pa.Table | None] = {
            "item_rows": self.known.get("items"),
            "query_rows": self.known.get("queries"),
            "interactions": self.known.get("interactions"),
            "items": self.latest.get("item"),
            "queries": self.latest.get("query"),
            "served_items": self.served and self.served.items,
            "served_queries": self.served and self.served.queries,
        }
        for side in self.admitted:
            tables[f"admitted_{side}"] = self.admitted[side].rows
            tables[f"refused_{side}"] = self.admitted[side].refused
        for name, table in tables.items():
            if table is not None:
                connection.register(name, table)
        return connection

    def close(self) -> None:
        """Drop the engine, which otherwise is reported as leaked when the process ends."""
        connection = self.__dict__.pop("_connection", None)
        if connection is not None:
            connection.close()

    @cached_property
    def _answers(self) -> dict[str, list[dict[str, Any]]]:
        return {}

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """The few rows that a query over the tables gives; asked twice, it is answered once."""
        if sql not in self._answers:
            self._answers[sql] = self._connection.sql(sql).to_arrow_table().to_pylist()
        return self._answers[sql]

    def row(self, sql: str) -> dict[str, Any]:
        """The one row that a query over the tables gives."""
        (found,) = self.rows(sql)
        return found


def quoted(name: str) -> str:
    """A column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def has_value(feature: Feature) -> str:
    """SQL for whether a row has a value of a feature; a vector of zeros is none."""
    column = quoted(feature.name)
    if feature.dtype == "vector":
        return f"list_max({column}) > 0 OR list_min({column}) < 0"
    return f"{column} IS NOT NULL" if feature.kind != "multi" else f"len({column}) > 0"


def values_of(feature: Feature, relation: str, key: str) -> str:
    """SQL for a feature's values, one row each: `key`, `value` (text), `moment`, `weight`.

    A row's values share a weight of one. Null values inside a list are rows whose `value` is null;
    a null or an empty list has no row.
    """
    column = quoted(feature.name)
    head = f"SELECT {quoted(key)} AS key, {TIMESTAMP} AS moment"
    if feature.kind == "single":
        return (
            f"({head}, CAST({column} AS VARCHAR) AS value, 1.0::DOUBLE AS weight "
            f"FROM {relation} WHERE {column} IS NOT NULL)"
        )
    return (
        f"({head}, CAST(unnest({column}) AS VARCHAR) AS value, 1.0::DOUBLE / len({column}) "
        f"AS weight FROM {relation} WHERE len({column}) > 0)"
    )
