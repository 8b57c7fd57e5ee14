"""The geometry of the plots: lines in a box of 100 x 100, and cells of a heat map.

The page stretches the box to its width and writes the labels as text over it, so that they keep
their size on a narrow screen.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from longtail.correlation.display_text import short_number

MAX_POINTS = 400
"""Points of a line that are drawn; of more, every n-th, with the last one."""
MAX_NUMBERED = 16
"""With more features, the cells of a heat map are too narrow for figures on a phone."""


def line_plot(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    from_zero: bool = False,
    x_labels: Mapping[float, str] | None = None,
) -> dict[str, Any] | None:
    """Place lines, and the ticks of their axes.

    Args:
        series: the `(x, y)` of each line, by name.
        from_zero: whether the y axis begins at 0.
        x_labels: the ticks of the x axis by their value; None for round numbers.

    Returns:
        `{"lines": [{"name", "points", "dots", "last"}], "x_ticks", "y_ticks"}`; a tick is
        `{"at", "label"}`. Places are per cent, y downwards. None if there is no point.
    """
    kept = {name: thinned(points) for name, points in series.items() if points}
    every = [point for points in kept.values() for point in points]
    if not every:
        return None
    xs, ys = [x for x, _ in every], [y for _, y in every]
    y_ticks = round_ticks(min(ys + [0.0] * from_zero), max(ys))
    low, high = y_ticks[0], y_ticks[-1]
    left, right = min(xs), max(xs)

    def across(x: float) -> float:
        return round(100 * (x - left) / (right - left), 2) if right > left else 50.0

    def down(y: float) -> float:
        return round(100 - 100 * (y - low) / (high - low), 2)

    ticks = x_labels or {x: f"{x:,.0f}" for x in round_ticks(left, right) if left <= x <= right}
    lines = []
    for name, points in kept.items():
        dots = [{"x": across(x), "y": down(y)} for x, y in points]
        text = " ".join(f"{dot['x']},{dot['y']}" for dot in dots)
        lines.append({"name": name, "points": text, "dots": dots, "last": points[-1][1]})
    digits = max(0, -math.floor(math.log10(y_ticks[1] - y_ticks[0]) + 1e-9))
    return {
        "lines": lines,
        "x_ticks": [{"at": across(x), "label": label} for x, label in ticks.items()],
        "y_ticks": [{"at": down(y), "label": f"{y:.{digits}f}"} for y in y_ticks],
    }


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most about `MAX_POINTS` points, equally spaced, with the last one."""
    step = math.ceil(len(points) / MAX_POINTS)
    return [*points[:-1:step], points[-1]]


def round_ticks(low: float, high: float) -> list[float]:
    """Return two to eight round numbers at equal steps that enclose two numbers."""
    span = high - low or abs(high) or 1.0
    step = 10.0 ** math.floor(math.log10(span / 3))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 6)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if last == first:
        last += 1
    return [round(number * step, 12) for number in range(first, last + 1)]


def day_plot(series: Mapping[str, Sequence[tuple[str, float]]]) -> dict[str, Any] | None:
    """Place lines over days, which are ISO 8601; at most five of them are named."""
    days = sorted({day for points in series.values() for day, _ in points})
    step = max(1, math.ceil(len(days) / 5))
    named = days[::step]
    return line_plot(
        {
            name: [(float(date.fromisoformat(day).toordinal()), value) for day, value in points]
            for name, points in series.items()
        },
        from_zero=True,
        x_labels={float(date.fromisoformat(day).toordinal()): day for day in named},
    )


def heat_map(correlations: Mapping[str, Any]) -> dict[str, Any]:
    """Shade the correlations of a version's `masking_plan.json`.

    Returns:
        `{"measure", "names", "numbered", "rows": [[{"text", "level", "title"}]]}`. A level is 0
        to 100, from no correlation to the largest one off the diagonal; None on the diagonal.
    """
    names, matrix = correlations["features"], correlations["matrix"]
    size = range(len(names))
    highest = max((matrix[i][j] for i in size for j in size if i != j), default=0.0)
    rows = [
        [
            {
                "text": short_number(float(matrix[i][j])) if i != j else "",
                "level": None if i == j else round(100 * max(0.0, matrix[i][j]) / (highest or 1.0)),
                "title": f"{names[i]}, {names[j]}: {matrix[i][j]:.3f}",
            }
            for j in size
        ]
        for i in size
    ]
    return {
        "measure": correlations["measure"].replace("_", " "),
        "names": names,
        "numbered": len(names) <= MAX_NUMBERED,
        "rows": rows,
    }
