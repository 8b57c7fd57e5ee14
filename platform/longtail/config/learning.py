"""The sections about what is learned: the towers, the losses, the self-supervised task."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from longtail.augmentation.augmentation_base import Augmentation
from longtail.augmentation.registry import AUGMENTATIONS
from longtail.config.section import (
    NO_UNIT,
    Choices,
    Fraction,
    PositiveFloat,
    PositiveInt,
    Section,
    Unit,
)


class ModelConfig(Section):
    """The shape of the two towers, and how they start."""

    hidden: Annotated[tuple[PositiveInt, ...], Unit("neurons")] = Field(
        (512,),
        description="Width of each hidden layer, first layer first. Lower it for faster steps; "
        "raise it when the training loss stays high.",
    )
    output_dim: Annotated[PositiveInt, Unit("numbers per vector")] = Field(
        128,
        description="Length of the published embeddings. Lower it when the index or the online "
        "store is too large.",
    )
    dropout: Annotated[float, Field(ge=0.0, lt=1.0), Unit("probability")] = Field(
        0.0,
        description="Probability that a neuron of a hidden layer is left out of a training step. 0 "
        "leaves out none. Raise it, such as to 0.2, when validation recall falls while the "
        "training loss does, too.",
    )
    item_bias: Literal["none", "learned"] = Field(
        "none",
        description="`learned` adds a number to the scores of each item, which the item tower "
        "learns from its features. With `none` a score is a cosine alone, which leaves popularity "
        "little room. Try `learned` when a popularity ranking or a linear model finds more head "
        "items than yours.",
    )
    start_alike: bool = Field(
        True,
        description="Start both towers with the same weights where their features share tables, so "
        "that a query is near items like it before anything is learned. Switch it off to compare.",
    )

    @model_validator(mode="after")
    def _bias_has_neurons(self) -> Self:
        if self.item_bias == "learned" and not self.hidden:
            raise ValueError(
                "`model` has `item_bias: learned`, which is computed from the last hidden layer, "
                "and `hidden: []`: give it a layer, or leave item_bias out"
            )
        return self


class LossConfig(Section):
    """The supervised loss: batch softmax with its corrections (model/METHOD.md)."""

    temperature: Annotated[PositiveFloat, NO_UNIT] = Field(
        0.06,
        description="Cosines are divided by it (tau) before the softmax. Raise it when the loss is "
        "not finite. Without logQ, a low one favours the tail and a high one the head.",
    )
    logq: Literal["exact", "streaming", "none"] = Field(
        "exact",
        description="Source of the sampling probabilities in the popularity correction: `exact` "
        "takes training frequencies, `streaming` estimates them while training goes on, `none` "
        "corrects nothing.",
    )
    logq_strength: Fraction = Field(
        1.0,
        description="Share of the logQ correction that is applied. 1 makes the negatives stand for "
        "the whole catalogue; less lets scores grow less with popularity, which favours the tail.",
    )
    streaming_rate: Annotated[float, Field(gt=0.0, le=1.0), Unit("share")] = Field(
        0.05,
        description="Weight of the newest interval in the estimate of `logq: streaming`. Raise it "
        "if popularity changes fast.",
    )
    correct_positive: bool = Field(
        True,
        description="Apply logQ to the positive's logit, too. Switch it off to compare with the "
        "literature.",
    )
    logq_positive: Literal["sampled", "certain"] = Field(
        "sampled",
        description="Part of the positive in the corrected softmax: `sampled` takes it for a draw "
        "like the negatives (Yi et al. 2019), `certain` for no draw, so that each example weighs "
        "as much as the model misses its positive (Khrylchenko et al. 2025). Try `certain` when "
        "tail and cold items matter more than the head.",
    )
    mixed_negatives: bool = Field(
        True,
        description="Add uniformly drawn catalogue items to the candidates of every example. "
        "Switch it off to train on in-batch negatives alone.",
    )
    negatives_across_ranks: bool = Field(
        False,
        description="Score every example against the candidates of all ranks, as if one rank had "
        "the whole batch. Without it, each rank uses only its own. Switch it on when several ranks "
        "must learn what one would.",
    )
    accidental_hits: Literal["own_item", "known_positives"] = Field(
        "own_item",
        description="Items that are never a negative of an example: `own_item` leaves out its own "
        "item, `known_positives` every training item of its query. The second costs recall on the "
        "demo.",
    )
    unborn_negatives: bool = Field(
        True,
        description="Let an item be a negative of examples from before the item's first row. "
        "Switching it off costs recall on the demo.",
    )
    cold_negative_weight: Fraction = Field(
        0.02,
        description="Weight of a uniform negative that has no training interaction. Such an item "
        "is never a positive, so 1 pushes it away from every query, and 0 leaves nothing that "
        "holds it in place. Raise it when cold items crowd out right answers.",
    )

    @model_validator(mode="after")
    def _positive_has_one_rule(self) -> Self:
        if self.logq_positive == "certain" and self.logq == "none":
            raise ValueError(
                "`loss` has `logq_positive: certain`, which needs sampling probabilities, and "
                "`logq: none`: set logq to exact or streaming, or leave logq_positive out"
            )
        if self.logq_positive == "certain" and not self.correct_positive:
            raise ValueError(
                "`loss` has `logq_positive: certain` and `correct_positive: false`, which both say "
                "what the positive's logit is: leave one of them out"
            )
        return self


class SelfSupervisionConfig(Section):
    """The auxiliary task of Yao et al. 2021 over sampled catalogue items, and its rivals."""

    augmentation: Annotated[str, Choices(tuple(AUGMENTATIONS))] = Field(
        "correlated_masking",
        json_schema_extra={"enum": list(AUGMENTATIONS)},
        description="Change made to items before two views of each are compared. `feature_dropout` "
        "augments the items of the supervised loss and has no L_self; `none` does nothing. See "
        "model/METHOD.md for each.",
    )
    weight: Annotated[float, Field(ge=0.0), NO_UNIT] = Field(
        0.1,
        description="Weight (alpha) of the self-supervised loss beside the main loss. Raise it "
        "when tail and cold items are retrieved badly.",
    )
    warmup_steps: Annotated[int, Field(ge=0), Unit("steps")] = Field(
        0,
        description="Number of steps over which `weight` grows from 0 to its value. Raise it when "
        "the first steps are unstable.",
    )
    temperature: Annotated[PositiveFloat, NO_UNIT] = Field(
        0.05,
        description="Temperature (tau') of the self-supervised softmax. Small values work best.",
    )
    mask_sharpness: Annotated[PositiveFloat | None, NO_UNIT] = Field(
        None,
        description="Power of the correlation in proportion to which `correlated_masking` draws "
        "the features of a mask. Without it, a mask always holds the features most correlated with "
        "its seed. Set it, such as to 1, for more varied masks.",
    )
    num_masks: Annotated[PositiveInt, Unit("masks per step")] = Field(
        1,
        description="Number of masks of a step, at most the number of sampled items. Each hides "
        "features of an equal share of them; an augmentation that hides none needs one. Raise it, "
        "such as to 8, for less noise in the self-supervised task.",
    )
    value_dropout: Annotated[float, Field(ge=0.0, lt=1.0), Unit("probability")] = Field(
        0.3,
        description="Probability that a view loses a value of a multi-valued feature. 0 switches "
        "value dropout off.",
    )
    feature_dropout: Annotated[float, Field(ge=0.0, lt=1.0), Unit("probability")] = Field(
        0.1,
        description="Probability that an item of the main loss loses a feature; only for "
        "`augmentation: feature_dropout`.",
    )
    sampling: Literal["uniform", "frequency"] = Field(
        "uniform",
        description="Way to draw the sampled items: `uniform` draws all alike, `frequency` in "
        "proportion to training interactions. Change it only to compare: it takes the tail out of "
        "the task.",
    )
    sample_size: Annotated[PositiveInt | None, Unit("items per rank and step")] = Field(
        None,
        description="Number of catalogue items drawn for each batch, at most the batch size. "
        "Without it, `training.batch_size`. Lower it for faster steps.",
    )

    @field_validator("augmentation")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in AUGMENTATIONS:
            raise ValueError(f"must be one of {', '.join(AUGMENTATIONS)}")
        return value

    @property
    def augmenter(self) -> Augmentation:
        """The augmentation that `augmentation` names, with these settings."""
        return AUGMENTATIONS[self.augmentation](self)
