"""Tables of feature histories and interactions, and the expected examples, by a loop over rows."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from longtail.config import Config, load_config
from longtail.dataset import feature_states as states_module
from longtail.dataset import interactions as interactions_module
from longtail.features.feast import repository as store_module
from longtail.features.feast.catalogue import build_catalogue
from longtail.features.vocabulary import build_vocabularies
from tests.features.decoded import Example, decoded_examples
from tests.projects import write_project, write_tables

UTC_US = pa.timestamp("us", "UTC")
INSTANT = timedelta(microseconds=1)
DAY = datetime(2024, 3, 10, tzinfo=UTC)
AS_OF = DAY.date()
# Every pair is for training.
ALL_TRAIN = {"dataset": {"validation_fraction": 0.0, "test_fraction": 0.0}}
Row = tuple[str, datetime, dict[str, Any]]


def feature_rows(key: str, rows: list[Row]) -> pa.Table:
    return pa.table(
        {
            key: pa.array([name for name, _, _ in rows], pa.string()),
            "colour": pa.array([values["colour"] for _, _, values in rows], pa.string()),
            "size": pa.array([values["size"] for _, _, values in rows], pa.int64()),
            "tags": pa.array([values["tags"] for _, _, values in rows], pa.list_(pa.string())),
            "event_timestamp": pa.array([moment for _, moment, _ in rows], UTC_US),
        }
    )


def interaction_rows(rows: list[tuple[str, str, datetime]]) -> pa.Table:
    queries, items, moments = zip(*rows, strict=True)
    return pa.table(
        {
            "query_id": pa.array(queries),
            "item_id": pa.array(items),
            "event_timestamp": pa.array(moments, UTC_US),
        }
    )


def known(rows: list[Row], key: str, moment: datetime, ttl: timedelta | None = None) -> Any:
    """Return the features of a key at a moment, by looking at every row."""
    past = [(at, values) for name, at, values in rows if name == key and at <= moment]
    if past:
        at, values = max(past, key=lambda row: row[0])
        if ttl is None or at + ttl >= moment:
            return {name: cell(value) for name, value in values.items()}
    return {"colour": [], "size": [], "tags": []}


def cell(value: Any) -> list[Any]:
    """Return a value as the training set has it: a list without nulls, sorted to be compared."""
    return sorted(v for v in (value if isinstance(value, list) else [value]) if v is not None)


def cells(row: Sequence[Any]) -> dict[str, list[Any]]:
    """Return the three features of a joined row."""
    return {name: cell(v) for name, v in zip(("colour", "size", "tags"), row, strict=True)}


def joined(
    queries: list[Row], items: list[Row], rows: list[tuple[str, str, datetime]], as_of: date
) -> dict[tuple[str, str], Example]:
    """Return the examples that the training set must hold, by a loop over the tables' rows."""
    end = datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC) + timedelta(days=1)
    earliest: dict[tuple[str, str], datetime] = {}
    for query, item, moment in rows:
        if moment < end:
            pair = query, item
            earliest[pair] = min(moment, earliest.get(pair, moment))
    return {
        (query, item): Example(moment, known(queries, query, moment), known(items, item, moment))
        for (query, item), moment in earliest.items()
    }


def new_project(folder: Path) -> Config:
    """Make a project with definitions for the tables of this file, which a test then writes."""
    empty = {"colour": None, "size": None, "tags": None}
    items = feature_rows("item_id", [("i", DAY, empty)])
    queries = feature_rows("query_id", [("q", DAY, empty)])
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.delenv("LONGTAIL_HOME", raising=False)
        file = write_project(
            folder, items, queries, interaction_rows([("q", "i", DAY)]), dict(ALL_TRAIN)
        )
        return load_config(file)


def built(config: Config, as_of: date = AS_OF) -> dict[tuple[str, str], Example]:
    build_catalogue(config, as_of)
    build_vocabularies(config, as_of)
    return decoded_examples(config, as_of)


def values(colour: str | None, size: int | None = None, *tags: str) -> dict[str, Any]:
    return {"colour": colour, "size": size, "tags": list(tags)}


def check_histories(
    config: Config, queries: list[Row], items: list[Row], rows: list[tuple[str, str, datetime]]
) -> None:
    write_tables(
        config.feature_repo.parent,
        items=feature_rows("item_id", items),
        queries=feature_rows("query_id", queries),
        interactions=interaction_rows(rows),
    )
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(store_module, "POINT_IN_TIME_CHUNK", 4)
        monkeypatch.setattr(states_module, "BLOCK", 5)
        monkeypatch.setattr(interactions_module, "BLOCK", 6)
        assert built(config) == joined(queries, items, rows, AS_OF)
