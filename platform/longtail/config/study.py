"""The section about `longtail study`."""

from typing import Literal

from pydantic import Field

from longtail.config.section import Fraction, PositiveFloat, PositiveInt, Section


class StudyConfig(Section):
    """`longtail study --tune`: which hyper-parameters are tried, and how the best are chosen.

    All trials are measured on the validation part. Learning rates are tried as multiples of the
    ones in hand, everything else as it stands here. Where the best value of `weights`,
    `temperatures` or `learning_rate_scales` is the first or the last, up to two more beyond it are
    tried.
    """

    metric: Literal["recall@10", "recall@50", "map@10", "map@50"] = "recall@50"
    metric_slice: Literal["overall", "head", "tail", "cold"] = "overall"
    max_validation_queries: PositiveInt = Field(
        5_000, description="queries asked after an epoch; a fixed random choice among more"
    )
    patience: PositiveInt = Field(2, description="epochs without a better figure end a trial")
    tuning_seed: int = Field(0, description="of all trials; the cells reported have seeds from 1")
    weights: tuple[PositiveFloat, ...] = Field((0.3, 1.0, 3.0), description="alpha")
    value_dropouts: tuple[Fraction, ...] = (0.1, 0.3, 0.5)
    feature_dropouts: tuple[Fraction, ...] = (0.02, 0.05, 0.1, 0.2, 0.3)
    learning_rate_scales: tuple[PositiveFloat, ...] = (0.5, 1.0, 2.0)
    temperatures: tuple[PositiveFloat, ...] = (0.1, 0.2, 0.3)
    own_temperatures: bool = Field(
        False, description="every variant tries these, not only the baseline, whose choice it has"
    )
    self_supervision_temperatures: tuple[PositiveFloat, ...] = (0.02, 0.05)
