"""The queries' history as a feature of the schema."""

import json
from dataclasses import replace

import pytest

from longtail.config import HistoryConfig
from longtail.errors import InputError
from longtail.features.history_feature import with_history
from longtail.features.schema import Feature, Schema

SCHEMA = Schema(
    query=(
        Feature("user", "query", "single", "string", "users", 8, is_id=True),
        Feature("tags", "query", "multi", "string", "tags", 4),
    ),
    item=(
        Feature("film", "item", "single", "string", "films", 8, is_id=True, min_count=2),
        Feature("tags", "item", "multi", "string", "tags", 4),
    ),
)


def test_the_history_is_the_last_query_feature_and_shares_the_table_of_the_item_ids() -> None:
    schema = with_history(SCHEMA, HistoryConfig(length=50))
    assert schema.query[:-1] == SCHEMA.query
    assert schema.item == SCHEMA.item
    assert schema.query[-1] == Feature(
        "history", "query", "multi", "string", "films", 8, min_count=2, is_history=True
    )
    assert schema.history == schema.query[-1]
    assert schema.sourced("query") == SCHEMA.query
    assert schema.sourced("item") == SCHEMA.item
    assert [f.key for f in schema.tables["films"]] == ["query.history", "item.film"]
    assert not schema.shared_ids


def test_a_hashed_table_gives_the_history_its_buckets() -> None:
    hashed = replace(SCHEMA.item[0], vocabulary="hash", buckets=99, min_count=1)
    schema = with_history(replace(SCHEMA, item=(hashed,)), HistoryConfig(length=1))
    assert schema.history is not None
    assert (schema.history.vocabulary, schema.history.buckets) == ("hash", 99)


def test_without_a_length_nothing_changes_not_even_the_document() -> None:
    schema = with_history(SCHEMA, HistoryConfig())
    assert schema is SCHEMA
    assert schema.history is None
    assert "is_history" not in json.dumps(schema.to_json())


def test_a_document_with_the_history_is_read_back() -> None:
    schema = with_history(SCHEMA, HistoryConfig(length=5))
    document = json.loads(json.dumps(schema.to_json()))
    assert document["query"][-1]["is_history"] is True
    assert sum("is_history" in feature for feature in document["query"] + document["item"]) == 1
    assert Schema.from_json(document) == schema


def test_an_own_query_feature_of_that_name_is_refused() -> None:
    own = replace(SCHEMA.query[1], name="history")
    named = replace(SCHEMA, query=(SCHEMA.query[0], own))
    with pytest.raises(InputError, match="query feature `history` has the name"):
        with_history(named, HistoryConfig(length=5))
    assert with_history(named, HistoryConfig()) is named
