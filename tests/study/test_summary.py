"""Means, gains and paired differences, by hand and against scipy."""

import pytest
from scipy import stats

from longtail.evaluation.results import SLICES
from longtail.study.cells import Document
from longtail.study.summary import METRICS, summarize
from longtail.study.tables import index
from tests.study.tiny import metrics_of

BASELINE = {1: 0.20, 2: 0.25, 3: 0.30}
MASKED = {1: 0.24, 2: 0.28, 3: 0.35}


def cells(variant: str, levels: dict[int, float], fraction: float = 1.0) -> list[Document]:
    return [
        {
            "variant": variant,
            "fraction": fraction,
            "seed": seed,
            "num_epochs": 3,
            "settings": {},
            "metrics": metrics_of(level),
        }
        for seed, level in levels.items()
    ]


def test_paired_by_seed_not_by_place() -> None:
    shuffled = dict(reversed(MASKED.items()))
    rows = summarize([*cells("baseline", BASELINE), *cells("correlated_masking", shuffled)])
    assert len(rows) == 2 * len(SLICES) * len(METRICS)
    row = index(rows)["correlated_masking", 1.0, "tail", "recall@50"]
    assert row["mean"] == pytest.approx(0.29)
    assert row["relative_gain"] == pytest.approx(0.29 / 0.25 - 1)
    assert row["num_seeds"] == 3
    # Differences .04, .03, .05: mean .04, deviation .01, t(2) = 4.302653.
    half = 4.302653 * 0.01 / 3**0.5
    paired = row["difference"]
    assert (paired["mean"], paired["num_seeds"]) == (pytest.approx(0.04), 3)
    assert (paired["low"], paired["high"]) == pytest.approx((0.04 - half, 0.04 + half), rel=1e-6)
    test = stats.ttest_rel(list(MASKED.values()), list(BASELINE.values()))
    interval = test.confidence_interval(0.95)
    assert (paired["low"], paired["high"]) == pytest.approx((interval.low, interval.high))
    relative = row["relative_difference"]
    assert relative["high"] == pytest.approx(interval.high / 0.25)
    assert row["paper"] is None


def test_the_paper_stands_beside() -> None:
    rows = index(summarize([*cells("baseline", BASELINE), *cells("spread_out", MASKED)]))
    expected = {"wikipedia": pytest.approx(0.1956 / 0.1930 - 1)}
    assert rows["spread_out", 1.0, "overall", "recall@50"]["paper"] == expected


def test_only_seeds_that_both_have_are_paired() -> None:
    rows = index(summarize([*cells("baseline", {1: 0.2, 2: 0.3}), *cells("default", {2: 0.4})]))
    row = rows["default", 1.0, "overall", "map@10"]
    assert row["difference"] == {
        "mean": pytest.approx(0.1),
        "low": None,
        "high": None,
        "num_seeds": 1,
    }
    assert row["relative_gain"] == pytest.approx(0.4 / 0.25 - 1)


def test_without_a_baseline_there_is_no_gain() -> None:
    alone = index(summarize(cells("default", MASKED)))["default", 1.0, "overall", "map@10"]
    assert (alone["relative_gain"], alone["difference"]) == (None, None)
    other = [*cells("baseline", BASELINE, 0.1), *cells("default", MASKED, 1.0)]
    assert index(summarize(other))["default", 1.0, "overall", "map@10"]["difference"] is None
    nothing = [*cells("baseline", {1: 0.0}), *cells("default", {1: 0.1})]
    assert index(summarize(nothing))["default", 1.0, "cold", "map@10"]["relative_gain"] is None
