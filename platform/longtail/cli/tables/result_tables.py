"""The house style of tables, and the tables of results."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table

METRICS = ("recall@10", "recall@50", "map@10", "map@50")
SLICES = ("overall", "head", "tail", "cold")


def grid(*columns: str, title: str | None = None) -> Table:
    """Return an empty table in the house style; a column named `#...` holds numbers."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for column in columns:
        is_number = column.startswith("#")
        table.add_column(
            column.removeprefix("#"), justify="right" if is_number else "left", no_wrap=is_number
        )
    return table


def facts(document: Mapping[str, Any], *, title: str | None = None) -> Table:
    """Return a table of two columns: the plain values of a document by name."""
    table = Table(title=title, box=None, show_header=False, title_justify="left", padding=(0, 2))
    for name, value in document.items():
        if isinstance(value, float):
            table.add_row(name.replace("_", " "), f"{value:,.4g}")
        elif isinstance(value, int) and not isinstance(value, bool):
            table.add_row(name.replace("_", " "), f"{value:,}")
        elif isinstance(value, str | bool):
            table.add_row(name.replace("_", " "), str(value))
    return table


def metrics(document: Mapping[str, Any]) -> Table:
    """Return a table of retrieval by slice, and below it the baselines, if the document has any."""
    table = grid("", *(f"#{name}" for name in METRICS), "#pairs", title="Retrieval, held-out pairs")
    for name, values in sorted(document["metrics"].items(), key=_slice_order):
        table.add_row(name, *_metric_cells(values))
    for baseline, slices in document.get("baselines", {}).items():
        table.add_section()
        for name, values in sorted(slices.items(), key=_slice_order):
            label = f"{baseline.removesuffix('_ranking')}, {name}"
            table.add_row(label, *_metric_cells(values), style="dim")
    return table


def _slice_order(entry: tuple[str, Any]) -> tuple[int, str]:
    name = entry[0]
    return (SLICES.index(name) if name in SLICES else len(SLICES), name)


def _metric_cells(values: Mapping[str, Any]) -> list[str]:
    cells = ["-" if values[name] is None else f"{values[name]:.4f}" for name in METRICS]
    return [*cells, f"{values['num_pairs']:,}"]


def results(document: Mapping[str, Any], title: str) -> Table:
    """Return a table of items with their scores, best first."""
    table = grid("##", "item", "#score", title=title)
    for rank, result in enumerate(document["results"], start=1):
        table.add_row(str(rank), result["item"], f"{result['score']:.3f}")
    return table


def versions(document: Mapping[str, Any]) -> Table:
    """Return a table of the versions on disk."""
    table = grid("version", "as of", "state", "#items", "created (UTC)")
    for entry in document["versions"]:
        num_items = entry.get("num_items")
        table.add_row(
            entry["version"],
            entry["as_of"],
            entry["state"],
            "" if num_items is None else f"{num_items:,}",
            (entry.get("created_at") or "")[: len("2023-06-10T12:00")].replace("T", " "),
            style="bold" if entry["state"] == "served" else None,
        )
    return table
