"""The values that are tried next: near the best so far, or drawn by Optuna's TPE."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, Trial

from longtail.tuning.axes import Axis, Value, Values

# From then on, TPE draws every second trial. Fewer say too little of so many axes.
NUM_TRIALS_BEFORE_TPE = 10
# A step is a share of an axis: with a standard deviation of a fifth, a temperature is about doubled
# or halved.
_STEP = 0.2
_LEAST_STEP = 0.05
_MOST_CHANGES = 4


class _Given(BaseSampler):  # type: ignore[misc, unused-ignore]
    """Returns given values."""

    def __init__(self, values: Values) -> None:
        self._values = dict(values)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return no axis: each is asked for alone."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return no value."""
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the value of an axis."""
        return self._values[param_name]


def ask_given(study: Study, axes: Sequence[Axis], values: Values) -> Trial:
    """Begin a trial with given values."""
    study.sampler = _Given(values)
    return study.ask(_distributions(axes))


def ask_tpe(study: Study, axes: Sequence[Axis], seed: Sequence[int]) -> Trial:
    """Begin a trial with values that TPE draws (Bergstra et al. 2011), all axes together.

    The sampler begins anew with each trial, so that what it draws follows from the trials before
    and the seed, whether or not they were run in one go.
    """
    number = int(np.random.default_rng([*seed, 1]).integers(2**31))
    study.sampler = TPESampler(seed=number, multivariate=True, n_startup_trials=1)
    return study.ask(_distributions(axes))


def near(axes: Sequence[Axis], best: Values, seed: Sequence[int]) -> dict[str, Value]:
    """Return the best values so far with one to four of them changed.

    With few trials for many axes, most of a random configuration is worse than what a project has;
    a change of a few axes keeps the rest.
    """
    generator = np.random.default_rng([*seed, 0])
    most = min(_MOST_CHANGES, len(axes))
    changed = generator.permutation(len(axes))[: generator.integers(1, most, endpoint=True)]
    steps, choices = generator.normal(0.0, _STEP, len(axes)), generator.random(len(axes))
    steps += np.copysign(_LEAST_STEP, steps)
    values = dict(best)
    for number in changed:
        axis = axes[number]
        values[axis.key] = axis.near(best[axis.key], float(steps[number]), float(choices[number]))
    return values


def _distributions(axes: Sequence[Axis]) -> dict[str, BaseDistribution]:
    return {axis.key: axis.distribution for axis in axes}
