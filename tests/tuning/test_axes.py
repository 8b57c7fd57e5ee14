"""The axes: their bounds hold the present value, and settings are those that have an effect."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtail.config import Config
from longtail.config.changes import with_settings
from longtail.errors import InputError
from longtail.tuning.axes import KEYS, axes_of, present_values, settings_of
from longtail.tuning.next_trial import near


def config_of(**settings: Any) -> Config:
    changes = {key.replace("__", "."): value for key, value in settings.items()}
    return with_settings(Config(feature_repo=Path()), changes)


def test_the_present_values_are_the_present_settings() -> None:
    config = config_of(loss__temperature=0.0612345, model__hidden=[300])
    axes = axes_of(config)
    settings = settings_of(axes, config, present_values(axes, config))
    assert with_settings(config, settings) == config
    assert settings["loss.temperature"] == 0.0612345
    assert settings["model.hidden"] == [300]
    assert "training.num_epochs" not in settings  # without decay it is read off the curve
    assert "training.average_tables" not in settings


def test_every_key_can_be_tuned_somewhere() -> None:
    config = config_of(
        training__learning_rate_decay="cosine",
        training__average_epochs=4,
        history__length=5,
        self_supervision__augmentation="feature_dropout",
    )
    axes = axes_of(config)
    found = set(settings_of(axes, config, present_values(axes, config)))
    plain = config_of()
    axes = axes_of(plain)
    found |= set(settings_of(axes, plain, present_values(axes, plain)))
    assert found == set(KEYS)


@pytest.mark.parametrize(
    ("settings", "values", "absent"),
    [
        ({"loss__logq": "none"}, {}, {"loss.logq_strength", "loss.logq_positive"}),
        ({}, {"loss.logq_positive": "certain"}, {"loss.correct_positive"}),
        ({}, {"self_supervision.augmentation": "none"}, {"self_supervision.weight"}),
        ({}, {"training.learning_rate_decay": "linear"}, set()),
    ],
)
def test_what_has_no_effect_is_left_out(
    settings: dict[str, Any], values: dict[str, Any], absent: set[str]
) -> None:
    config = config_of(**settings)
    axes = axes_of(config)
    found = settings_of(axes, config, {**present_values(axes, config), **values})
    assert absent.isdisjoint(found)
    decays = values.get("training.learning_rate_decay") == "linear"
    assert ("training.num_epochs" in found) == decays
    with_settings(config, found)


def test_bounds_are_widened_to_the_present_value() -> None:
    config = config_of(loss__temperature=0.9, model__output_dim=96)
    temperature, output_dim = axes_of(config, ["loss.temperature", "model.output_dim"])[::-1]
    assert temperature.key == "loss.temperature"
    assert temperature.distribution.high == 0.9  # type: ignore[attr-defined]
    assert output_dim.distribution.choices == (64, 128, 256, 96)  # type: ignore[attr-defined]


def test_the_decay_brings_its_number_of_epochs() -> None:
    keys = [axis.key for axis in axes_of(config_of(), ["training.learning_rate_decay"])]
    assert keys == ["training.learning_rate_decay", "training.num_epochs"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["loss.temprature"], "cannot tune loss.temprature; it can tune training.table_learning"),
        (["model.hidden"], "nothing can be tuned: model.hidden has no effect"),
    ],
)
def test_wrong_names(names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        axes_of(config_of(model__hidden=[64, 64]), names)


def test_values_near_the_best_stay_valid_and_change_one_to_four() -> None:
    config = config_of()
    axes = axes_of(config)
    values = start = present_values(axes, config)
    for number in range(80):
        following = near(axes, values, (0, number))
        changed = [key for key in following if following[key] != values[key]]
        assert len(changed) <= 4
        for axis in axes:
            assert axis.distribution._contains(
                axis.distribution.to_internal_repr(following[axis.key])
            )
        with_settings(config, settings_of(axes, config, following))
        values = following
    assert all(values[key] != start[key] for key in ("loss.temperature", "model.dropout"))
    assert near(axes, start, (0, 5)) == near(axes, start, (0, 5))
    assert near(axes, start, (0, 5)) != near(axes, start, (1, 5))


def test_a_step_of_a_logarithmic_axis_multiplies() -> None:
    (axis,) = axes_of(config_of(), ["loss.temperature"])  # from .02 to .5
    assert axis.near(0.1, 0.2, 0.0) == pytest.approx(0.1 * 25**0.2)
    assert axis.near(0.1, -0.2, 0.0) == pytest.approx(0.1 / 25**0.2)
    assert axis.near(0.1, 9.0, 0.0) == 0.5
    (dropout,) = axes_of(config_of(), ["model.dropout"])
    assert dropout.near(0.1, 0.2, 0.0) == pytest.approx(0.2)
    assert dropout.near(0.1, -0.9, 0.0) == 0.0
    (decay, epochs) = axes_of(config_of(), ["training.learning_rate_decay"])
    assert [decay.near("none", 0.0, share) for share in np.linspace(0, 0.99, 4)] == [
        *("linear", "linear"),
        *("cosine", "cosine"),
    ]
    assert epochs.near(10, 0.1, 0.0) == round(10 * 15**0.1)
