"""Draws the correlations and the masking plan as an image."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from longtail.correlation.display_text import readable_value, short_number

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = {
    "mutual_information": "mutual information, in nats",
    "normalized": "normalized mutual information",
    "adjusted": "mutual information adjusted for chance",
}
# With more features the cells are too small for figures, and only colours are drawn.
MAX_NUMBERED = 32
# With more features there is no room for large cells.
LARGE_CELLS = 12
MAX_NAME = 24
GREY = "#e8e8e8"
SEED, MASKED, SHOWN, NEVER = "#c0392b", "#f2b6a0", "#ffffff", "#cfcfcf"


def save_heat_map(path: "Path", figure: "Figure") -> None:
    """Write a figure as a PNG file that is small enough to be shown inside a page."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    # A palette takes a third of the bytes, and has room for the colours of the scale.
    palette = pixels.quantize(256, method=Image.Quantize.FASTOCTREE)
    palette.save(path, format="png", optimize=True)


def heat_map(
    features: Sequence[str],
    matrix: np.ndarray,
    plan: Mapping[str, Sequence[str]],
    *,
    measure: str,
    as_of: str,
    sample_fraction: float = 1.0,
) -> "Figure":
    """Draw the matrix as colours and figures, and beside it the features that each seed masks.

    Args:
        features: the names of the rows and columns.
        matrix: [num_features, num_features]. The diagonal does not count for the colour scale,
            because its values (entropies, or 1) would drown the rest.
        plan: {seed: [masked features]}, the seed first, then in the order in which they were
            chosen. Features that are not a seed are never masked.
        measure: the measure in the matrix.
        as_of: the day of the catalogue.
        sample_fraction: the share of the catalogue that was measured.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    small = len(features) <= LARGE_CELLS
    cell = 0.62 if small else 0.40 if len(features) <= MAX_NUMBERED else 0.22  # inches
    side = max(2.6, cell * len(features))
    # Side by side if a page is wide enough for both, otherwise one above the other.
    size = (2 * side + 4.4, side + 2.4) if small else (side + 3.2, 2 * side + 4.4)
    layout = ConstrainedLayoutEngine(compress=True, w_pad=0.1, h_pad=0.1)
    figure = Figure(figsize=size, dpi=100, layout=layout)
    upper, lower = figure.subplots(*((1, 2) if small else (2, 1)))
    _draw_matrix(upper, matrix, measure)
    _draw_plan(lower, features, plan)
    for axes in (upper, lower):
        _name_cells(axes, features)
    name = NAMES.get(measure, measure.replace("_", " "))
    sample = f" (a sample of {sample_fraction:.2%})" if sample_fraction < 1.0 else ""
    figure.suptitle(f"Item features as of {as_of}: {name}{sample}", fontsize=13)
    return figure


def _draw_matrix(axes: "Axes", matrix: np.ndarray, measure: str) -> None:
    """Draw the correlations as colours, with a figure in each cell if there is room."""
    num_features = len(matrix)
    diagonal = np.eye(num_features, dtype=bool)
    coloured = np.ma.masked_array(matrix, mask=diagonal)
    highest = float(coloured.max()) if num_features > 1 else 0.0
    lowest = min(float(coloured.min()), 0.0) if num_features > 1 else 0.0
    axes.set_facecolor(GREY)
    image = axes.imshow(coloured, cmap="viridis", vmin=lowest, vmax=highest or 1.0, aspect="equal")
    axes.figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02)
    # A diagonal of ones says nothing; entropies do.
    hidden = diagonal if measure != "mutual_information" else np.zeros_like(diagonal)
    title = "Correlation" if hidden.any() else "Correlation (grey: own entropy)"
    axes.set_title(title, fontsize=11, pad=22)
    if num_features > MAX_NUMBERED:
        return
    size = 9 if num_features <= LARGE_CELLS else 7.5
    # White figures on dark cells; the weights are those of perceived brightness.
    for row, column in np.argwhere(~hidden):
        red, green, blue, _ = image.to_rgba(matrix[row, column])
        dark = row != column and 0.30 * red + 0.59 * green + 0.11 * blue < 0.5
        axes.text(
            column,
            row,
            short_number(float(matrix[row, column])),
            ha="center",
            va="center",
            fontsize=size,
            color="white" if dark else "black",
        )


def _draw_plan(axes: "Axes", features: Sequence[str], plan: Mapping[str, Sequence[str]]) -> None:
    """Draw one row for each seed: the features masked with it, numbered in their order."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    place = {name: index for index, name in enumerate(features)}
    shown, masked, seeds, never = range(4)
    # Cells hold the index of their colour in `colours`.
    cells = np.full((len(features), len(features)), shown)
    for seed, names in plan.items():
        cells[place[seed], [place[name] for name in names]] = masked
        cells[place[seed], place[seed]] = seeds
        for rank, name in enumerate(names[1:] if len(features) <= MAX_NUMBERED else (), start=1):
            axes.text(
                place[name],
                place[seed],
                str(rank),
                ha="center",
                va="center",
                fontsize=9 if len(features) <= LARGE_CELLS else 7.5,
            )
    # Features outside the plan are not seeds, and no seed masks them.
    kept = [place[name] for name in features if name not in plan]
    cells[kept] = never
    cells[:, kept] = never
    colours = ListedColormap([SHOWN, MASKED, SEED, NEVER])
    axes.imshow(cells, cmap=colours, vmin=0, vmax=3, aspect="equal")
    title = "Masked together: one row for each seed" if plan else "Nothing can be masked"
    axes.set_title(title, fontsize=11, pad=22)
    together = "masked with it" + (", 1 first" if len(features) <= MAX_NUMBERED else "")
    legend = {"seed": SEED, together: MASKED, "shown": SHOWN}
    if kept:
        legend["never masked"] = NEVER
    axes.legend(
        handles=[Patch(facecolor=c, edgecolor="grey", label=name) for name, c in legend.items()],
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        borderaxespad=0.2,
        ncols=len(legend),
        handlelength=1.2,
        columnspacing=1.2,
        frameon=False,
        fontsize=8,
    )


def _name_cells(axes: "Axes", features: Sequence[str]) -> None:
    """Draw names beside the cells and thin lines between them. A `$` starts no formula."""
    ticks = np.arange(len(features))
    names = [readable_value(name, MAX_NAME) for name in features]
    size = 9.5 if len(features) <= LARGE_CELLS else 8.5
    axes.set_xticks(ticks, names, rotation=55, ha="right", rotation_mode="anchor", fontsize=size)
    axes.set_yticks(ticks, names, fontsize=size)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_parse_math(False)
    axes.set_xticks(ticks[1:] - 0.5, minor=True)
    axes.set_yticks(ticks[1:] - 0.5, minor=True)
    axes.grid(which="minor", color="white" if axes.get_legend() is None else "#dddddd", lw=0.8)
    axes.tick_params(which="both", length=0)
