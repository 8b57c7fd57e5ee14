"""Tables of embedding health."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table

from longtail.cli.tables.result_tables import SLICES, grid


def health(document: Mapping[str, Any]) -> Group:
    """Return the tables of an evaluation's `health`: by slice, for the whole space, by feature."""
    tables = [_slices(document), _space(document)]
    if document["probes"]:
        tables.append(_probes(document))
    return Group(*tables)


def _slices(document: Mapping[str, Any]) -> Table:
    table = grid(
        "", "#uniformity", "#alignment", "#never retrieved", "#items", title="Embedding health"
    )
    for name in SLICES:
        values = document["slices"][name]
        table.add_row(
            name,
            _number(values["uniformity"]),
            _number(values["alignment"]),
            _number(values["never_retrieved"], "{:.1%}"),
            f"{values['num_items']:,}",
        )
    return table


def _space(document: Mapping[str, Any]) -> Table:
    table = grid("whole catalogue", "#")
    table.add_row("effective rank", f"{document['effective_rank']:.1f} of {document['dim']}")
    for name, value in document["popularity_correlation"].items():
        label = f"popularity correlation: {name.replace('_', ' ')}"
        table.add_row(label, _number(value, "{:+.3f}"))
    return table


def _probes(document: Mapping[str, Any]) -> Table:
    table = grid("left-out feature", "#linear probe", "#majority", "#classes", "#items")
    for name, values in document["probes"].items():
        table.add_row(
            name,
            _number(values["accuracy"]),
            _number(values["majority"]),
            f"{values['num_classes']:,}",
            f"{values['num_items']:,}",
        )
    return table


def _number(value: float | None, form: str = "{:.3f}") -> str:
    return "-" if value is None else form.format(value)
