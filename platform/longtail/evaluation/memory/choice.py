"""Chooses the settings of a memory by what each is measured to find on the validation part."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from longtail.evaluation.results import MetricsBySlice
from longtail.memory.settings import MemorySettings

# On a large catalogue few of a hundred neighbours agree, on a small one most do.
NEIGHBOURS = ((100, 0.03), (20, 0.03), (20, 0.06), (100, 0.06))
"""Number of the known queries that vote, and temperature of their similarities."""

_FIRST_WEIGHT = 0.5
_WEIGHTS = (0.15, 0.3, 0.7, 0.9)
# Of item kNN and of EASE^R; the rest is that of the known queries.
_SHARES = ((0.2, 0.0), (0.0, 0.2), (0.5, 0.0), (0.0, 0.5), (0.35, 0.35), (1.0, 0.0), (0.0, 1.0))
_WEIGHTS_WITH_FACTORS = (0.3, 0.5, 0.7, 0.9)
_TAIL_FACTORS = (1.0, 1.2, 1.5, 2.0, 3.0)
# Items without links need more than others of the tail where the weight is large.
_COLD_RATIO = 1.25

Measure = Callable[[MemorySettings], MetricsBySlice]


def choose_settings(
    start: MemorySettings, measure: Measure, max_tail_loss: float, *, with_ease: bool
) -> list[tuple[MemorySettings, MetricsBySlice]]:
    """Try settings, one number after the other, and return all with their metrics.

    The neighbours come first, then who votes and how much, by the gain alone: what tail and cold
    items lose by that can be given back by the factors, which come last, for each of the weights.

    Args:
        start: the model alone, with a weight of 0.
        measure: measures settings on the validation part.
        max_tail_loss: as of `best_setting`.
        with_ease: EASE^R may have a share.

    Returns:
        The settings and their metrics, in the order in which they were tried; `start` first.
    """
    tried = [(start, measure(start))]
    alone = tried[0][1]

    def try_all(grid: Sequence[MemorySettings]) -> list[int]:
        known = {settings for settings, _ in tried}
        tried.extend((each, measure(each)) for each in dict.fromkeys(grid) if each not in known)
        return [number for number, (settings, _) in enumerate(tried) if settings in grid]

    def best(numbers: Sequence[int]) -> MemorySettings:
        number = max(numbers, key=lambda n: (gain(tried[n][1], alone), -n))
        return tried[number][0]

    # Who of the known queries votes, and how much.
    by_neighbours = [
        replace(start, weight=_FIRST_WEIGHT, num_neighbours=number, neighbour_temperature=spread)
        for number, spread in NEIGHBOURS
    ]
    queries = best(try_all(by_neighbours))
    by_weight = [queries, *(replace(queries, weight=weight) for weight in _WEIGHTS)]
    try_all(by_weight)
    # With the votes of items.
    by_share = [queries] + [
        replace(queries, knn_share=knn, ease_share=ease)
        for knn, ease in _SHARES
        if with_ease or not ease
    ]
    shared = best(try_all(by_share))
    by_weight = [shared, *(replace(shared, weight=weight) for weight in _WEIGHTS)]
    try_all(by_weight)
    # What each costs the tail, and gives back to it.
    try_all(
        [
            replace(shared, weight=weight, tail_factor=tail, cold_factor=cold)
            for weight in _WEIGHTS_WITH_FACTORS
            for tail in _TAIL_FACTORS
            for cold in (1.0, tail, _COLD_RATIO * tail)
        ]
    )
    return tried


def best_setting(tried: Sequence[MetricsBySlice], max_tail_loss: float) -> int:
    """Return the position of the best of some settings, of which the first is the model alone.

    The best has the largest `gain` among those that lose at most a share of the model's recall@10
    and recall@50 on tail and cold items.
    """
    alone = tried[0]
    slices: tuple[Literal["tail", "cold"], ...] = ("tail", "cold")
    cutoffs: tuple[Literal["recall@10", "recall@50"], ...] = ("recall@10", "recall@50")

    def keeps_the_tail(metrics: MetricsBySlice) -> bool:
        return all(
            metrics[name][cutoff] >= (1.0 - max_tail_loss) * alone[name][cutoff]
            for name in slices
            for cutoff in cutoffs
        )

    allowed = [number for number, metrics in enumerate(tried) if keeps_the_tail(metrics)]
    return max(allowed, key=lambda number: (gain(tried[number], alone), -number))


def gain(metrics: MetricsBySlice, alone: MetricsBySlice) -> float:
    """Return the mean of recall@10, recall@50 and MAP@50, each relative to the model's alone."""

    def figures(metrics: MetricsBySlice) -> list[float]:
        overall = metrics["overall"]
        return [overall["recall@10"], overall["recall@50"], overall["map@50"]]

    pairs = zip(figures(metrics), figures(alone), strict=True)
    ratios = [own / of_model for own, of_model in pairs if of_model > 0.0]
    return float(np.mean(ratios)) if ratios else 0.0
