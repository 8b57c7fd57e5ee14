"""Intervals over seeds, against scipy."""

import numpy as np
import pytest
from scipy import stats

from longtail.study.intervals import mean_interval, student_t


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 8, 9, 30])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_students_t(degrees: int, confidence: float) -> None:
    expected = stats.t.ppf((1 + confidence) / 2, degrees)
    assert student_t(degrees, confidence) == pytest.approx(expected, rel=1e-9)


def test_the_interval_of_a_mean() -> None:
    values = [0.31, 0.29, 0.35, 0.30, 0.27]
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    found = mean_interval(values)
    assert found.mean == pytest.approx(np.mean(values))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.num_values == 5


def test_one_value_has_no_interval() -> None:
    found = mean_interval([0.3])
    assert (found.mean, found.low, found.high, found.num_values) == (0.3, None, None, 1)


def test_equal_values_have_an_interval_of_nothing() -> None:
    found = mean_interval([0.5, 0.5, 0.5])
    assert (found.low, found.high) == (0.5, 0.5)
