"""The sections about what is learned: the towers, the losses, the self-supervised task."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from longtail.augmentation.augmentation import Augmentation
from longtail.augmentation.registry import AUGMENTATIONS
from longtail.config.section import Fraction, PositiveFloat, PositiveInt, Section


class ModelConfig(Section):
    """The shape of the two towers."""

    hidden: tuple[PositiveInt, ...] = Field((512,), description="hidden layer widths")
    output_dim: PositiveInt = Field(128, description="length of the published embeddings")
    start_alike: bool = Field(
        True,
        description="both towers start from the same weights where their features share tables, so "
        "that content alone brings a query near what is like it",
    )


class LossConfig(Section):
    """The supervised loss: batch softmax with its corrections (model/METHOD.md)."""

    temperature: PositiveFloat = 0.06
    logq: Literal["exact", "streaming", "none"] = Field(
        "exact",
        description="where sampling probabilities come from: training frequencies, a streaming "
        "estimate of them, or no correction",
    )
    logq_strength: Fraction = Field(
        1.0, description="share of the correction that is applied; less favours the tail"
    )
    streaming_rate: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.05, description="weight of the newest interval in the streaming estimate"
    )
    correct_positive: bool = Field(True, description="apply logQ to the positive's logit too")
    mixed_negatives: bool = Field(True, description="uniform catalogue items as candidates")
    negatives_across_ranks: bool = Field(
        False,
        description="the candidates of all ranks are every example's, as if one rank had the whole "
        "batch; without it, each rank's own",
    )
    accidental_hits: Literal["own_item", "known_positives"] = Field(
        "own_item",
        description="what is never a negative of an example: its own item, or every item that its "
        "query has in training",
    )
    unborn_negatives: bool = Field(
        True, description="an item may be a negative of examples from before its first row"
    )
    cold_negative_weight: Fraction = Field(
        0.02,
        description="how much a uniform negative counts that has no training interaction: such "
        "items are never a positive, so that 1 pushes them away from every query",
    )


class SelfSupervisionConfig(Section):
    """The auxiliary task of Yao et al. 2021 over sampled catalogue items, and its rivals."""

    augmentation: str = Field(
        "correlated_masking",
        description="what is done to items before two views of each are compared: "
        + ", ".join(AUGMENTATIONS)
        + "; feature_dropout augments the supervised item tower and has no L_self",
    )
    weight: Annotated[float, Field(ge=0.0)] = Field(0.1, description="alpha")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(
        0, description="steps in which the weight grows from 0 to its value"
    )
    temperature: PositiveFloat = 0.05
    mask_sharpness: PositiveFloat | None = Field(
        None,
        description="correlated_masking draws what a seed feature's mask holds, in proportion to "
        "this power of the correlation with it; default: always the most correlated ones",
    )
    value_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.3, description="probability that a view loses a value of a multi-valued feature"
    )
    feature_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.1, description="rate of `augmentation: feature_dropout`"
    )
    sampling: Literal["uniform", "frequency"] = Field(
        "uniform", description="draw items evenly, or by their training interactions"
    )
    sample_size: PositiveInt | None = Field(
        None, description="catalogue items a batch; at most, and by default, the batch size"
    )

    @field_validator("augmentation")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in AUGMENTATIONS:
            raise ValueError(f"must be one of {', '.join(AUGMENTATIONS)}")
        return value

    @property
    def augmenter(self) -> Augmentation:
        """The augmentation of that name, with these settings."""
        return AUGMENTATIONS[self.augmentation](self)
