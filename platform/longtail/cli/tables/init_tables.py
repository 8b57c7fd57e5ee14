"""The summary of a new project."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from longtail.cli.tables.result_tables import grid


def understood(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Yield the tables as they were read, the role of each column, and what to know about them."""
    yield _tables(document)
    for name in ("items", "queries", "interactions"):
        columns = [column for column in document["columns"] if column["table"] == name]
        if columns:
            yield _columns(document, name, columns)
    for name in ("items", "queries", "interactions"):
        note = document[name]["timestamp"]["note"]
        if note:
            yield Text(f"{name}: {note}.")
    for warning in document["warnings"]:
        yield Text.assemble(("note: ", "yellow"), f"{warning}.")


def next_step(folder: Path) -> Iterator[RenderableType]:
    """Yield what to type next."""
    configuration = shlex.quote(str(folder / "longtail.yaml"))
    yield Text(f"\nWritten to {folder}. Next:", style="bold green")
    yield Text(f"  longtail run --config {configuration}")


def _tables(document: Mapping[str, Any]) -> Table:
    table = grid("table", "#rows", "key", "in the interactions", "#known", "timestamp")
    for name in ("items", "queries"):
        side = document[name]
        table.add_row(
            name,
            f"{side['num_rows']:,}",
            side["key"] or "(none given)",
            side["interactions_key"],
            f"{side['known']:.0%}",
            side["timestamp"]["column"] or "-",
        )
    interactions = document["interactions"]
    table.add_row(
        *("interactions", f"{interactions['num_rows']:,}", "", "", ""),
        interactions["timestamp"]["column"] or "-",
    )
    return table


def _columns(document: Mapping[str, Any], name: str, columns: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table of the columns of one of the user's tables."""
    table = grid("column", "role", "#values", "#coverage", "sample", "why", title=name.capitalize())
    features = {each["column"]: each for each in document[name].get("features", ())}
    for column in columns:
        feature = features.get(column["column"], {})
        distinct, coverage = feature.get("num_distinct"), feature.get("coverage")
        renamed = column["role"] == "feature" and column["name"] != column["column"]
        table.add_row(
            Text(column["column"]),
            _role(column, feature),
            "" if distinct is None else f"{distinct:,}",
            "" if coverage is None else f"{coverage:.0%}",
            Text(column["sample"]),
            Text(f"named {column['name']}; {column['why']}" if renamed else column["why"]),
            style="dim" if column["role"] in ("left out", "unused") else None,
        )
    return table


def _role(column: Mapping[str, Any], feature: Mapping[str, Any]) -> str:
    """Return a column's role; for a feature, its kind and length."""
    if column["role"] != "feature":
        return str(column["role"])
    if feature["kind"] == "multi":
        return f"{feature['length']:.1f} values"
    if feature["kind"] == "dense":
        return "dense" if feature["length"] == 1 else f"dense, {feature['length']:.0f}"
    return "one value"
