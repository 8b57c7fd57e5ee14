"""The axes of the variants, and a search that goes on beyond their ends."""

import pytest

from longtail.config import Config, SelfSupervisionConfig, StudyConfig
from longtail.study.cells import Cell
from longtail.study.search_axes import Axis, axes, num_trials
from longtail.study.tuning import Search, best_epoch
from longtail.study.variants import VARIANTS
from tests.study.tiny import QUICK_STUDY, metrics_of

CONFIG = Config(feature_repo="/repo")


@pytest.mark.parametrize("own_temperatures", [False, True])
def test_every_variant_has_trials_and_the_baseline_most(own_temperatures: bool) -> None:
    study = StudyConfig(own_temperatures=own_temperatures)
    config = CONFIG.model_copy(update={"study": study})
    counts = {variant: num_trials(variant, config) for variant in VARIANTS}
    assert counts["baseline"] == max(counts.values())
    own = ("spread_out", "correlated_masking_no_dropout", "correlated_masking", "random_masking")
    assert len({counts[variant] for variant in own}) <= 2
    assert max(counts[v] for v in own) - min(counts[v] for v in own) <= 1


def test_values_in_hand_are_counted_once() -> None:
    config = CONFIG.model_copy(
        update={"self_supervision": SelfSupervisionConfig(temperature=0.2, value_dropout=0.25)}
    )
    study = QUICK_STUDY
    tuned = config.model_copy(update={"study": study})
    # Two weights; temperatures 0.1 and 0.2, of which 0.2 is the current value; two scales of the
    # learning rates; two dropouts, none of them the current value.
    assert num_trials("correlated_masking", tuned) == 2 + 1 + 2 + 2


def test_a_scale_multiplies_what_is_in_hand() -> None:
    axis = Axis(
        ("training.table_learning_rate", "training.tower_learning_rate"), (2.0,), scale=True
    )
    assert axis.settings(CONFIG, 2.0) == {
        "training.table_learning_rate": 2 * CONFIG.training.table_learning_rate,
        "training.tower_learning_rate": 2 * CONFIG.training.tower_learning_rate,
    }
    assert Axis(("loss.temperature",), (0.3,)).settings(CONFIG, 0.3) == {"loss.temperature": 0.3}


def test_beyond_the_ends() -> None:
    axis = Axis(("self_supervision.weight",), (0.1, 0.3, 0.6), extends=True)
    assert axis.beyond([0.1, 0.3, 0.6], 0.3) is None
    assert axis.beyond([0.1, 0.3, 0.6], 0.6) == pytest.approx(1.2)
    assert axis.beyond([0.1, 0.3, 0.6], 0.1) == pytest.approx(0.1 / 3)
    assert axis.beyond([0.1, 0.3, 0.6, 1.2], 1.2) == pytest.approx(2.4)
    assert axis.beyond([0.1, 0.3, 0.6, 1.2, 2.4], 2.4) is None
    assert Axis(axis.keys, axis.values).beyond([0.1, 0.3, 0.6], 0.6) is None


def test_the_first_of_the_best_epochs() -> None:
    levels = {1: 0.2, 2: 0.5, 3: 0.4, 4: 0.5}
    curve = [{"epoch": epoch, "metrics": metrics_of(level)} for epoch, level in levels.items()]
    assert best_epoch(curve, QUICK_STUDY) == (0.5, 2)


def test_a_search_follows_the_best_value_outwards_and_never_repeats_a_trial() -> None:
    base = CONFIG.model_copy(update={"study": QUICK_STUDY})

    def make_trial(settings: dict[str, float]) -> Cell:
        return Cell("correlated_masking", 1.0, 0, 1, "validation", settings, base, "data")

    # The best weight, 60, is beyond the last value of the axis.
    search = Search("correlated_masking", base, {"loss.temperature": 0.3}, make_trial)
    steps = search.steps()
    asked, seen = next(steps), []
    try:
        while True:
            seen += asked
            documents = []
            for cell in asked:
                ssl = cell.config.self_supervision
                level = 0.9 - 0.01 * abs(ssl.weight - 60) - 0.1 * abs(ssl.temperature - 0.1)
                documents.append({"curve": [{"epoch": 1, "metrics": metrics_of(level)}]})
            asked = steps.send(documents)
    except StopIteration:
        pass
    weights = [cell.settings["self_supervision.weight"] for cell in seen[:4]]
    assert weights == pytest.approx([0.1, 1.0, 10.0, 100.0])
    assert len({cell.name for cell in seen}) == len(seen)
    assert search.choice is not None
    assert search.choice.settings["self_supervision.weight"] == pytest.approx(100.0)
    assert search.choice.settings["self_supervision.temperature"] == pytest.approx(0.1)
    assert search.choice.settings["loss.temperature"] == 0.3
    assert set(search.choice.trials) == {cell.name for cell in seen}


def test_the_axes_follow_the_configuration_not_the_name() -> None:
    kinds = {variant: [axis.keys[0] for axis in axes(variant, CONFIG)] for variant in VARIANTS}
    assert kinds["default"] == kinds["correlated_masking"]
    assert kinds["logq_only"] == kinds["baseline"]
    assert "self_supervision.value_dropout" not in kinds["correlated_masking_no_dropout"]
    assert kinds["feature_dropout"] == [
        "self_supervision.feature_dropout",
        "training.table_learning_rate",
    ]


def test_temperatures_are_the_baselines_unless_each_has_its_own() -> None:
    own = CONFIG.model_copy(update={"study": StudyConfig(own_temperatures=True)})
    for variant in VARIANTS:
        shared = [axis.keys for axis in axes(variant, CONFIG)]
        assert (("loss.temperature",) in shared) == (
            variant in ("baseline", "logq_only", "logq_only_own_start")
        )
        assert ("loss.temperature",) in [axis.keys for axis in axes(variant, own)]
