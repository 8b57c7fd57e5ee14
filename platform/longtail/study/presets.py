"""The presets: complete plans of studies that have a name."""

from longtail.errors import InputError
from longtail.study.grid import Plan
from longtail.study.variants import BASELINE

# As in Yao et al. 2021: no correction of the batch softmax, and towers that start independently.
# Tuning starts from these temperatures and alpha, which were chosen on the demo's validation data.
_AS_IN_THE_PAPER = {
    "loss.logq": "none",
    "loss.logq_strength": 1.0,
    "loss.logq_positive": "sampled",
    "loss.mixed_negatives": False,
    "loss.cold_negative_weight": 1.0,
    "loss.accidental_hits": "known_positives",
    "loss.unborn_negatives": False,
    "loss.temperature": 0.2,
    "model.start_alike": False,
    "sharding.optimizer": "adagrad",
    "training.table_learning_rate": 0.02,
    "self_supervision.temperature": 0.02,
    "self_supervision.weight": 1.0,
    "self_supervision.num_masks": 1,
}

PLAIN = Plan("The configuration as it is", (BASELINE, "correlated_masking"))
PRESETS = {
    "paper": Plan(
        "Tables 2 to 5 of Yao et al. 2021: every variant tuned with the same budget",
        variants=(
            *(BASELINE, "feature_dropout", "spread_out"),
            *("correlated_masking", "correlated_masking_no_dropout"),
            *("random_masking", "independent_masking", "dropout_only"),
        ),
        fractions=(1.0, 0.1),
        num_epochs=5,
        tune=True,
        settings=_AS_IN_THE_PAPER,
    ),
    "default": Plan(
        "The configuration as it is, against logQ alone",
        variants=("logq_only", "logq_only_own_start", "default"),
        num_epochs=5,
        reference="logq_only_own_start",
    ),
    "masks": Plan(
        "The configuration without self-supervision, with random masks, and with masks by measure",
        variants=(
            *(BASELINE, "random_masking", "correlated_masking_mutual_information"),
            *("correlated_masking_normalized", "correlated_masking_adjusted"),
        ),
        num_epochs=5,
    ),
    "quick": Plan(
        "The paper's comparison in a few minutes, untuned",
        variants=(BASELINE, "correlated_masking"),
        fractions=(0.1,),
        num_seeds=3,
        num_epochs=3,
        settings=_AS_IN_THE_PAPER,
    ),
}


def preset(name: str | None) -> Plan:
    """Return the preset of a name; without a name, the configuration as it is.

    Raises:
        InputError: there is no preset of that name.
    """
    if name is None:
        return PLAIN
    if name not in PRESETS:
        raise InputError(f"no such preset: {name}; there are {', '.join(PRESETS)}")
    return PRESETS[name]
