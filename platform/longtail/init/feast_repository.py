"""The Feast repository of a new project: Python that its owner can read and change."""

from importlib import resources
from pathlib import Path
from string import Template

from longtail.init.feature_kinds import Column
from longtail.init.names import PLACEHOLDER
from longtail.init.project_plan import ProjectPlan, SidePlan
from longtail.init.python_text import LINE_LENGTH, call, comment, dictionary, text

_VIEW = Template('''\
"""$title"""

from datetime import timedelta
from pathlib import Path

from entities import $entity
from feast import FeatureView, Field, FileSource
from feast.types import $types

${view}_source = FileSource(
    name="${view}_source",
    # Absolute: the DuckDB offline store would look in the working directory.
    path=str(Path(__file__).resolve().parent / "data" / "$view.parquet"),
    timestamp_field="event_timestamp",
)

$view = FeatureView(
    name="$view",
    entities=[$entity],
    ttl=timedelta(0),  # a row holds until the next one
    schema=[
        Field(name="${entity}_id", dtype=String),
$fields
    ],
    source=${view}_source,
    online=$online,  # $why
)
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

# SQLite makes files, not folders: `feast apply` must work before `longtail` has ever run.
(Path(__file__).resolve().parents[1] / ".longtail" / "feast").mkdir(parents=True, exist_ok=True)
''')

_STORE = Template("""\
# Embedded stores: everything is a file under `.longtail/feast/`.
# To grow, change the stores here and the sources in items.py, queries.py and interactions.py.
project: $name
provider: local
entity_key_serialization_version: 3

# Absolute paths, so that Feast finds its stores from every folder: correct them when you move the
# project. `longtail` itself goes by `home` in longtail.yaml.
registry:
  registry_type: sql
  path: $registry
  # How long consumers may keep an older registry, so how soon a slot may be written again.
  cache_ttl_seconds: 60
  # Two commands at once wait for each other instead of failing.
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
"""The model's inputs: its schema is derived from these two services and nothing else."""

from feast import FeatureService
from items import items
from queries import queries

'''


def write_repository(plan: ProjectPlan, folder: Path, stores: Path) -> None:
    """Write the definitions into an existing folder, beside its `data/`.

    Args:
        stores: the absolute path that the folder of the embedded stores will have.
    """
    template = resources.files("longtail.init") / "templates" / "item_embeddings.py.txt"
    files = {
        "feature_store.yaml": _STORE.substitute(
            name=plan.name,
            registry=text(f"sqlite:///{stores / 'registry.db'}"),
            online_store=text(str(stores / "online_store.db")),
        ),
        "project.py": _PROJECT.substitute(name=plan.name),
        "entities.py": _entities(plan),
        "items.py": _view(plan.items),
        "queries.py": _view(plan.queries),
        "interactions.py": _INTERACTIONS,
        "services.py": _services(plan),
        "item_embeddings.py": template.read_text("utf-8"),
    }
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")


def _entities(plan: ProjectPlan) -> str:
    shared = (
        f"Both ids share the embedding table `{plan.items.table}`: an item and a query of one id "
        "are the same thing."
        if plan.shared_ids
        else "An item and a query of one id have nothing to do with each other."
    )
    blocks = [
        '"""What asks, and what is ranked.\n\nAn entity\'s id is itself a feature of the model; '
        "the entity's tags refine it as a field's tags\nrefine a field.\n"
        f'"""\n\nfrom feast import Entity, ValueType\n\n{comment(shared)}'
    ]
    for side in (plan.items, plan.queries):
        column = side.key.column or side.key.interactions_column
        tags = _tags(side.table, side.buckets)
        lines = [
            f"{side.side} = Entity(",
            f'    name="{side.side}",',
            f'    join_keys=["{side.side}_id"],',
            "    value_type=ValueType.STRING,",
            f"    description={text(f'`{column}` of the table that was given')},",
            *([f"    tags={dictionary(tags)},"] if tags else []),
            ")",
        ]
        blocks.append("\n".join(lines))
    return "\n\n".join([blocks[0] + "\n" + blocks[1], blocks[2]]) + "\n"


def _tags(table: str | None, buckets: int | None) -> dict[str, str]:
    tags = {} if table is None else {"table": table}
    return tags if buckets is None else {**tags, "vocabulary": "hash", "buckets": str(buckets)}


def _view(side: SidePlan) -> str:
    fields = [_field(column) for column in side.declared]
    types = {"String"} | {
        kind for column in side.declared for kind in column.feast_type.rstrip(")").split("(")
    }
    if side.has_placeholder:
        fields.append(
            comment("Feast wants a feature in every view. This one is the same everywhere.", 8)
        )
        fields.append(
            call(
                "Field",
                {"name": text(PLACEHOLDER), "dtype": "String", "tags": dictionary({"dim": "4"})},
                8,
            )
        )
    if side.active is not None:
        types.add("Bool")
        fields.append(comment("The tombstone: a last row with `false` takes the item out.", 8))
        fields.append(call("Field", {"name": text("active"), "dtype": "Bool"}, 8))
    absent = [column for column in side.columns if column.kind == "none"]
    if absent:
        fields.append(comment("Not in the table:", 8))
        fields += [comment(f"- {_absence(column)}", 8) for column in absent]
    is_item = side.side == "item"
    return _VIEW.substitute(
        title=f"The {side.view}: one row each, and one more for every moment at which it changes.",
        entity=side.side,
        view=side.view,
        types=", ".join(sorted(types)),
        fields="\n".join(fields),
        online=not is_item,
        why="what is served of an item is its embedding"
        if is_item
        else "a query is encoded when it asks",
    )


def _absence(column: Column) -> str:
    return f"{_printable(column.source)}: {_printable(column.left_out)}"


def _printable(words: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in words)


def _field(column: Column) -> str:
    arguments = {"name": text(column.name), "dtype": column.feast_type}
    arguments["description"] = text(_describe(column))
    tags = _tags(column.table, column.buckets)
    if tags:
        arguments["tags"] = dictionary(tags)
    return call("Field", arguments, 8)


def _describe(column: Column) -> str:
    profile = column.profile
    assert profile is not None
    known = f"{profile.coverage:.0%} of rows"
    if column.kind == "dense":
        return known if column.feast_type == "Float32" else f"{profile.length:.0f} numbers, {known}"
    each = f"{profile.length:.1f} a row, " if column.kind == "multi" else ""
    return f"{profile.num_distinct:,} values, {each}{known}"


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
                "In the tables, and not for the model. To try one, add its name to the service."
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
