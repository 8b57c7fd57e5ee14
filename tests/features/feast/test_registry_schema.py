"""The schema from the registry's services and tags, and the definitions that are refused."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from longtail.config import Config, FeaturesConfig, load_config
from longtail.errors import InputError
from longtail.features.feast.registry_schema import derive_schema
from longtail.features.feast.repository import FeatureRepository
from longtail.features.schema import Feature, Scale, Schema
from tests.features.conftest import interaction_rows, item_rows, query_rows
from tests.projects import write_project

ROOT = Path(__file__).resolve().parents[3]
AS_OF = date(2024, 1, 9)


def schema_of(config: Config) -> Schema:
    repository = FeatureRepository(config)
    repository.apply()
    return repository.schema()


def edit(config: Config, file: str, old: str, new: str) -> None:
    """Replace some text in one of the project's definitions."""
    path = config.feature_repo / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_services_and_tags_are_the_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)
    config = load_config(
        write_project(
            tmp_path,
            item_rows(),
            query_rows(),
            interaction_rows(),
            config_overrides={"features": {"default_dim": 32, "hash_buckets": 500, "min_count": 2}},
            tags={
                "section": {"table": "place", "dim": "16", "min_count": "5"},
                "tags": {"vocabulary": "hash"},
                "size": {"vocabulary": "hash", "buckets": "77"},
            },
        )
    )
    # Each tag overrides its default from the configuration, for its own field only.
    schema = schema_of(config)
    assert schema.query == (
        Feature("query_id", "query", "single", "string", "package", 32, is_id=True, min_count=2),
        Feature("section", "query", "single", "string", "place", 16, min_count=5),
    )
    assert schema.item == (
        Feature("item_id", "item", "single", "string", "package", 32, is_id=True, min_count=2),
        Feature("section", "item", "single", "string", "place", 16, min_count=5),
        Feature("tags", "item", "multi", "string", "item_tags", 32, "hash", 500),
        Feature("size", "item", "single", "integer", "item_size", 32, "hash", 77),
    )
    assert schema.shared_ids


def test_floats_and_lists_of_them_are_dense(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)

    def with_text(rows: pa.Table) -> pa.Table:
        texts = generator.normal(size=(rows.num_rows, 3)).astype(np.float32).tolist()
        return rows.append_column("text", pa.array(texts, pa.list_(pa.float32())))

    prices = pa.array([1.5] * item_rows().num_rows)
    items = with_text(item_rows()).append_column("price", prices)
    config = load_config(
        write_project(
            tmp_path,
            items,
            with_text(query_rows()),
            interaction_rows(),
            tags={"text": {"dim": "16"}},
        )
    )
    # A table that both sides name is one projection; a price without a tag has its own.
    schema = schema_of(config)
    assert schema.query[-1] == Feature("text", "query", "dense", "vector", "text", 16)
    assert schema.item[-2:] == (
        Feature("text", "item", "dense", "vector", "text", 16),
        Feature("price", "item", "dense", "number", "item_price", 64),
    )
    assert [list(schema.projections), list(schema.tables)] == [
        ["text", "item_price"],
        ["package", "section", "item_tags", "item_size"],
    ]
    known = schema.scaled({"text": Scale(3), "item_price": Scale(1, 1.5, 2.0)})
    assert Schema.from_json(json.loads(json.dumps(known.to_json()))) == known
    assert known.item[-1].scale == Scale(1, 1.5, 2.0)
    assert known.item[0].scale is None


def test_the_demos_two_sides_share_every_table(tmp_path: Path) -> None:
    config = load_config(ROOT / "ops" / "profiles" / "demo.yaml")
    schema = schema_of(config.model_copy(update={"home": tmp_path}))
    names = "section source maintainer multi_arch size_band homepage_host tags name_tokens words"
    assert [feature.name for feature in schema.query] == ["query_id", *names.split()]
    assert [feature.name for feature in schema.item] == ["item_id", *names.split()]
    assert sorted(schema.tables) == sorted(["package", *names.split()])
    assert all(len(features) == 2 for features in schema.tables.values())
    assert [f.name for f in schema.item if f.kind == "multi"] == ["tags", "name_tokens", "words"]
    assert schema.shared_ids


def test_ids_without_a_common_table_are_not_shared(project: Config) -> None:
    edit(project, "entities.py", 'tags={"table": "package"},', "")
    schema = schema_of(project)
    assert not schema.shared_ids
    assert (schema.query[0].table, schema.item[0].table) == ("query_query_id", "item_item_id")


SIZE = 'name="size", dtype=Int64, tags={}'
SECTION = "name=\"section\", dtype=String, tags={'table': 'section'}"
CASES = [
    (
        "items.py",
        SIZE,
        "name='size', dtype=Float32, tags={'buckets': '9'}",
        r"`size`: tag buckets counts only for categories, and its values are numbers: remove it",
    ),
    (
        "items.py",
        SIZE,
        "name='size', dtype=Array(Float64), tags={'vocabulary': 'hash'}",
        r"`size`: tag vocabulary counts only for categories",
    ),
    (
        "items.py",
        SIZE,
        "name='size', dtype=Float32, tags={'table': 'section'}",
        r"table `section` is shared by categories \(`query.section`\) and numbers \(`item.size`\)",
    ),
    ("items.py", SIZE, 'name="size", dtype=Bool', r"`size` .* is Bool: .* leave it out of the"),
    ("items.py", SIZE, SIZE.replace("{}", "{'dim': 'big'}"), r"tag dim is 'big': it must be a pos"),
    ("items.py", SIZE, SIZE.replace("{}", "{'dim': '30'}"), r"30 numbers: FBGEMM needs a multiple"),
    ("items.py", SIZE, SIZE.replace("{}", "{'vocabulary': 'all'}"), r"must be `exact` or `hash`"),
    ("items.py", SIZE, SIZE.replace("{}", "{'buckets': '9'}"), r"buckets counts only with `vocab"),
    ("items.py", SIZE, SIZE.replace("{}", "{'table': 'a/b'}"), r"its table is called 'a/b'"),
    ("items.py", SIZE, SIZE.replace("{}", "{'table': 'type'}"), r"'type', .* such as `type_table`"),
    (
        "items.py",
        SIZE,
        SIZE.replace("{}", "{'vocabulary': 'hash', 'min_count': '2'}"),
        r"`size`: tag min_count counts only without `vocabulary: hash`",
    ),
    (
        "items.py",
        SECTION,
        "name='section', dtype=String, tags={'table': 'section', 'min_count': '3'}",
        r"share table `section` but their min_count is 1 and 3",
    ),
    ("items.py", '"size"', '"size_y"', r"`size_y`: Feast's DuckDB store loses columns"),
    (
        "items.py",
        SECTION,
        "name='section', dtype=String, tags={'table': 'section', 'dim': '8'}",
        r"`query.section` and `item.section` share table `section` but their dim is 64 and 8",
    ),
    (
        "items.py",
        SIZE,
        "name='size', dtype=Int64, tags={'table': 'section'}",
        r"`query.section` and `item.size` share table `section` but their dtype is string and int",
    ),
    (
        "items.py",
        SECTION,
        "name='section', dtype=String, tags={'table': 'section', 'vocabulary': 'hash'}",
        r"share table `section` but their vocabulary is exact and hash",
    ),
    ("entities.py", '"query_id"', '"item_id"', r"have the same join key `item_id`"),
    ("entities.py", "ValueType.STRING", "ValueType.INT64", r"value type INT64: ids must be STRING"),
    ("items.py", 'name="active", dtype=Bool', 'name="active", dtype=Int64', r"tombstone"),
]


@pytest.mark.parametrize(("file", "old", "new", "message"), CASES)
def test_a_definition_that_the_model_cannot_take_is_named(
    project: Config, file: str, old: str, new: str, message: str
) -> None:
    if file == "entities.py" and old == '"query_id"':
        edit(project, "queries.py", '"query_id"', '"item_id"')
    if file == "entities.py" and "INT64" in new:
        edit(project, "queries.py", 'name="query_id", dtype=String', 'name="query_id", dtype=Int64')
        edit(project, "items.py", 'name="item_id", dtype=String', 'name="item_id", dtype=Int64')
    edit(project, file, old, new)
    repository = FeatureRepository(project)
    repository.apply()
    with pytest.raises(InputError, match=message):
        repository.history("item", AS_OF)


def test_all_problems_are_named_at_once(project: Config) -> None:
    edit(project, "items.py", SIZE, 'name="size", dtype=Bool')
    edit(project, "queries.py", "tags={'table': 'section'}", "tags={'dim': '-4'}")
    with pytest.raises(InputError, match=r"dim is '-4'.*; .*`size` .* is Bool: the model takes"):
        schema_of(project)


def test_a_service_that_is_not_defined_is_named(unchanged_project: Config) -> None:
    store = FeatureRepository(unchanged_project).store
    with pytest.raises(InputError, match="FeatureService `users` is not defined"):
        derive_schema(store, FeaturesConfig(query_service="users"))


def test_a_service_of_two_views_is_refused(project: Config) -> None:
    edit(project, "services.py", "features=[queries]", "features=[queries, items[['size']]]")
    with pytest.raises(InputError, match=r"`query_features` reads 2 feature views: put the feat"):
        schema_of(project)


def test_columns_of_the_table_that_no_service_names_are_ignored(project: Config) -> None:
    edit(project, "services.py", 'if field.name != "active"', 'if field.name == "section"')
    assert [feature.name for feature in schema_of(project).item] == ["item_id", "section"]
    assert pa.types.is_boolean(
        FeatureRepository(project).history("item", AS_OF).schema.field("active").type
    )
