"""Small projects on disk: three tables, and the Feast repository and configuration for them."""

import shutil
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

if TYPE_CHECKING:
    from longtail.features.feast.repository import FeatureRepository

DEMO_REPOSITORY = Path(__file__).resolve().parents[1] / "feature_repo"
SHARED_FILES = (
    "feature_store.yaml",
    "project.py",
    "entities.py",
    "interactions.py",
    "services.py",
    "item_embeddings.py",
)
FEAST_TYPES = {
    pa.string(): "String",
    pa.int32(): "Int32",
    pa.int64(): "Int64",
    pa.bool_(): "Bool",
    pa.float32(): "Float32",
    pa.float64(): "Float64",
    pa.list_(pa.string()): "Array(String)",
    pa.list_(pa.int64()): "Array(Int64)",
    pa.list_(pa.float32()): "Array(Float32)",
}
VIEW = '''"""The {view} of a test project."""

from datetime import timedelta
from pathlib import Path

from entities import {entity}
from feast import FeatureView, Field, FileSource
from feast.types import Array, Bool, Float32, Float64, Int32, Int64, String

{view}_source = FileSource(
    name="{view}_source",
    path=str(Path(__file__).resolve().parent / "data" / "{view}.parquet"),
    timestamp_field="event_timestamp",
)

{view} = FeatureView(
    name="{view}",
    entities=[{entity}],
    ttl=timedelta(0),
    schema=[
        Field(name="{entity}_id", dtype=String),
{fields}
    ],
    source={view}_source,
    online={online},
)
'''


def write_project(
    folder: Path,
    items: pa.Table,
    queries: pa.Table,
    interactions: pa.Table,
    config_overrides: dict[str, Any] | None = None,
    tags: dict[str, dict[str, str]] | None = None,
) -> Path:
    """Write a project whose definitions follow the tables' columns, in the style of the demo's.

    Args:
        folder: gets `feature_repo/`, `longtail.yaml` and, in a run, `.longtail/`. Its definitions
            are the demo's but for the features, so ids of queries and items share a table.
        items: `item_id`, features, `event_timestamp`, maybe `active`.
        queries: `query_id`, features, `event_timestamp`.
        interactions: `query_id`, `item_id`, `event_timestamp`, maybe `weight`.
        config_overrides: sections of the configuration, such as `{"training": {"seed": 1}}`.
        tags: field tags by column name, on either side. A feature that both sides have shares
            the table of its name, where its tags name no other.

    Returns:
        the path of `longtail.yaml`.
    """
    repository = folder / "feature_repo"
    (repository / "data").mkdir(parents=True)
    (repository / ".longtail").symlink_to("../.longtail")
    for name in SHARED_FILES:
        shutil.copyfile(DEMO_REPOSITORY / name, repository / name)
    write_tables(folder, items=items, queries=queries, interactions=interactions)
    common = set(items.column_names) & set(queries.column_names)
    for view, entity, table in (("items", "item", items), ("queries", "query", queries)):
        fields = []
        for field in table.schema:
            if field.name in (f"{entity}_id", "event_timestamp"):
                continue
            tag = {"table": field.name} if field.name in common else {}
            tag |= (tags or {}).get(field.name, {})
            fields.append(
                f'        Field(name="{field.name}", dtype={FEAST_TYPES[field.type]}, tags={tag}),'
            )
        definition = VIEW.format(
            view=view, entity=entity, fields="\n".join(fields), online=view == "queries"
        )
        (repository / f"{view}.py").write_text(definition, encoding="utf-8")
    config = {"feature_repo": "feature_repo", "home": ".longtail", **(config_overrides or {})}
    (folder / "longtail.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return folder / "longtail.yaml"


def write_tables(folder: Path, **tables: pa.Table) -> None:
    """Write `items`, `queries` or `interactions` of a project anew; the definitions stay."""
    for name, table in tables.items():
        pq.write_table(table, folder / "feature_repo" / "data" / f"{name}.parquet")


def default_day(repository: "FeatureRepository") -> date:
    """Return the day that a run without `--as-of` refreshes, as `checks/preflight.py` finds it."""
    from longtail.features.feast.history import newest_day

    admitted = repository.within_limit("interactions")
    return newest_day(admitted.rows, admitted.source)
