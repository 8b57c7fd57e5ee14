"""The tables of a study in a terminal, one for each fraction."""

from typing import Any

from rich.table import Table

from longtail.cli.tables.result_tables import grid
from longtail.study.tables import fractions, index, label, reference, variants

COLUMNS = {
    "recall@50": ("overall", "recall@50"),
    "map@50": ("overall", "map@50"),
    "tail": ("tail", "recall@50"),
    "cold": ("cold", "recall@50"),
}


def study(document: dict[str, Any]) -> list[Table]:
    """Return tables of overall Recall@50 and MAP@50, Recall@50 of tail and cold items, and gains.

    A variant has two rows: its figures, and below them the gains over the reference with the 95%
    interval of the paired difference.
    """
    rows = index(document["summary"])
    tables = []
    for fraction in fractions(document):
        share = "all" if fraction == 1.0 else f"{fraction:.4g}"
        title = f"Test part, trained on {share} of the training part; "
        title += f"gains over {label(reference(document))}"
        table = grid("", *(f"#{name}" for name in COLUMNS), title=title)
        for variant in variants(document, fraction):
            found = [rows[variant, fraction, *column] for column in COLUMNS.values()]
            table.add_row(label(variant), *(f"{row['mean']:.4f}" for row in found))
            if any(row["relative_gain"] is not None for row in found):
                table.add_row("", *(_gain(row) for row in found), style="dim")
        tables.append(table)
    return tables


def _gain(row: dict[str, Any]) -> str:
    """Return a gain with half of the interval of the paired difference: `+4.1% ±0.9`."""
    if row["relative_gain"] is None:
        return ""
    paired = row["relative_difference"]
    spread = "" if paired["low"] is None else f" ±{50 * (paired['high'] - paired['low']):.1f}"
    return f"{row['relative_gain']:+.1%}{spread}"
