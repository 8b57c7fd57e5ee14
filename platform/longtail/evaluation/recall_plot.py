"""Recall by popularity slice, as an image."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np


def save_recall_plot(
    path: Path,
    metrics: Mapping[str, Mapping[str, float]],
    popularity: Mapping[str, Mapping[str, float]],
    title: str,
) -> None:
    """Draw recall@10 and recall@50 of a version, and of the popularity ranking, into a PNG file.

    Args:
        path: where the image is written.
        metrics: `{slice: {"recall@10", "recall@50", "num_pairs"}}` of the version.
        popularity: the same of the popularity ranking.
        title: stands above the image.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    series = {
        "recall@10": ("#6baed6", [entry["recall@10"] for entry in metrics.values()]),
        "recall@50": ("#08519c", [entry["recall@50"] for entry in metrics.values()]),
        "recall@50, popularity ranking": (
            "#bdbdbd",
            [popularity[name]["recall@50"] for name in metrics],
        ),
    }
    places = np.arange(len(metrics))
    width = 0.8 / len(series)
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for number, (label, (colour, heights)) in enumerate(series.items()):
        bars = axes.bar(places + (number - 1) * width, heights, width, label=label, color=colour)
        axes.bar_label(bars, fmt="%.3f", fontsize=7)
    labels = [f"{name}\n{entry['num_pairs']:,} pairs" for name, entry in metrics.items()]
    axes.set_xticks(places, labels)
    axes.set_ylabel("recall")
    axes.set_title(title)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="png", dpi=110)
