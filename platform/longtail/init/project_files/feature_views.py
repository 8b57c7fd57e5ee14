"""Writes the source of a feature view: `items.py` or `queries.py` of a new project."""

from string import Template

from longtail.init.feature_kinds import Column
from longtail.init.project_files.python_text import call, comment, dictionary, text
from longtail.init.project_plan import SidePlan
from longtail.init.safe_names import PLACEHOLDER

_VIEW = Template('''\
"""$title"""

from datetime import timedelta
from pathlib import Path

from entities import $entity
from feast import FeatureView, Field, FileSource
from feast.types import $types

${view}_source = FileSource(
    name="${view}_source",
    # Absolute, because the DuckDB offline store resolves relative paths in the working directory.
    path=str(Path(__file__).resolve().parent / "data" / "$view.parquet"),
    timestamp_field="event_timestamp",
)

$view = FeatureView(
    name="$view",
    entities=[$entity],
    ttl=timedelta(0),  # a row stays valid until the next one
    schema=[
        Field(name="${entity}_id", dtype=String),
$fields
    ],
    source=${view}_source,
    online=$online,  # $why
)
''')
# Spaces before an entry of the schema.
_INDENT = 8


def render_view(side: SidePlan) -> str:
    """Return the source of the view of the items or of the queries."""
    fields = [_field(column) for column in side.declared]
    # `Array(String)` needs both names imported.
    types = {"String"} | {
        name for column in side.declared for name in column.feast_type.rstrip(")").split("(")
    }
    if side.has_placeholder:
        words = "Feast requires a feature in every view. This one has the same value in every row."
        tags = dictionary({"dim": "4"})
        fields.append(comment(words, _INDENT))
        fields.append(_call_field({"name": text(PLACEHOLDER), "dtype": "String", "tags": tags}))
    if side.tombstone is not None:
        types.add("Bool")
        words = "The tombstone: a last row with `false` takes the item out of the catalogue."
        fields.append(comment(words, _INDENT))
        fields.append(_call_field({"name": text("active"), "dtype": "Bool"}))
    # The owner should see that a column was not overlooked, and what would make it a feature.
    absent = [column for column in side.columns if column.kind == "none"]
    if absent:
        fields.append(comment("Columns of the given table that are not in this one:", _INDENT))
        fields += [comment(f"- {_absence(column)}", _INDENT) for column in absent]
    is_item = side.side == "item"
    return _VIEW.substitute(
        title=f"The {side.view}: one row for each {side.side}, and a new row whenever it changes.",
        entity=side.side,
        view=side.view,
        types=", ".join(sorted(types)),
        fields="\n".join(fields),
        online=not is_item,
        why="items are served as embeddings" if is_item else "queries are encoded on request",
    )


def field_tags(table: str | None, buckets: int | None) -> dict[str, str]:
    """Return the tags of a field or an entity: its shared table, and its hashed vocabulary."""
    tags = {} if table is None else {"table": table}
    return tags if buckets is None else {**tags, "vocabulary": "hash", "buckets": str(buckets)}


def _field(column: Column) -> str:
    arguments = {"name": text(column.name), "dtype": column.feast_type}
    arguments["description"] = text(_describe(column))
    tags = field_tags(column.table, column.buckets)
    if tags:
        arguments["tags"] = dictionary(tags)
    return _call_field(arguments)


def _call_field(arguments: dict[str, str]) -> str:
    return call("Field", arguments, _INDENT)


def _describe(column: Column) -> str:
    profile = column.profile
    assert profile is not None
    known = f"known in {profile.coverage:.0%} of rows"
    if column.kind == "dense":
        return known if column.feast_type == "Float32" else f"{profile.length:.0f} numbers, {known}"
    each = f"{profile.length:.1f} per row, " if column.kind == "multi" else ""
    return f"{profile.num_distinct:,} values, {each}{known}"


def _absence(column: Column) -> str:
    return f"{_printable(column.source)}: {_printable(column.left_out)}"


def _printable(words: str) -> str:
    """Replace what is not printable: a newline in a column's name would end the comment."""
    return "".join(letter if letter.isprintable() else "?" for letter in words)
