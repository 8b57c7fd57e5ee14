"""Plots of a run, as small PNG files."""

import json
from pathlib import Path

from longtail.artifacts import replaced_file

_LOSSES = ("loss", "main_loss", "self_supervised_loss")


def loss_curve(training_log: Path, file: Path) -> Path:
    """Plot the losses of a training log over its steps.

    Args:
        training_log: JSON lines; those with `step` and a loss are plotted.
        file: the PNG to write.

    Returns:
        `file`.
    """
    from matplotlib.figure import Figure  # without pyplot: no display, no global state

    records = [json.loads(line) for line in training_log.read_text("utf-8").splitlines()]
    figure = Figure(figsize=(6.0, 3.2), dpi=80, layout="constrained")
    axes = figure.add_subplot()
    for name in _LOSSES:
        points = [(r["step"], r[name]) for r in records if "step" in r and name in r]
        if points:
            axes.plot(*zip(*points, strict=True), label=name.replace("_", " "))
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.3)
    axes.legend()
    with replaced_file(file) as temporary:
        figure.savefig(temporary, format="png")
    return file
