"""The tables of `longtail tune`: the best trials, what was chosen, and its figures by slice."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from longtail.cli.tables.result_tables import grid
from longtail.cli.tuning_progress import changes, text_of

_NUM_TRIALS = 10
_SLICES = ("overall", "head", "tail", "cold")
_METRICS = ("recall@10", "recall@50", "map@50")


def tuning(document: Mapping[str, Any]) -> list[Table]:
    """Return the tables of a tuning's document, see `longtail.tuning.document`."""
    return [_best_trials(document), _by_slice(document), _chosen(document)]


def _best_trials(document: Mapping[str, Any]) -> Table:
    """Return the best trials; the present configuration is among them, however good it is."""
    present = document["present"]
    table = grid(
        "#trial", "#objective", "#epoch", "ended", "changes", title="Trials, validation part"
    )
    rows = [row for row in document["trials"] if row["objective"] is not None]
    rows.sort(key=lambda row: (-row["objective"], row["number"]))
    shown = rows[:_NUM_TRIALS]
    shown += [row for row in rows[_NUM_TRIALS:] if row["number"] == present["number"]]
    for row in shown:
        table.add_row(
            str(row["number"]),
            f"{row['objective']:.4f}",
            f"{row['epoch']} of {row['num_epochs']}",
            row["ended"],
            changes(row["settings"], present["settings"]) or "none: the present configuration",
        )
    return table


def _by_slice(document: Mapping[str, Any]) -> Table:
    """Return the figures of the present configuration and of the best trial side by side."""
    table = grid(
        "", *(f"#{metric}" for metric in _METRICS), title="Present -> best, validation part"
    )
    present, best = document["present"]["metrics"], document["best"]["metrics"]
    for name in _SLICES:
        table.add_row(
            name,
            *(f"{present[name][key]:.4f} -> {best[name][key]:.4f}" for key in _METRICS),
        )
    return table


def _chosen(document: Mapping[str, Any]) -> Table:
    table = grid("key", "present", "best trial", title="Changes")
    for key, change in document["changes"].items():
        table.add_row(key, text_of(change["present"]), text_of(change["best"]))
    return table
