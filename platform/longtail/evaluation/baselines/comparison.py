"""The version beside the baselines: rows of a table, and sentences about what is ahead."""

from collections.abc import Mapping
from typing import Any, cast

from longtail.evaluation.baselines.names import POPULARITY, RANDOM
from longtail.evaluation.results import SLICES, Baselines, Evaluation, MetricsBySlice

# A column of the comparison: the slice and the metric.
COLUMNS = (
    ("overall", "recall@10"),
    ("overall", "recall@50"),
    ("overall", "map@50"),
    ("head", "recall@50"),
    ("tail", "recall@50"),
    ("cold", "recall@50"),
)

WITH_MEMORY = "with memory"
"""The row of a version with its memory, which is what it recommends."""

_METRICS = ("recall@10", "recall@50", "map@10", "map@50")

_BySlice = Mapping[str, Mapping[str, float]]


def metrics_by_name(baselines: Baselines) -> dict[str, Any]:
    """Return the metrics by slice of every baseline that was measured, by its name."""
    measured = {
        POPULARITY: baselines["popularity_ranking"],
        RANDOM: baselines.get("random_ranking"),
        **{name: one.get("metrics") for name, one in baselines.get("tuned", {}).items()},
    }
    return {name: metrics for name, metrics in measured.items() if metrics is not None}


def comparison_rows(document: Evaluation) -> list[dict[str, str | float]]:
    """Return a row for the version and for each baseline, with the figures of `COLUMNS`.

    Args:
        document: the evaluation of the version, with the baselines.
    """
    rankings: dict[str, Any] = {document["version"]: document["metrics"]}
    if "metrics" in document.get("memory", {}):
        rankings[WITH_MEMORY] = recommended_metrics(document)
    rankings |= metrics_by_name(document["baselines"])
    return [
        {
            "ranking": name,
            **{column_name(*column): metrics[column[0]][column[1]] for column in COLUMNS},
        }
        for name, metrics in rankings.items()
    ]


def recommended_metrics(document: Evaluation) -> MetricsBySlice:
    """Return the metrics of what `recommend` answers: with the memory, if the version has one."""
    return document.get("memory", {}).get("metrics", document["metrics"])


def column_name(slice_name: str, metric: str) -> str:
    """Return the heading of a column, without the slice where it is overall."""
    return metric if slice_name == "overall" else f"{slice_name} {metric}"


def baselines_ahead(document: Evaluation) -> list[str]:
    """Return a sentence for each baseline and slice with a metric above that of the version.

    The version is taken as it recommends: with its memory, if it has one.

    Args:
        document: the evaluation of the version, with the baselines.
    """
    sentences = []
    own = cast("_BySlice", recommended_metrics(document))
    for name, metrics in metrics_by_name(document["baselines"]).items():
        for slice_name in (each for each in SLICES if each in own and each in metrics):
            theirs, ours = metrics[slice_name], own[slice_name]
            ahead = [
                f"{metric} {theirs[metric]:.4f} against {ours[metric]:.4f}"
                for metric in _METRICS
                if metric in theirs and theirs[metric] > ours[metric]
            ]
            if ahead:
                sentences.append(f"{name} finds more: {slice_name} {', '.join(ahead)}")
    return sentences


def remarks(baselines: Baselines) -> list[str]:
    """Return a sentence for each baseline that was left out, and for each note on another."""
    found = []
    for name, one in baselines.get("tuned", {}).items():
        if "left_out" in one:
            found.append(f"{name} is left out: {one['left_out']}")
        else:
            found += [f"{name}: {note}" for note in one["notes"]]
    return found
