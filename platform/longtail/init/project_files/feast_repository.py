"""Writes the Feast repository of a new project: definitions that its owner can read and change."""

from importlib import resources
from pathlib import Path
from string import Template

from longtail.init.project_files.feature_views import field_tags, render_view
from longtail.init.project_files.python_text import LINE_LENGTH, comment, dictionary, text
from longtail.init.project_plan import ProjectPlan, SidePlan

_ENTITIES = Template('''\
"""The two entities: queries ask, and items are ranked.

An entity's id is itself a feature of the model. The tags of an entity configure this feature, as
the tags of a field configure the field.
"""

from feast import Entity, ValueType

$shared
$item

$query
''')

_INTERACTIONS = '''\
"""The interactions: which query chose which item, and when. Positives only."""

from pathlib import Path

from feast import FileSource

interactions = FileSource(
    name="interactions",
    path=str(Path(__file__).resolve().parent / "data" / "interactions.parquet"),
    timestamp_field="event_timestamp",
)
'''

_PROJECT = Template('''\
"""The Feast project, and the folder of its embedded stores."""

from pathlib import Path

from feast import Project

project = Project(name="$name", description="made by `longtail init`")

# SQLite does not create folders, and `feast apply` must work before `longtail` has ever run.
(Path(__file__).resolve().parents[1] / ".longtail" / "feast").mkdir(parents=True, exist_ok=True)
''')

_STORE = Template("""\
# Embedded stores: everything is a file under `.longtail/feast/`.
# For more data, change the stores here and the sources in items.py, queries.py, interactions.py.
project: $name
provider: local
entity_key_serialization_version: 3

# Absolute paths, so that Feast finds its stores from any folder: correct them when you move the
# project. `longtail` itself uses `home` in longtail.yaml.
registry:
  registry_type: sql
  path: $registry
  # How long consumers may use an old registry, and so how long a slot waits to be written again.
  cache_ttl_seconds: 60
  # Two commands that run at once wait for each other instead of failing.
  sqlalchemy_config_kwargs:
    connect_args:
      timeout: 30

offline_store:
  type: duckdb

online_store:
  type: sqlite
  path: $online_store
""")

_SERVICES = '''\
"""The model's inputs: its schema comes from these two services and nothing else."""

from feast import FeatureService
from items import items
from queries import queries

'''


def write_repository(plan: ProjectPlan, folder: Path, stores: Path) -> None:
    """Write the definitions and the configuration of the stores.

    Args:
        folder: an existing folder, which also holds the tables in `data/`.
        stores: the absolute path that the folder of the embedded stores will have.
    """
    template = (
        resources.files("longtail.init.project_files") / "templates" / "item_embeddings.py.txt"
    )
    files = {
        "feature_store.yaml": _STORE.substitute(
            name=plan.name,
            registry=text(f"sqlite:///{stores / 'registry.db'}"),
            online_store=text(str(stores / "online_store.db")),
        ),
        "project.py": _PROJECT.substitute(name=plan.name),
        "entities.py": _entities(plan),
        "items.py": render_view(plan.items),
        "queries.py": render_view(plan.queries),
        "interactions.py": _INTERACTIONS,
        "services.py": _services(plan),
        "item_embeddings.py": template.read_text("utf-8"),
    }
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")


def _entities(plan: ProjectPlan) -> str:
    if plan.shared_ids:
        shared = (
            f"Both ids share the embedding table `{plan.items.table}`: an item and a query with "
            "the same id are the same thing."
        )
    else:
        shared = "An item and a query with the same id are different things."
    return _ENTITIES.substitute(
        shared=comment(shared), item=_entity(plan.items), query=_entity(plan.queries)
    )


def _entity(side: SidePlan) -> str:
    column = side.key.column or side.key.interactions_column
    tags = field_tags(side.table, side.buckets)
    lines = [
        f"{side.side} = Entity(",
        f'    name="{side.side}",',
        f'    join_keys=["{side.side}_id"],',
        "    value_type=ValueType.STRING,",
        f"    description={text(f'`{column}` of the given table')},",
        *([f"    tags={dictionary(tags)},"] if tags else []),
        ")",
    ]
    return "\n".join(lines)


def _services(plan: ProjectPlan) -> str:
    parts = [_SERVICES]
    left_out = [
        (side, column)
        for side in (plan.queries, plan.items)
        for column in side.declared
        if column.left_out
    ]
    if left_out:
        parts.append(
            comment(
                "These columns are in the tables, but the model does not use them. To try one, add "
                "its name to the service."
            )
        )
        for side, column in left_out:
            parts.append("\n" + comment(f"- {column.name} of {side.view}: {column.left_out}"))
        parts.append("\n")
    parts.append(_service(plan.queries, "query_features") + "\n")
    parts.append(_service(plan.items, "item_features"))
    return "".join(parts)


def _service(side: SidePlan, name: str) -> str:
    listed = ", ".join(text(feature) for feature in side.feature_names)
    line = f"    features=[{side.view}[[{listed}]]],"
    if len(line) > LINE_LENGTH:
        inner = "".join(f"                {text(feature)},\n" for feature in side.feature_names)
        line = (
            f"    features=[\n        {side.view}[\n            [\n{inner}            ]\n"
            "        ]\n    ],"
        )
    return f'{name} = FeatureService(\n    name="{name}",\n{line}\n)\n'
