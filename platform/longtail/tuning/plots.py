"""The plot of a tuning: the objective of every trial, and how much depends on each parameter."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from longtail.artifacts import replaced_file

# Fewer trials than this say nothing about what matters.
NUM_TRIALS_FOR_IMPORTANCE = 10


def importances(study: optuna.Study, figures: Mapping[int, float], seed: int) -> dict[str, float]:
    """Return the share of the objective's variance that follows from each parameter alone.

    By functional ANOVA over a random forest (Hutter et al. 2014), of all trials with a figure.

    Args:
        study: the trials.
        figures: the objective of each trial, by its number in the journal.
        seed: of the forest.

    Returns:
        Shares that sum to 1, the largest first; empty with too few trials or equal figures.
    """
    if len(figures) < NUM_TRIALS_FOR_IMPORTANCE or len(set(figures.values())) < 2:
        return {}
    # Pruned trials have a figure as well: Optuna's own function leaves them out.
    kept = optuna.create_study(direction="maximize")
    for trial in study.get_trials():
        if trial.number in figures:
            kept.add_trial(
                optuna.trial.create_trial(
                    params=trial.params,
                    distributions=trial.distributions,
                    value=figures[trial.number],
                )
            )
    return get_param_importances(kept, evaluator=FanovaImportanceEvaluator(seed=seed))


def save_plot(path: Path, document: Mapping[str, Any], shares: Mapping[str, float]) -> None:
    """Draw the trials into a PNG file.

    Args:
        path: the file to write.
        document: of `document.document_of`.
        shares: of `importances`; empty: they are left out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels: Any = figure.subplots(1, 2 if shares else 1, squeeze=False)[0]

    # Each trial at its best, the best so far as a line, and the level of the present configuration.
    rows = [row for row in document["trials"] if row["objective"] is not None]
    numbers = [row["number"] for row in rows]
    heights = [row["objective"] for row in rows]
    whole = [row["ended"] in ("no rise", "all epochs") for row in rows]
    best = [max(heights[: number + 1]) for number in range(len(heights))]
    axes = panels[0]
    for kept, colour, name in ((True, "#08519c", "whole"), (False, "#9ecae1", "ended early")):
        chosen = [number for number, one in enumerate(whole) if one is kept]
        axes.scatter(
            [numbers[one] for one in chosen],
            [heights[one] for one in chosen],
            color=colour,
            label=name,
        )
    axes.step(numbers, best, where="post", color="#238b45", label="best so far")
    level = document["present"]["objective"]
    axes.axhline(level, color="#57606a", linestyle="--", linewidth=1, label="present configuration")
    axes.set_xlabel("trial")
    axes.set_ylabel("objective, validation part")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    if shares:
        names = list(shares)[::-1]
        panels[1].barh(names, [shares[name] for name in names], color="#6baed6")
        panels[1].set_xlabel("share of the variance (fANOVA)")
        panels[1].tick_params(axis="y", labelsize=8)
        panels[1].spines[["top", "right"]].set_visible(False)
    with replaced_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
