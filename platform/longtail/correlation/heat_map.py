"""The correlation matrix as an image that a person can read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def save_heat_map(path: Path, features: Sequence[str], matrix: np.ndarray, title: str) -> None:
    """Draw the off-diagonal figures as colours and all figures as text, into a PNG file.

    Args:
        path: where the image is written.
        features: names of the rows and columns.
        matrix: [num_features, num_features]; the diagonal has no part in the colour scale, since
            what stands there (an entropy, or 1) would drown the rest.
        title: stands above the image.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    num_features = len(features)
    coloured = np.ma.masked_array(matrix, mask=np.eye(num_features, dtype=bool))
    highest = float(coloured.max()) if num_features > 1 else 1.0
    side = max(4.0, 0.75 * num_features + 2.0)
    figure = Figure(figsize=(side, side * 0.9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    image = axes.imshow(coloured, cmap="viridis", vmin=0.0, vmax=highest or 1.0)
    axes.set_facecolor("#e8e8e8")
    axes.set_xticks(range(num_features), features, rotation=45, ha="right")
    axes.set_yticks(range(num_features), features)
    for row in range(num_features):
        for column in range(num_features):
            dark = row != column and matrix[row, column] < 0.6 * highest
            axes.text(
                column,
                row,
                f"{matrix[row, column]:.2f}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if dark else "black",
            )
    axes.set_title(title)
    figure.colorbar(image, shrink=0.8)
    figure.savefig(path, format="png", dpi=110)
