"""The sections about data: features, checks, the training set, and correlations."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from longtail.config.section import Fraction, PositiveFloat, PositiveInt, Section, Unit

RepeatedWeights = Literal["max", "sum", "last"]


class FeaturesConfig(Section):
    """The Feast objects that describe the data, and defaults for what they leave open."""

    interactions: str = Field(
        "interactions",
        description="Name of the Feast data source with the interactions. Change it if yours has "
        "another name.",
    )
    repeated_weights: RepeatedWeights = Field(
        "max",
        description="Weight of a pair of query and item that the interactions hold several times, "
        "by the rows up to the day; a row without a weight has 1. `max` is the largest, `sum` all "
        "of them together, `last` that of the newest row. The time of the pair is always its "
        "earliest. Choose `sum` where each repetition is more evidence, `last` where a later row "
        "corrects an earlier one.",
    )
    query_service: str = Field(
        "query_features",
        description="Name of the Feast FeatureService with the query features that the model sees. "
        "Change it to try another set of features.",
    )
    item_service: str = Field(
        "item_features",
        description="Name of the Feast FeatureService with the item features that the model sees. "
        "Change it to try another set of features.",
    )
    online_query_service: str = Field(
        "query_features",
        description="Name of the FeatureService that query encoding reads from the online store. "
        "Change it together with `query_service`, unless serving reads other views.",
    )
    default_dim: Annotated[PositiveInt, Unit("numbers per row")] = Field(
        64,
        description="Embedding size of a feature without the tag `dim`; a multiple of 4. Lower it "
        "when the tables do not fit in memory.",
    )
    min_count: Annotated[PositiveInt, Unit("occurrences")] = Field(
        1,
        description="How often a value must occur to enter a vocabulary, for features without "
        "the tag `min_count`. Raise it to drop rare values from large tables.",
    )
    hash_buckets: Annotated[PositiveInt, Unit("table rows")] = Field(
        2**18,
        description="Table size of a `vocabulary: hash` feature without the tag `buckets`. Raise "
        "it when a feature has many more values than this, because values that share a row share "
        "an embedding.",
    )


class ChecksConfig(Section):
    """The limits of `longtail check`, and which findings stop a run (checks/CHECKS.md)."""

    severity: dict[str, Literal["error", "warning", "ignore"]] = Field(
        {},
        description="Severity of a check by its name, in place of the check's own. An `error` "
        "stops a run, `ignore` skips the check. Set it when a check is wrong about your data.",
    )
    max_refused_share: Fraction = Field(
        0.01,
        description="Largest share of a table's rows that may be refused; above it the run stops. "
        "Raise it for a day that may go on without the refused rows.",
    )
    near_unique_share: Fraction = Field(
        0.9,
        description="Distinct values divided by values. A feature at or above this share is "
        "reported, because a feature that differs in every row teaches nothing.",
    )
    min_coverage: Fraction = Field(
        0.01,
        description="Share of keys that have a value. A feature below it is reported as nearly "
        "empty.",
    )
    leakage_share: Fraction = Field(
        0.5,
        description="Share from which `label_leakage` reports a feature: its values that are ids "
        "of the other side, and the named pairs that interact only later. Lower it for a stricter "
        "check.",
    )
    max_coverage_change: Fraction = Field(
        0.1,
        description="Largest change in the share of keys with a value since the served version. "
        "Raise it if your columns fill and empty from day to day.",
    )
    max_vocabulary_growth: Annotated[float, Field(ge=1.0), Unit("factor")] = Field(
        3.0,
        description="Largest factor by which a feature's distinct values may grow or shrink since "
        "the served version. Raise it for a catalogue that grows fast.",
    )
    max_divergence: Annotated[Fraction, Unit("bits")] = Field(
        0.1,
        description="Largest Jensen-Shannon divergence of a feature's values from those of the "
        "served version. Raise it if the values change with the season.",
    )
    max_overlap_loss: Fraction = Field(
        0.1,
        description="Largest fall, since `longtail init`, of the share of ids in the interactions "
        "that have a row in the table of items, or of queries. Raise it if ids appear in the "
        "interactions before their rows do.",
    )
    max_share_change: Fraction = Field(
        0.2,
        description="Largest change, since `longtail init`, of the share of weights that are 0 or "
        "missing, and of items that are gone. Raise it if these shares vary from day to day.",
    )
    max_weight_change: Annotated[float, Field(ge=1.0), Unit("factor")] = Field(
        3.0,
        description="Largest factor by which weights may leave the range that `longtail init` "
        "recorded, because another unit multiplies them all. Raise it if weights grow by nature.",
    )


class DatasetConfig(Section):
    """The division of interactions into training, validation and test examples."""

    split: Literal["hash", "time"] = Field(
        "hash",
        description="`hash` assigns each pair by a stable hash of its ids, so that a pair stays in "
        "its part at every refresh. `time` tests on the newest days and validates on the days "
        "before them. Choose `time` to measure how well the model predicts what comes next.",
    )
    validation_fraction: Fraction = Field(
        0.1,
        description="Share of the pairs in the validation part; only for `split: hash`. Lower it "
        "when there are few pairs to train on.",
    )
    test_fraction: Fraction = Field(
        0.1,
        description="Share of the pairs in the test part; only for `split: hash`. Raise it when "
        "the gate finds no held-out pairs.",
    )
    training_fraction: Annotated[float, Field(gt=0.0, le=1.0), Unit("share")] = Field(
        1.0,
        description="Share of the training part that is used; a smaller share is a subset of a "
        "larger one. Lower it for a quick trial.",
    )
    validation_days: Annotated[PositiveInt, Unit("days")] = Field(
        1,
        description="Length of the validation part, just before the test part; only for "
        "`split: time`.",
    )
    test_days: Annotated[PositiveInt, Unit("days")] = Field(
        1,
        description="Length of the test part, which ends with the newest day; only for "
        "`split: time`. Raise it when one day has too few pairs.",
    )

    @model_validator(mode="after")
    def _leaves_training_rows(self) -> Self:
        if self.validation_fraction + self.test_fraction >= 1.0:
            raise ValueError("validation_fraction + test_fraction must stay below 1")
        return self


class CorrelationConfig(Section):
    """The measurement of feature correlations over the catalogue, and the limits on masks."""

    measure: Literal["mutual_information", "normalized", "adjusted"] = Field(
        "normalized",
        description="Figure that masks follow. `mutual_information` is the paper's, in nats. "
        "`normalized` divides it by the smaller entropy of the two features. `adjusted` takes off "
        "what chance gives; it trades some recall on the head for more on cold items.",
    )
    missing: Literal["value", "leave_out"] = Field(
        "value",
        description="`value` counts a missing value as a value of its own; `leave_out` leaves the "
        "item out of that pair. Choose `leave_out` when features correlate only because they are "
        "missing together.",
    )
    engine: Literal["duckdb", "spark"] = Field(
        "duckdb",
        description="Engine that counts pairs of values: `duckdb` in this process, or `spark` on a "
        "cluster. Change it when the catalogue is too large for one machine.",
    )
    spark: dict[str, str] = Field(
        default_factory=dict,
        description="Spark's own settings, such as `spark.master`; only for `engine: spark`.",
    )
    row_budget: Annotated[PositiveInt | None, Unit("items")] = Field(
        None,
        description="Largest number of items that are measured, about. A larger catalogue is "
        "sampled by a hash of the key, and each figure gets an error estimate. Without it, all "
        "items are measured. Set it when mining takes too long.",
    )
    memory_gib: Annotated[PositiveFloat, Unit("GiB")] = Field(
        8.0,
        description="Memory of the engine `duckdb`; beyond it DuckDB works on disk. Lower it on a "
        "small machine.",
    )
    quantile_bins: Annotated[int, Field(ge=2), Unit("bins")] = Field(
        20,
        description="Number of quantile bins into which a dense feature is cut before it is "
        "measured.",
    )
    chance_shuffles: Annotated[PositiveInt, Unit("permutations")] = Field(
        5,
        description="Number of permutations that estimate the chance level of multi-valued "
        "features. Raise it for a steadier estimate; the time grows with it.",
    )
    keep_counts: bool = Field(
        False,
        description="Store the pair counts of a day, so that the next day counts only what has "
        "changed. Switch it on for a large catalogue that changes little and has no dense feature; "
        "it takes disk space for every pair of values that occurs.",
    )
    never_mask: tuple[str, ...] = Field(
        (),
        description="Item features that no mask hides. Name features that must always be visible.",
    )
    always_together: tuple[tuple[str, ...], ...] = Field(
        (),
        description="Groups of item features that correlated masking hides together or not at all. "
        "Group features that repeat each other.",
    )
