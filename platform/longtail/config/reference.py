"""Writes CONFIGURATION.md: every key of the configuration, from the models in this folder.

Run `python -m longtail.config.reference`, or `make config-reference`.
"""

import json
import re
import sys
import textwrap
import types
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from inspect import getdoc
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from longtail.config.project import Config
from longtail.config.section import Choices, Section, Unit

PAGE = Path(__file__).with_name("CONFIGURATION.md")

_INTRODUCTION = """\
# Configuration

`make config-reference` writes this page from the models in this folder: edit the descriptions
there, not here.

A project has one YAML file. `--config FILE` or the environment variable `LONGTAIL_CONFIG` names it;
without either, commands use [ops/profiles/demo.yaml](../../../ops/profiles/demo.yaml). Relative
paths are relative to the file, and `~` is your home folder. A key that is left out has its default,
and an unknown key is an error. `longtail check` names every wrong key at once.

```yaml
feature_repo: feature_repo
training:
  num_epochs: 5
  warm_start_epochs: 2
```
"""
_NAMES: dict[Any, str] = {
    bool: "`true`, `false`",
    int: "integer",
    float: "number",
    str: "text",
    Path: "path",
    date: "date `YYYY-MM-DD`",
    type(None): "`null`",
}
_BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_TABLE_HEAD = "| key | type | default | unit | what it does |\n| --- | --- | --- | --- | --- |\n"


@dataclass(frozen=True)
class Key:
    """One key of the configuration, in words.

    Attributes:
        section: dotted name of its section; empty at the top of the file.
        name: the key.
        type: the type, with the allowed values and bounds.
        default: the default as YAML, or `required`.
        unit: the unit of a number; empty where the key is not a number.
        description: what the key does, and when to change it.
        is_number: whether its values are numbers, or lists of numbers.
    """

    section: str
    name: str
    type: str
    default: str
    unit: str
    description: str
    is_number: bool


@dataclass(frozen=True)
class Table:
    """One section, or the nested keys of one.

    Attributes:
        section: dotted name; empty for the keys at the top of the file.
        heading: the Markdown heading above the table.
        introduction: the docstring of the model.
        keys: the keys of the section in the order of the model, without its nested sections.
    """

    section: str
    heading: str
    introduction: str
    keys: tuple[Key, ...]


def list_tables() -> Iterator[Table]:
    """Yield the tables of the page: the top of the file, then each section of `Config` in order."""
    yield _table("", "## At the top of the file", Config, "")
    for name, field in Config.model_fields.items():
        model = field.annotation
        if not _is_section(model):
            continue
        yield _table(name, f"## `{name}`", model, _introduction(model))
        # Several keys may hold the same nested model: one table is enough for them.
        for nested, names in _nested_sections(model).items():
            holders = " and ".join(f"`{name}.{key}`" for key in names)
            yield _table(f"{name}.{names[0]}", f"### {holders}", nested, _introduction(nested))


def render_page() -> str:
    """Return the page as Markdown."""
    parts = [_INTRODUCTION]
    for table in list_tables():
        rows = "".join(
            f"| `{key.name}` | {key.type} | {key.default} | {key.unit} | "
            f"{_with_links(key.description)} |\n"
            for key in table.keys
        )
        introduction = "".join(
            f"{textwrap.fill(paragraph, 100, break_on_hyphens=False)}\n\n"
            for paragraph in _with_links(table.introduction).split("\n\n")
            if paragraph
        )
        parts.append(f"{table.heading}\n\n{introduction}{_TABLE_HEAD}{rows}")
    return "\n".join(parts)


def main() -> None:
    """Write the page."""
    PAGE.write_text(render_page(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE}\n")


def _table(section: str, heading: str, model: type[Section], introduction: str) -> Table:
    keys = (
        _key(section, name, field)
        for name, field in model.model_fields.items()
        if not (model is Config and _is_section(field.annotation))
    )
    return Table(section, heading, introduction, tuple(keys))


def _key(section: str, name: str, field: FieldInfo) -> Key:
    annotation: Any = field.annotation
    if field.metadata:
        # Pydantic takes the outermost `Annotated` apart; put it back to read it like inner ones.
        annotation = Annotated[(annotation, *field.metadata)]
    units = list(_find_units(annotation))
    return Key(
        section=section,
        name=name,
        type=_type_in_words(annotation),
        default="required" if field.is_required() else _default(field),
        unit=units[0].name if units else "",
        description=field.description or "",
        is_number=_is_number(annotation),
    )


def _introduction(model: type[Section]) -> str:
    return getdoc(model) or ""


def _is_section(annotation: Any) -> TypeGuard[type[Section]]:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _nested_sections(model: type[Section]) -> dict[type[Section], list[str]]:
    """Return the models that a section's keys hold, each with the keys that hold it."""
    found: dict[type[Section], list[str]] = {}
    for name, field in model.model_fields.items():
        if _is_section(field.annotation):
            found.setdefault(field.annotation, []).append(name)
        elif get_origin(field.annotation) is dict:
            value = get_args(field.annotation)[1]
            if _is_section(value):
                found.setdefault(value, []).append(f"{name}.<name>")
    return found


def _split(annotation: Any) -> tuple[Any, list[Any]]:
    """Return a type without its `Annotated`, and the metadata, outermost last."""
    if get_origin(annotation) is not Annotated:
        return annotation, []
    inner, *metadata = get_args(annotation)
    flat: list[Any] = []
    for one in metadata:
        flat += one.metadata if isinstance(one, FieldInfo) else [one]
    return inner, flat


def _type_in_words(annotation: Any) -> str:
    """Return a type in words: `integer > 0`, `number from 0 to 1`, the values of a `Literal`."""
    inner, metadata = _split(annotation)
    for one in metadata:
        if isinstance(one, Choices):
            return _listed(one.values)
    origin, arguments = get_origin(inner), get_args(inner)
    if origin in (Union, types.UnionType):
        # `null` first: at the end of a list it would read as one of the list's values.
        ordered = sorted(arguments, key=lambda argument: argument is not type(None))
        return ", or ".join(_type_in_words(argument) for argument in ordered)
    if origin is Literal:
        return _listed(arguments)
    if origin is tuple:
        return f"list of: {_type_in_words(arguments[0])}"
    if origin is dict:
        return f"mapping of name to: {_type_in_words(arguments[1])}"
    if _is_section(inner):
        return "keys below"
    return _NAMES[inner] + _bounds(metadata)


def _bounds(metadata: list[Any]) -> str:
    limits = {
        name: getattr(one, name) for one in metadata for name in _BOUNDS if hasattr(one, name)
    }
    if set(limits) == {"ge", "le"}:
        return f" from {limits['ge']:g} to {limits['le']:g}"
    return " and".join(f" {_BOUNDS[name]} {limit:g}" for name, limit in limits.items())


def _find_units(annotation: Any) -> Iterator[Unit]:
    """Yield the units of a type, the outermost first: it is the one that counts."""
    inner, metadata = _split(annotation)
    yield from (one for one in reversed(metadata) if isinstance(one, Unit))
    for argument in get_args(inner):
        if not isinstance(argument, str):
            yield from _find_units(argument)


def _is_number(annotation: Any) -> bool:
    inner, _ = _split(annotation)
    if get_origin(inner) in (Union, types.UnionType, tuple):
        return any(_is_number(argument) for argument in get_args(inner))
    return inner in (int, float)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Section):
        return "all `null`"
    if isinstance(value, str | Path | date):
        return f"`{value}`"
    return f"`{json.dumps(value)}`"


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _with_links(text: str) -> str:
    """Return a text with links in place of the names of pages, such as model/METHOD.md."""
    return re.sub(r"\b([a-z]+/[A-Z]+\.md)", r"[\1](../\1)", text)


if __name__ == "__main__":
    main()
