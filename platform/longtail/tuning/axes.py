"""The axes: every hyper-parameter that can be tuned, its bounds, and when it has an effect.

To tune another key, add an entry to `_ALL`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from longtail.config import Config
from longtail.config.changes import setting, with_settings
from longtail.errors import InputError

Value = float | int | str | bool
Values = Mapping[str, Value]
NUM_EPOCHS = "training.num_epochs"
_SIGNIFICANT_DIGITS = 3


def _always(config: Config) -> bool:
    return True


def _contrasts(config: Config) -> bool:
    augmenter = config.self_supervision.augmenter
    return augmenter.contrasts and config.self_supervision.weight > 0.0


def _decays(config: Config) -> bool:
    return config.training.learning_rate_decay != "none"


@dataclass(frozen=True)
class Axis:
    """One hyper-parameter.

    Attributes:
        key: its dotted key in the configuration.
        distribution: its bounds, and whether its scale is logarithmic.
        applies: whether it has an effect, from the configuration with the axes before it. Where it
            has none, the configuration's own value stays.
        is_width: whether the value is the width of the only hidden layer.
    """

    key: str
    distribution: BaseDistribution
    applies: Callable[[Config], bool] = _always
    is_width: bool = False

    def setting(self, value: Value) -> Any:
        """Return the value as the configuration has it: a float with three digits."""
        if isinstance(self.distribution, FloatDistribution):
            return float(f"{value:.{_SIGNIFICANT_DIGITS}g}")
        return [value] if self.is_width else value

    def present(self, config: Config) -> Value:
        """Return the value that the configuration has now."""
        found: Any = setting(config, self.key)
        value: Value = found[0] if self.is_width else found
        return value

    def near(self, value: Value, step: float, choice: float) -> Value:
        """Return another value, at some distance.

        Args:
            value: the value to leave.
            step: how far to go, as a share of the axis; it may be negative.
            choice: which of the other choices, from 0 to 1, for an axis without a scale.
        """
        bounds: Any = self.distribution
        if isinstance(bounds, CategoricalDistribution):
            others: list[Any] = [other for other in bounds.choices if other != value]
            chosen: Value = others[int(choice * len(others))]
            return chosen
        low, high, place = float(bounds.low), float(bounds.high), float(value)
        if bounds.log:
            low, high, place = math.log(low), math.log(high), math.log(place)
        place = min(max(place + step * (high - low), low), high)
        moved = math.exp(place) if bounds.log else place
        inside: float = min(max(moved, bounds.low), bounds.high)
        return round(inside) if isinstance(bounds, IntDistribution) else inside


def _log(key: str, low: float, high: float, applies: Callable[[Config], bool] = _always) -> Axis:
    return Axis(key, FloatDistribution(low, high, log=True), applies)


def _linear(key: str, low: float, high: float, applies: Callable[[Config], bool] = _always) -> Axis:
    return Axis(key, FloatDistribution(low, high), applies)


def _one_of(
    key: str,
    choices: Sequence[Any],
    applies: Callable[[Config], bool] = _always,
    *,
    is_width: bool = False,
) -> Axis:
    return Axis(key, CategoricalDistribution(tuple(choices)), applies, is_width)


# What decides whether others have an effect comes before them.
_ALL = (
    _log("training.table_learning_rate", 0.005, 0.5),
    _log("training.tower_learning_rate", 0.0002, 0.02),
    _one_of("training.learning_rate_decay", ("none", "linear", "cosine")),
    # Without decay, one training shows what every number of epochs gives. With decay, the rates of
    # an epoch depend on the number, so that it has to be tried.
    Axis(NUM_EPOCHS, IntDistribution(2, 30, log=True), _decays),
    _one_of("training.average_epochs", (1, 2, 4)),
    _one_of("training.average_tables", (False, True), lambda c: c.training.average_epochs > 1),
    _linear("training.weight_decay", 0.0, 0.5),
    _linear("training.table_weight_decay", 0.0, 0.3),
    _linear("model.dropout", 0.0, 0.5),
    _one_of("model.hidden", (128, 256, 512, 1024), is_width=True),
    _one_of("model.output_dim", (64, 128, 256)),
    _one_of("model.item_bias", ("none", "learned"), lambda c: bool(c.model.hidden)),
    _log("loss.temperature", 0.02, 0.5),
    _linear("loss.logq_strength", 0.0, 1.0, lambda c: c.loss.logq != "none"),
    _one_of(
        "loss.logq_positive",
        ("sampled", "certain"),
        lambda c: c.loss.logq != "none" and c.loss.correct_positive,
    ),
    _one_of(
        "loss.correct_positive",
        (True, False),
        lambda c: c.loss.logq != "none" and c.loss.logq_positive == "sampled",
    ),
    _linear("history.drop_history", 0.0, 0.9, lambda c: c.history.length > 0),
    _linear("history.drop_query_id", 0.0, 0.9, lambda c: c.history.length > 0),
    _one_of("self_supervision.augmentation", ("none", "correlated_masking")),
    _log("self_supervision.weight", 0.01, 3.0, _contrasts),
    _log("self_supervision.temperature", 0.02, 0.5, _contrasts),
    _linear(
        "self_supervision.value_dropout",
        0.0,
        0.6,
        lambda c: _contrasts(c) and c.self_supervision.augmenter.makes_views,
    ),
    _linear(
        "self_supervision.feature_dropout",
        0.0,
        0.5,
        lambda c: c.self_supervision.augmenter.drops_features,
    ),
)
KEYS = tuple(axis.key for axis in _ALL)


def axes_of(config: Config, names: Sequence[str] | None = None) -> list[Axis]:
    """Return the axes that are tuned, each with bounds that hold the configuration's own value.

    An axis that the configuration cannot use is left out: the width of a hidden layer where there
    is not exactly one, and a weight that is 0 where the scale is logarithmic.

    Args:
        config: the present configuration.
        names: keys of axes; None: all.

    Raises:
        InputError: no axis has such a key, or the configuration can use none.
    """
    unknown = [name for name in names or () if name not in KEYS]
    if unknown:
        raise InputError(
            f"`longtail tune` cannot tune {', '.join(unknown)}; it can tune {', '.join(KEYS)}"
        )
    chosen = [axis for axis in _ALL if names is None or axis.key in names]
    # The number of epochs belongs to the decay: where that may come in, its number is tried, too.
    if names and "training.learning_rate_decay" in names and NUM_EPOCHS not in names:
        chosen = [axis for axis in _ALL if axis.key in (*names, NUM_EPOCHS)]
    found = [fitted for axis in chosen if (fitted := _fitted(axis, config)) is not None]
    if not found:
        raise InputError(
            f"nothing can be tuned: {', '.join(names or KEYS)} has no effect in this configuration"
        )
    return found


def settings_of(axes: Sequence[Axis], config: Config, values: Values) -> dict[str, Any]:
    """Return the settings, by dotted key, of the axes that have an effect with these values."""
    settings: dict[str, Any] = {}
    for axis in axes:
        if axis.applies(with_settings(config, settings)):
            value = values[axis.key]
            # The present value stays as it is, however many digits it has.
            is_own = value == axis.present(config) and not axis.is_width
            settings[axis.key] = value if is_own else axis.setting(value)
    return settings


def present_values(axes: Sequence[Axis], config: Config) -> dict[str, Value]:
    """Return the value of every axis in the present configuration."""
    return {axis.key: axis.present(config) for axis in axes}


def _fitted(axis: Axis, config: Config) -> Axis | None:
    """Return an axis with bounds that hold the present value; None if it cannot be used."""
    if axis.is_width and len(config.model.hidden) != 1:
        return None
    value: Any = axis.present(config)
    bounds: Any = axis.distribution
    if isinstance(bounds, CategoricalDistribution):
        choices = bounds.choices if value in bounds.choices else (*bounds.choices, value)
        return (
            replace(axis, distribution=CategoricalDistribution(choices))
            if len(choices) > 1
            else None
        )
    if axis.key == NUM_EPOCHS:
        bounds = IntDistribution(
            min(2, config.tuning.max_epochs), config.tuning.max_epochs, log=True
        )
    if bounds.log and value <= 0:
        return None
    low, high = min(bounds.low, value), max(bounds.high, value)
    return replace(axis, distribution=type(bounds)(low, high, log=bounds.log))
