"""The sections about data: features, checks, the training set, and correlations."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from longtail.config.section import Fraction, PositiveFloat, PositiveInt, Section


class FeaturesConfig(Section):
    """Which Feast objects describe the data, and how values become table rows."""

    interactions: str = Field("interactions", description="name of the Feast data source")
    query_service: str = "query_features"
    item_service: str = "item_features"
    online_query_service: str = Field(
        "query_features", description="service whose online values query encoding reads"
    )
    default_dim: PositiveInt = Field(64, description="embedding size of a feature without `dim`")
    min_count: PositiveInt = Field(
        1, description="rows a value needs to enter a vocabulary, for features without a tag for it"
    )
    hash_buckets: PositiveInt = Field(
        2**18, description="table rows of a `vocabulary: hash` feature without `buckets`"
    )


class ChecksConfig(Section):
    """What `longtail check` looks at, and what stops a run (features/CHECKS.md)."""

    severity: dict[str, Literal["error", "warning", "ignore"]] = Field(
        {}, description="by check, instead of its own; an error stops a run"
    )
    max_refused_share: Fraction = Field(
        0.01, description="share of a table's rows that may be refused, and the run goes on"
    )
    near_unique_share: Fraction = Field(
        0.9, description="different values over values, from which on a feature says nothing"
    )
    min_coverage: Fraction = Field(
        0.01, description="share of keys that have a value, below which a feature is nearly empty"
    )
    leakage_share: Fraction = Field(
        0.5, description="share of ids among values, and of pairs foretold, that is suspicious"
    )
    max_coverage_change: Fraction = Field(
        0.1, description="of the share of keys that have a value, against the served version"
    )
    max_vocabulary_growth: Annotated[float, Field(ge=1.0)] = Field(
        3.0, description="factor of different values, either way, against the served version"
    )
    max_divergence: Fraction = Field(
        0.1, description="Jensen-Shannon, in bits, of values against the served version"
    )


class DatasetConfig(Section):
    """How interactions become training, validation and test examples."""

    split: Literal["hash", "time"] = "hash"
    validation_fraction: Fraction = Field(0.1, description="hash split only")
    test_fraction: Fraction = Field(0.1, description="hash split only")
    training_fraction: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        1.0, description="nested share of the training part that is used"
    )
    validation_days: PositiveInt = Field(1, description="time split only")
    test_days: PositiveInt = Field(1, description="time split only")

    @model_validator(mode="after")
    def _leaves_training_rows(self) -> Self:
        if self.validation_fraction + self.test_fraction >= 1.0:
            raise ValueError("validation_fraction + test_fraction must stay below 1")
        return self


class CorrelationConfig(Section):
    """How feature correlation is measured over the catalogue, and what may be masked."""

    measure: Literal["mutual_information", "normalized", "adjusted"] = "normalized"
    missing: Literal["value", "leave_out"] = Field(
        "value", description="a missing value counts as a value of its own, or its item is left out"
    )
    engine: Literal["duckdb", "spark"] = Field(
        "duckdb", description="where pairs are counted: in this process, or on a Spark cluster"
    )
    spark: dict[str, str] = Field(
        default_factory=dict, description="Spark's own settings, such as `spark.master`"
    )
    row_budget: PositiveInt | None = Field(
        None,
        description="about how many items are measured at most; of more, a sample by a hash of "
        "the key, with the error of each figure beside it. Default: all items",
    )
    memory_gib: PositiveFloat = Field(
        8.0, description="memory of the engine `duckdb`; beyond it, it works on disk"
    )
    quantile_bins: Annotated[int, Field(ge=2)] = Field(
        20, description="categories that a dense feature is cut into"
    )
    chance_shuffles: PositiveInt = Field(
        5, description="permutations behind the chance level of multi-valued features"
    )
    keep_counts: bool = Field(
        False,
        description="store the pair counts of a day, so that the next day's run only counts what "
        "has changed; takes disk space for every pair of values that occurs",
    )
    never_mask: tuple[str, ...] = Field((), description="item features that no mask contains")
    always_together: tuple[tuple[str, ...], ...] = Field(
        (),
        description="groups of item features; correlated masking hides the whole of a group or "
        "nothing of it",
    )
