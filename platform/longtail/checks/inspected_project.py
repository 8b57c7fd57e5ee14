"""The project that the checks look at, and its tables as a run would read them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

import duckdb
import pyarrow as pa

from longtail.checks.recorded_roles import RecordedRoles, read_roles
from longtail.config import Config
from longtail.errors import InputError
from longtail.features.feast.history import ACTIVE, latest_rows
from longtail.features.feast.refused_rows import TIMESTAMP, Admitted
from longtail.features.finding import Finding, TableName
from longtail.features.schema import Feature, Schema, Side

CATEGORICAL = ("single", "multi")
TABLE_OF: dict[Side, TableName] = {"query": "queries", "item": "items"}


@dataclass(frozen=True)
class Served:
    """The catalogue that the served version was made from.

    Attributes:
        version: the version's name.
        schema: its features.
        items: one row for each item.
        queries: the latest row of each query.
    """

    version: str
    schema: Schema
    items: pa.Table
    queries: pa.Table


@dataclass(frozen=True)
class Inspection:
    """A project as far as it could be read, with findings about the parts that could not.

    SQL passed to `rows` or `row` can use these tables, as far as they could be read:

    - `item_rows`, `query_rows`: all rows up to the day;
    - `items`, `queries`: the latest row of each active item, and of each query;
    - `interactions`: each pair once;
    - `served_items`, `served_queries`: `items` and `queries` of the served version;
    - `admitted_items`, `admitted_queries`, `admitted_interactions`: the rows that a run uses;
    - `refused_items`, `refused_queries`, `refused_interactions`: the rows that it leaves out.

    Attributes:
        config: the project's configuration.
        as_of: the day, or None if it depends on a table that cannot be read.
        noted: findings made while reading, each with the name of the check that reports it.
        schema: the features, or None if the definitions cannot be used.
        sources: the file of each table that was found.
        admitted: the tables that could be read.
        known: the part of them that is known by the day: histories and pairs.
        served: the served version's catalogue, if there is one.
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
        """Return the findings that reading the project made for a check."""
        return (finding for name, finding in self.noted if name == check)

    @cached_property
    def roles(self) -> RecordedRoles | None:
        """The record of `longtail init`; None if there is no record, or none that can be read.

        The check `recorded_roles` reports a record that cannot be read.
        """
        try:
            return read_roles(self.config.feature_repo)
        except InputError:
            return None

    @cached_property
    def latest(self) -> dict[Side, pa.Table]:
        """The newest row of each key by the day, active items only, for each side."""
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
        """The sides with a table that could be read."""
        return tuple(self.latest)

    def features(self, side: Side, *, dense: bool = False) -> Iterator[Feature]:
        """Yield the categorical features of a side except its id; with `dense`, dense ones too."""
        assert self.schema is not None
        for feature in self.schema.sourced(side):
            if (dense or feature.kind in CATEGORICAL) and not feature.is_id:
                yield feature

    def key(self, side: Side) -> str:
        """Return the key column of a side's table."""
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
        for name, admitted in self.admitted.items():
            tables[f"admitted_{name}"] = admitted.rows
            tables[f"refused_{name}"] = admitted.refused
        for relation, table in tables.items():
            if table is not None:
                connection.register(relation, table)
        return connection

    def close(self) -> None:
        """Close DuckDB, which would be reported as leaked when the process ends."""
        connection = self.__dict__.pop("_connection", None)
        if connection is not None:
            connection.close()

    @cached_property
    def _answers(self) -> dict[str, list[dict[str, Any]]]:
        return {}

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of an SQL query over the tables; there should be few.

        The answer is kept, since several checks ask the same.
        """
        if sql not in self._answers:
            self._answers[sql] = self._connection.sql(sql).to_arrow_table().to_pylist()
        return self._answers[sql]

    def row(self, sql: str) -> dict[str, Any]:
        """Return the only row of an SQL query over the tables."""
        (found,) = self.rows(sql)
        return found


def quoted(name: str) -> str:
    """Return a column's name, quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def has_value(feature: Feature) -> str:
    """Return an SQL condition: a row has a value of the feature. A vector of zeros is none."""
    column = quoted(feature.name)
    if feature.dtype == "vector":
        return f"list_max({column}) > 0 OR list_min({column}) < 0"
    return f"{column} IS NOT NULL" if feature.kind != "multi" else f"len({column}) > 0"


def values_of(feature: Feature, relation: str, key: str) -> str:
    """Return an SQL table of a feature's values: `key`, `value` (text), `moment`, `weight`.

    Each value is a row. The values of one list share a weight of one. A null inside a list is a
    row with a null `value`; a list that is null or empty has no row.

    Args:
        feature: a categorical feature.
        relation: the SQL table that has it as a column.
        key: the key column of `relation`.
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
