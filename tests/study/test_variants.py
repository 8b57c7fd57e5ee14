"""The variants and presets: the configuration that each name stands for."""

import pytest

from longtail.config import Config, LossConfig, SelfSupervisionConfig, TrainingConfig
from longtail.config.changes import with_settings
from longtail.errors import InputError
from longtail.study.grid import Plan
from longtail.study.presets import PRESETS, preset
from longtail.study.variants import VARIANTS, check_variants

CONFIG = Config(
    feature_repo="/repo",
    loss=LossConfig(logq_strength=0.5, temperature=0.2),
    self_supervision=SelfSupervisionConfig(weight=0.7, value_dropout=0.2),
    training=TrainingConfig(num_epochs=4),
)
MASKED = ("random_masking", "independent_masking", "correlated_masking", "dropout_only")


@pytest.mark.parametrize("name", [*MASKED, "spread_out", "feature_dropout"])
def test_a_variant_changes_the_augmentation_alone(name: str) -> None:
    ssl = CONFIG.self_supervision.model_copy(update={"augmentation": name})
    assert VARIANTS[name](CONFIG) == CONFIG.model_copy(update={"self_supervision": ssl})


def test_the_other_variants() -> None:
    baseline = VARIANTS["baseline"](CONFIG)
    assert baseline.self_supervision.augmentation == "none"
    assert baseline.loss == CONFIG.loss
    assert baseline.training == CONFIG.training
    without = VARIANTS["correlated_masking_no_dropout"](CONFIG).self_supervision
    assert (without.augmentation, without.value_dropout) == ("correlated_masking", 0.0)
    assert without.weight == 0.7
    assert VARIANTS["default"](CONFIG) == CONFIG
    logq = VARIANTS["logq_only"](CONFIG)
    assert (logq.loss.logq, logq.loss.logq_strength) == ("exact", 1.0)
    assert not logq.loss.mixed_negatives
    assert logq.sample_size == 0
    assert not logq.model.start_alike
    assert logq.loss.temperature == 0.2


@pytest.mark.parametrize("measure", ["mutual_information", "normalized", "adjusted"])
def test_masks_by_measure(measure: str) -> None:
    changed = VARIANTS[f"correlated_masking_{measure}"](CONFIG)
    assert changed.correlation.measure == measure
    assert changed.self_supervision.augmentation == "correlated_masking"
    correlation = CONFIG.correlation
    assert changed.model_copy(update={"correlation": correlation}) == VARIANTS[
        "correlated_masking"
    ](CONFIG)
    assert Plan("", (f"correlated_masking_{measure}", "baseline")).measures(CONFIG) == {
        measure,
        CONFIG.correlation.measure,
    }


def test_names_are_checked() -> None:
    check_variants(VARIANTS)
    with pytest.raises(InputError, match=r"no such variant: cfm, rfm; there are baseline, corr"):
        check_variants(["baseline", "cfm", "rfm"])
    with pytest.raises(InputError, match=r"no such preset: papr; there are paper"):
        preset("papr")


def test_settings_are_checked_like_a_file() -> None:
    changed = with_settings(CONFIG, {"loss.temperature": 0.1, "training.seed": 3})
    assert (changed.loss.temperature, changed.training.seed) == (0.1, 3)
    assert CONFIG.loss.temperature == 0.2
    for key, value in (("loss.temperature", -1.0), ("loss.temprature", 0.1)):
        with pytest.raises(InputError, match="is not a valid configuration"):
            with_settings(CONFIG, {key: value})


def test_every_preset_can_be_run() -> None:
    for plan in PRESETS.values():
        plan.check()
        with_settings(CONFIG, plan.settings)
    paper = PRESETS["paper"]
    assert set(paper.variants) == {
        *(*MASKED, "baseline", "feature_dropout", "spread_out"),
        "correlated_masking_no_dropout",
    }
    assert (paper.fractions, paper.num_seeds, paper.tune) == ((1.0, 0.1), 3, True)
    setting = with_settings(CONFIG, paper.settings).loss
    assert (setting.logq, setting.mixed_negatives) == ("none", False)
    assert (setting.logq_strength, setting.temperature) == (1.0, 0.2)


def test_presets_and_variants_say_what_the_positive_is() -> None:
    """A project that has it certain, and several masks, can run the paper's setting."""
    changes = {"loss.logq_positive": "certain", "self_supervision.num_masks": 8}
    project = with_settings(CONFIG, changes)
    paper = with_settings(project, PRESETS["paper"].settings)
    assert (paper.loss.logq, paper.loss.logq_positive) == ("none", "sampled")
    assert paper.self_supervision.num_masks == 1
    assert VARIANTS["logq_only"](project).loss.logq_positive == "sampled"
    assert VARIANTS["default"](project) == project
    for name in ("baseline", *MASKED):
        assert VARIANTS[name](project).self_supervision.num_masks == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fractions": (1.0, 1.5)}, "1.5 is not a fraction"),
        ({"fractions": (0.0,)}, "0 is not a fraction"),
        ({"fractions": ()}, "at least one"),
        ({"variants": ("baseline", "baseline")}, "each of them once"),
    ],
)
def test_a_grid_that_cannot_be_run(changes: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"about": "", "variants": ("baseline",), **changes}
    with pytest.raises(InputError, match=message):
        Plan(**arguments).check()  # type: ignore[arg-type]


def test_less_data_gets_more_epochs_unless_their_number_is_given() -> None:
    plan = Plan("", ("baseline",))
    assert [plan.epochs(CONFIG, fraction) for fraction in (1.0, 0.25, 0.1)] == [4, 8, 13]
    given = Plan("", ("baseline",), num_epochs=7, same_epochs=True)
    assert [given.epochs(CONFIG, fraction) for fraction in (1.0, 0.1)] == [7, 7]
