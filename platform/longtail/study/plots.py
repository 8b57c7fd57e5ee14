"""The plots of a study, as images inside the page: sweeps of its trials, gains by popularity."""

import base64
import io
from collections.abc import Iterator
from statistics import fmean
from typing import Any

from longtail.config import StudyConfig
from longtail.study.cells import Document
from longtail.study.deciles import CUTOFF
from longtail.study.search_axes import VALUE_DROPOUT, WEIGHT
from longtail.study.summary import group_cells
from longtail.study.tables import choice_of, label, reference, variants
from longtail.study.tuning import best_epoch
from longtail.study.variants import BASELINE

# (horizontal, vertical) position of each point of a line.
Points = list[tuple[float, float]]


def all_plots(document: Document, fraction: float) -> Iterator[tuple[str, str]]:
    """Yield titles and data URLs of the plots that a study has figures for."""
    # One line for each variant that was tuned, over the values that were tried for a setting.
    study = StudyConfig.model_validate(document["manifest"]["config"]["study"])
    figure = f"{study.metric_slice} {study.metric}, validation"
    for key, name, logarithmic in (
        (WEIGHT, "Weight of the self-supervised loss (alpha)", True),
        (VALUE_DROPOUT, "Value dropout", False),
    ):
        lines = {variant: sweep(document, variant, fraction, key) for variant in _tuned(document)}
        lines = {variant: points for variant, points in lines.items() if len(points) > 1}
        if lines:
            baseline = choice_of(document, BASELINE, fraction)
            level = None if baseline is None else baseline["score"]
            yield name, _draw(lines, name, figure, logarithmic=logarithmic, level=level)
    # One line for each variant except the reference, which is the level at 0.
    gains = {
        variant: decile_gains(document, variant, fraction)
        for variant in variants(document, fraction)
        if variant != reference(document)
    }
    gains = {variant: points for variant, points in gains.items() if points}
    if gains:
        title = "Gain against item frequency"
        name = "training interactions of the item (upper end of each decile of test pairs, plus 1)"
        yield title, _draw(gains, name, f"relative gain, Recall@{CUTOFF}", level=0.0)


def sweep(document: Document, variant: str, fraction: float, key: str) -> Points:
    """Return the best validation figure for each value of one setting, ascending by value."""
    study = StudyConfig.model_validate(document["manifest"]["config"]["study"])
    best: dict[float, float] = {}
    for trial in document["trials"]:
        if (trial["variant"], trial["fraction"]) != (variant, fraction) or not trial["curve"]:
            continue
        if key not in trial["settings"]:
            continue
        value, (figure, _) = trial["settings"][key], best_epoch(trial["curve"], study)
        best[value] = max(figure, best.get(value, 0.0))
    return sorted(best.items())


def decile_gains(document: Document, variant: str, fraction: float) -> Points:
    """Return for each decile its largest training count plus one, and the gain of Recall@50.

    The gain is relative. Deciles in which the reference finds nothing are left out.
    """
    groups = group_cells(document["cells"])
    ours, theirs = groups.get((variant, fraction)), groups.get((reference(document), fraction))
    if not ours or not theirs:
        return []
    points = []
    for number, decile in enumerate(next(iter(ours.values()))["deciles"]):
        level, base = (
            fmean(cell["deciles"][number][f"recall@{CUTOFF}"] for cell in group.values())
            for group in (ours, theirs)
        )
        if base > 0.0:
            points.append((decile["max_count"] + 1.0, level / base - 1.0))
    return points


def _tuned(document: Document) -> list[str]:
    """Return the variants that have trials, in their order."""
    return list(dict.fromkeys(trial["variant"] for trial in document["trials"]))


def _draw(
    lines: dict[str, Points],
    x_name: str,
    y_name: str,
    *,
    logarithmic: bool = True,
    level: float | None = None,
) -> str:
    """Draw lines into an SVG image, and return it as a data URL."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasSVG(figure)
    axes: Any = figure.subplots()
    for variant, points in lines.items():
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=label(variant))
    if level is not None:
        axes.axhline(level, color="#57606a", linestyle="--", linewidth=1, label="reference")
    if logarithmic:
        axes.set_xscale("log")
    axes.set_xlabel(x_name)
    axes.set_ylabel(y_name)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    # A fixed salt and no date, so that the same figures give the same bytes.
    with mpl.rc_context({"svg.hashsalt": "longtail"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"
