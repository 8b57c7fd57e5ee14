"""The hyper-parameters that are tried for a variant."""

from collections.abc import Sequence
from dataclasses import dataclass

from longtail.config import Config
from longtail.config.changes import setting
from longtail.study.variants import BASELINE, VARIANTS

LEARNING_RATES = ("training.table_learning_rate", "training.tower_learning_rate")
TEMPERATURE = "loss.temperature"
WEIGHT = "self_supervision.weight"
SELF_TEMPERATURE = "self_supervision.temperature"
VALUE_DROPOUT = "self_supervision.value_dropout"
FEATURE_DROPOUT = "self_supervision.feature_dropout"

MAX_EXTENSIONS = 2


@dataclass(frozen=True)
class Axis:
    """Values to try for some settings while all others stay the same.

    Attributes:
        keys: dotted keys that change together.
        values: the new values, or the factors if `scale`.
        scale: multiply the current values by `values`.
        extends: if the first or last value is the best, go on beyond it.
    """

    keys: tuple[str, ...]
    values: tuple[float, ...]
    scale: bool = False
    extends: bool = False

    def settings(self, config: Config, value: float) -> dict[str, float]:
        """Return the settings for one of the values; `config` has the current settings."""
        return {key: value * setting(config, key) if self.scale else value for key in self.keys}

    def beyond(self, tried: Sequence[float], best: float) -> float | None:
        """Return the next value if the best one so far is the first or the last, else None."""
        values = sorted(tried)
        if not self.extends or len(values) < 2:
            return None
        if len(values) >= len(self.values) + MAX_EXTENSIONS:
            return None
        # The next value continues the ratio of the last two.
        if best == values[0]:
            return values[0] * values[0] / values[1]
        if best == values[-1]:
            return values[-1] * values[-1] / values[-2]
        return None


def axes(variant: str, base: Config) -> list[Axis]:
    """Return the axes of a variant, in the order in which they are searched.

    A variant starts from the temperature that was chosen for the baseline, and keeps it unless
    `study.own_temperatures`, so that its trials go to its own settings. Every variant tunes its
    learning rates: on the demo, without logQ, the baseline was best with low ones after one epoch,
    and correlated masking with higher ones after several.
    """
    config, study = VARIANTS[variant](base), base.study
    augmenter = config.self_supervision.augmenter
    temperature = Axis((TEMPERATURE,), study.temperatures, extends=True)
    rates = Axis(LEARNING_RATES, (0.5, 2.0), scale=True)
    if not augmenter.contrasts and not augmenter.drops_features:
        # The other variants get trials for their own temperatures, so this one gets the same number
        # of additional trials.
        tables = Axis(LEARNING_RATES[:1], (0.25, 0.5, 2.0), scale=True)
        return [
            Axis(LEARNING_RATES, study.learning_rate_scales, scale=True, extends=True),
            temperature,
            Axis(LEARNING_RATES[1:], (0.5, 2.0), scale=True),
            *([tables] if study.own_temperatures else []),
        ]
    first = [temperature] if study.own_temperatures else []
    if augmenter.drops_features:
        return [*first, Axis((FEATURE_DROPOUT,), study.feature_dropouts), rates]
    weight = Axis((WEIGHT,), study.weights, extends=True)
    self_temperature = Axis((SELF_TEMPERATURE,), study.self_supervision_temperatures)
    if not augmenter.view_dropout:
        last = Axis((WEIGHT,), (0.55, 1.8), scale=True)
    else:
        last = Axis((VALUE_DROPOUT,), study.value_dropouts)
    return [*first, weight, self_temperature, rates, last]


def num_trials(variant: str, base: Config) -> int:
    """Return the number of trials before extensions: all values of the axes, none twice."""
    config = VARIANTS[variant](base)
    total = 0
    for number, axis in enumerate(axes(variant, base)):
        # From the second axis on, the current value was tried with the axis before.
        tried = number > 0 and not axis.scale and setting(config, axis.keys[0]) in axis.values
        total += len(axis.values) - (1 if tried else 0)
    return total


def inherited_keys() -> tuple[str, ...]:
    """Return the keys that the other variants take over from the baseline's choice."""
    return (TEMPERATURE,)


def waits_for_baseline(variant: str, variants: Sequence[str], *, tune: bool) -> bool:
    """Return whether a variant can begin only after the baseline's settings are chosen."""
    return tune and variant != BASELINE and BASELINE in variants
