"""The section about `longtail study`."""

from typing import Annotated, Literal

from pydantic import Field

from longtail.config.section import NO_UNIT, Fraction, PositiveFloat, PositiveInt, Section, Unit


class StudyConfig(Section):
    """The hyper-parameters that `longtail study --tune` tries, and how the best are chosen.

    All trials are measured on the validation part. Learning rates are tried as multiples of the
    best ones so far, everything else by the values given here. If the best value of `weights`,
    `temperatures` or `learning_rate_scales` is the first or the last of the list, up to two more
    beyond it are tried.
    """

    metric: Literal["recall@10", "recall@50", "map@10", "map@50"] = Field(
        "recall@50",
        description="Figure of the validation part by which hyper-parameters and epochs are "
        "chosen.",
    )
    metric_slice: Literal["overall", "head", "tail", "cold"] = Field(
        "overall",
        description="Slice of the catalogue in which `metric` is taken. Choose `tail` to tune for "
        "rare items.",
    )
    max_validation_queries: Annotated[PositiveInt, Unit("queries")] = Field(
        5_000,
        description="Largest number of queries asked after an epoch; of more, a fixed random "
        "choice. Raise it for steadier figures, lower it for faster epochs.",
    )
    patience: Annotated[PositiveInt, Unit("epochs")] = Field(
        2,
        description="Epochs without a better figure that end a trial. Raise it when trials stop "
        "too early.",
    )
    tuning_seed: Annotated[int, NO_UNIT] = Field(
        0,
        description="Seed of all trials. The reported cells have seeds from 1 on.",
    )
    weights: Annotated[tuple[PositiveFloat, ...], NO_UNIT] = Field(
        (0.3, 1.0, 3.0),
        description="Values of `self_supervision.weight` (alpha) to try, for variants with "
        "self-supervision.",
    )
    value_dropouts: Annotated[tuple[Fraction, ...], Unit("probability")] = Field(
        (0.1, 0.3, 0.5),
        description="Values of `self_supervision.value_dropout` to try, for variants that drop "
        "values.",
    )
    feature_dropouts: Annotated[tuple[Fraction, ...], Unit("probability")] = Field(
        (0.02, 0.05, 0.1, 0.2, 0.3),
        description="Values of `self_supervision.feature_dropout` to try, for the variant "
        "`feature_dropout`.",
    )
    learning_rate_scales: Annotated[tuple[PositiveFloat, ...], Unit("factor")] = Field(
        (0.5, 1.0, 2.0),
        description="Factors on both learning rates to try, for variants without self-supervision, "
        "such as `baseline`.",
    )
    temperatures: Annotated[tuple[PositiveFloat, ...], NO_UNIT] = Field(
        (0.1, 0.2, 0.3),
        description="Values of `loss.temperature` to try, for variants without self-supervision, "
        "such as `baseline`; see `own_temperatures`.",
    )
    own_temperatures: bool = Field(
        False,
        description="Try `temperatures` for every variant, not only for the baseline. Without it, "
        "the other variants take over the baseline's choice. Switch it on for a comparison in "
        "which no variant inherits a temperature.",
    )
    self_supervision_temperatures: Annotated[tuple[PositiveFloat, ...], NO_UNIT] = Field(
        (0.02, 0.05),
        description="Values of `self_supervision.temperature` to try, for variants with "
        "self-supervision.",
    )
