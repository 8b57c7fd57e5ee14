"""The summary of a new project."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from longtail.cli.tables.result_tables import grid


def summary(document: Mapping[str, Any], folder: Path) -> Iterator[RenderableType]:
    """Yield the tables as they were read, the use of each column, and what to type next."""
    yield _tables(document)
    for side in ("items", "queries"):
        if document[side]["features"]:
            yield _features(document, side)
    for name in ("items", "queries", "interactions"):
        note = document[name]["timestamp"]["note"]
        if note:
            yield Text(f"{name}: {note}.")
    for warning in document["warnings"]:
        yield Text.assemble(("note: ", "yellow"), f"{warning}.")
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


def _features(document: Mapping[str, Any], side: str) -> Table:
    table = grid("feature", "kind", "#values", "#coverage", "", title=side.capitalize())
    for feature in document[side]["features"]:
        table.add_row(
            Text(feature["name"]),
            "left out" if feature["left_out"] else _kind(feature),
            "" if feature["num_distinct"] is None else f"{feature['num_distinct']:,}",
            "" if feature["coverage"] is None else f"{feature['coverage']:.0%}",
            Text("; ".join(_remarks(feature))),
            style="dim" if feature["left_out"] else None,
        )
    return table


def _kind(feature: Mapping[str, Any]) -> str:
    if feature["kind"] == "multi":
        return f"{feature['length']:.1f} values"
    if feature["kind"] == "dense":
        return "dense" if feature["length"] == 1 else f"dense, {feature['length']:.0f}"
    return "one value"


def _remarks(feature: Mapping[str, Any]) -> Iterator[str]:
    if feature["name"] != feature["column"]:
        yield f"was {feature['column']!r}"
    if feature["note"]:
        yield feature["note"]
    if feature["table"]:
        yield f"shares the table {feature['table']}"
    if feature["buckets"]:
        yield f"hashed into {feature['buckets']:,}"
    if feature["left_out"]:
        yield feature["left_out"]
