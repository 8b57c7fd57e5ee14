"""Recall by popularity slice, as an image."""

from pathlib import Path

import numpy as np

from longtail.evaluation.results import SLICES, MetricsBySlice


def save_recall_plot(
    path: Path, metrics: MetricsBySlice, popularity: MetricsBySlice, title: str
) -> None:
    """Draw recall@10 and recall@50 of a version, and of the popularity ranking, into a PNG file.

    Args:
        path: the file to write.
        metrics: metrics of the version.
        popularity: metrics of the popularity ranking.
        title: title of the image.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    series = {
        "recall@10": ("#6baed6", [metrics[name]["recall@10"] for name in SLICES]),
        "recall@50": ("#08519c", [metrics[name]["recall@50"] for name in SLICES]),
        "recall@50, popularity ranking": (
            "#bdbdbd",
            [popularity[name]["recall@50"] for name in SLICES],
        ),
    }
    places = np.arange(len(SLICES))
    # The bars of a slice stand side by side and take 80% of its place, the middle one centred.
    width = 0.8 / len(series)
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for number, (label, (colour, heights)) in enumerate(series.items()):
        bars = axes.bar(places + (number - 1) * width, heights, width, label=label, color=colour)
        axes.bar_label(bars, fmt="%.3f", fontsize=7)
    labels = [f"{name}\n{metrics[name]['num_pairs']:,} pairs" for name in SLICES]
    axes.set_xticks(places, labels)
    axes.set_ylabel("recall")
    axes.set_title(title)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="png", dpi=110)
