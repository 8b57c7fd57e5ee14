"""Summarizes cells: means over seeds, and paired differences from the reference."""

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from longtail.evaluation.metrics import CUTOFFS
from longtail.evaluation.results import SLICES
from longtail.study.cells import Document
from longtail.study.intervals import Mean, mean_interval
from longtail.study.paper_figures import paper_gains
from longtail.study.variants import BASELINE

METRICS = tuple(f"{name}@{k}" for name in ("recall", "map") for k in CUTOFFS)

# Cells of one variant and fraction, by seed.
Group = Mapping[int, Document]


def summarize(cells: Iterable[Document], reference: str = BASELINE) -> list[Document]:
    """Return one row for each variant, fraction, slice and metric, in the order of the cells.

    Args:
        cells: the reported cells.
        reference: the variant that the others are compared with.

    Returns:
        `[{"variant", "fraction", "slice", "metric", "mean", "low", "high", "num_seeds",
        "relative_gain", "difference", "relative_difference": both {"mean", "low", "high",
        "num_seeds"}, "paper": {data set: relative gain}, "settings", "num_epochs"}]`. `low` and
        `high` are the ends of the 95% interval, None with one seed. `relative_gain` compares the
        means. `difference` is paired, over the seeds that both variants have.
        `relative_difference` is `difference` divided by the reference's mean. All three are None
        without a reference.
    """
    groups = group_cells(cells)
    rows = []
    for (variant, fraction), group in groups.items():
        compared = groups.get((reference, fraction)) if variant != reference else None
        any_cell = next(iter(group.values()))  # settings are the same for all seeds
        for slice_name in SLICES:
            for metric in METRICS:
                values = _values(group, slice_name, metric)
                figure = mean_interval(list(values.values()))
                rows.append(
                    {
                        "variant": variant,
                        "fraction": fraction,
                        "slice": slice_name,
                        "metric": metric,
                        "mean": figure.mean,
                        "low": figure.low,
                        "high": figure.high,
                        "num_seeds": figure.num_values,
                        **_against(values, compared, slice_name, metric),
                        "paper": paper_gains(variant, fraction, slice_name, metric) or None,
                        "settings": any_cell["settings"],
                        "num_epochs": any_cell["num_epochs"],
                    }
                )
    return rows


def group_cells(cells: Iterable[Document]) -> dict[tuple[str, float], dict[int, Document]]:
    """Return the cells by variant and fraction, then by seed."""
    groups: dict[tuple[str, float], dict[int, Document]] = {}
    for cell in cells:
        groups.setdefault((cell["variant"], cell["fraction"]), {})[cell["seed"]] = cell
    return groups


def _values(group: Group, slice_name: str, metric: str) -> dict[int, float]:
    """Return one figure of each cell, by seed."""
    return {seed: cell["metrics"][slice_name][metric] for seed, cell in group.items()}


def _against(
    values: Mapping[int, float], reference: Group | None, slice_name: str, metric: str
) -> dict[str, Any]:
    """Return the keys of a row that compare it with the reference."""
    nothing = {"relative_gain": None, "difference": None, "relative_difference": None}
    if reference is None:
        return nothing
    theirs = _values(reference, slice_name, metric)
    common = [seed for seed in values if seed in theirs]
    level = fmean(theirs.values())
    if not common or level == 0.0:
        return nothing
    difference = mean_interval([values[seed] - theirs[seed] for seed in common])
    return {
        "relative_gain": fmean(values.values()) / level - 1.0,
        "difference": _document(difference, 1.0),
        "relative_difference": _document(difference, level),
    }


def _document(figure: Mean, unit: float) -> dict[str, Any]:
    """Return a mean and its interval, divided by `unit`."""
    return {
        "mean": figure.mean / unit,
        "low": None if figure.low is None else figure.low / unit,
        "high": None if figure.high is None else figure.high / unit,
        "num_seeds": figure.num_values,
    }
