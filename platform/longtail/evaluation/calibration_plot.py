"""The curve of a calibration, as an image."""

from pathlib import Path
from typing import Literal

from longtail.evaluation.results import SLICES, Calibration

_COLOURS = ("#08519c", "#e6550d", "#31a354", "#756bb1")
_PANELS: tuple[Literal["recall@50", "recall@10", "map@50"], ...] = (
    "recall@50",
    "recall@10",
    "map@50",
)


def save_calibration_plot(path: Path, calibration: Calibration, title: str) -> None:
    """Draw every slice over beta, one panel for each metric, into a PNG file.

    Args:
        path: the file to write.
        calibration: the curve of a version, with at least one point.
        title: title of the image.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curve = calibration["curve"]
    betas = [point["beta"] for point in curve]
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(_PANELS))
    for axes, metric in zip(panels, _PANELS, strict=True):
        for name, colour in zip(SLICES, _COLOURS, strict=True):
            figures = [point["metrics"][name][metric] for point in curve]
            axes.plot(betas, figures, marker=".", color=colour, label=name)
        # The published scores have this one.
        axes.axvline(calibration["beta"], color="#969696", linestyle="--", linewidth=1)
        axes.set_xlabel("beta")
        axes.set_ylabel(metric)
        axes.set_ylim(bottom=0.0)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False)
    figure.suptitle(title)
    figure.savefig(path, format="png", dpi=110)
