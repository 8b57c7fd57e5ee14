"""Tunes each baseline on the validation part, and measures it as `longtail evaluate` does."""

import logging
import time
from collections.abc import Collection
from typing import Literal

from longtail.config import Config
from longtail.dataset.training_set import TrainingSet
from longtail.errors import InputError
from longtail.evaluation.baselines.known import Known, known_of
from longtail.evaluation.baselines.method import Fitted, Method, Settings
from longtail.evaluation.baselines.names import POPULARITY, RANDOM, UNTUNED
from longtail.evaluation.baselines.ranks import Int64Array, popularity_order, ranks_by_score
from longtail.evaluation.baselines.registry import TUNED
from longtail.evaluation.baselines.untuned import baseline_metrics
from longtail.evaluation.held_out import HeldOut, fewer_queries, held_out_pairs
from longtail.evaluation.metrics import metrics_by_slice, retrieval_metrics
from longtail.evaluation.results import Baseline, LeftOut
from longtail.evaluation.slices import Slices, item_slices

log = logging.getLogger("longtail.evaluation")

# Settings are compared on so many validation queries, always the same ones.
MAX_VALIDATION_QUERIES = 2_000
# The figure that settings are chosen by: overall, on the validation part.
TUNED_BY: Literal["recall@50"] = "recall@50"


def measure_baselines(
    training_set: TrainingSet,
    config: Config,
    *,
    names: Collection[str] | None = None,
    part: Literal["validation", "test"] = "test",
) -> dict[str, Baseline | LeftOut]:
    """Measure baselines on the pairs, candidates, exclusions and slices of an evaluation.

    Settings are tuned on the validation part, one after the other: each is tried at all of its
    values, and the best stays. No choice looks at the test part.

    Args:
        training_set: the training set of the day, or a fraction of it.
        config: the project; `evaluation.head_fraction` and `training.seed` are read.
        names: the baselines; default: all, `popularity` and `random` included.
        part: the part that they are measured on.

    Returns:
        For each name its chosen settings, its metrics by slice and notes, or the reason why it was
        left out.

    Raises:
        InputError: there is no baseline of a name.
    """
    known_names = (*UNTUNED, *TUNED)
    chosen = known_names if names is None else tuple(names)
    unknown = [name for name in chosen if name not in known_names]
    if unknown:
        raise InputError(
            f"no such baseline: {', '.join(unknown)}; there are {', '.join(known_names)}"
        )
    seed = config.training.seed
    held_out = held_out_pairs(training_set, part)
    validation = held_out_pairs(fewer_queries(training_set, MAX_VALIDATION_QUERIES), "validation")
    train_count = training_set.train_count[held_out.candidate]
    slices = item_slices(train_count, config.evaluation.head_fraction)
    found: dict[str, Baseline | LeftOut] = {}
    if any(name in UNTUNED for name in chosen):
        rankings = baseline_metrics(held_out, train_count, slices, seed=seed)
        by_name = {
            POPULARITY: rankings["popularity_ranking"],
            RANDOM: rankings["random_ranking"],
        }
        found |= {
            name: {"settings": {}, "metrics": metrics, "notes": []}
            for name, metrics in by_name.items()
            if name in chosen
        }
    known = known_of(training_set, held_out.candidate, seed=seed)
    place = popularity_order(train_count)
    for name in (name for name in chosen if name in TUNED):
        found[name] = _measure_method(TUNED[name], known, validation, held_out, place, slices)
    return {name: found[name] for name in chosen}


def _measure_method(
    method_class: type[Method],
    known: Known,
    validation: HeldOut,
    held_out: HeldOut,
    place: Int64Array,
    slices: Slices,
) -> Baseline | LeftOut:
    """Tune one method and measure it, or say why not."""
    start, processor_start = time.monotonic(), time.process_time()
    method = method_class(known)
    reason = method.left_out(held_out)
    if reason is not None:
        log.info("baseline %s is left out: %s", method.name, reason)
        return {"left_out": reason}
    notes = method.notes()
    if not len(validation.pair_item):
        notes.append("not tuned, for the validation part has no pair of a query and an item")
        settings, fitted = _first(method), None
    else:
        settings, fitted = _tuned(method, validation, place)
    ranks = _ranks(fitted or method.fit(settings), held_out, place)
    metrics = metrics_by_slice(ranks, held_out, slices)
    log.info(
        "baseline %s: %s %.4f overall, with %s; in %.1f s, processor %.1f s",
        method.name,
        TUNED_BY,
        metrics["overall"][TUNED_BY],
        ", ".join(f"{axis} {value}" for axis, value in settings.items()),
        time.monotonic() - start,
        time.process_time() - processor_start,
    )
    return {"settings": settings, "metrics": metrics, "notes": notes}


def _tuned(
    method: Method, validation: HeldOut, place: Int64Array
) -> tuple[Settings, Fitted | None]:
    """Return the best settings on the validation part; of equally good ones, the earliest.

    Also returns what was fitted with them, unless trials are on less data.
    """

    def trial(settings: Settings) -> tuple[float, Fitted]:
        fitted = method.trial(settings)
        ranks = _ranks(fitted, validation, place)
        return retrieval_metrics(ranks, validation.pair_query)[TUNED_BY], fitted

    best = _first(method)
    best_recall, best_fitted = trial(best)
    for axis, values in method.axes().items():
        for value in values[1:]:
            settings = {**best, axis: value}
            recall, fitted = trial(settings)
            if recall > best_recall:
                best, best_recall, best_fitted = settings, recall, fitted
    return best, None if method.trials_are_smaller else best_fitted


def _first(method: Method) -> Settings:
    """Return the settings that tuning begins with."""
    return {axis: values[0] for axis, values in method.axes().items()}


def _ranks(fitted: Fitted, held_out: HeldOut, place: Int64Array) -> Int64Array:
    """Return the `[P]` ranks of held-out pairs by a method's scores."""
    return ranks_by_score(
        lambda block: fitted(held_out.query[block], held_out.query_row[block]), held_out, place
    )
