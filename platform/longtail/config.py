"""One typed, strict configuration, read from YAML.

Each section belongs to the package of the same name and is all that this package reads.
Relative paths are relative to the configuration file. Unknown keys are errors.
"""

import os
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from longtail.errors import InputError

PositiveInt = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFloat = Annotated[float, Field(gt=0.0)]


class Section(BaseModel):
    """Base of all sections: immutable, and strict about names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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

    augmentation: Literal[
        "correlated_masking",
        "random_masking",
        "independent_masking",
        "dropout_only",
        "spread_out",
        "feature_dropout",
        "none",
    ] = Field(
        "correlated_masking",
        description="feature_dropout augments the supervised item tower and has no L_self",
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

    @property
    def contrasts(self) -> bool:
        """Whether there is a self-supervised loss."""
        return self.augmentation not in ("none", "feature_dropout")

    @property
    def view_dropout(self) -> float:
        """Value dropout of the views; spreading out has none."""
        return self.value_dropout if self.contrasts and self.augmentation != "spread_out" else 0.0

    @property
    def num_copies(self) -> int:
        """Lookups of the sampled items: two where both views show a feature with other values."""
        overlaps = self.augmentation in ("independent_masking", "dropout_only")
        return 2 if overlaps and self.view_dropout else 1


class TrainingConfig(Section):
    """The loop: batches, epochs, optimizers, ranks, checkpoints."""

    batch_size: PositiveInt = Field(1024, description="examples a rank and step")
    num_epochs: PositiveInt = 10
    warm_start: bool = Field(True, description="start from the newest earlier version's tables")
    warm_start_epochs: PositiveInt = Field(3, description="epochs of a warm-started refresh")
    table_learning_rate: PositiveFloat = 0.04
    tower_learning_rate: PositiveFloat = 0.002
    num_ranks: PositiveInt = 1
    threads_per_rank: PositiveInt | None = Field(None, description="default: cores / ranks")
    checkpoint_every_steps: PositiveInt = 500
    keep_checkpoints: PositiveInt = 2
    max_restarts: Annotated[int, Field(ge=0)] = 1
    log_every_steps: PositiveInt = 20
    seed: int = 0


class CheckpointsConfig(Section):
    """How a training run is kept safe, and which checkpoint becomes the version's model."""

    asynchronous: bool = Field(
        True,
        description="write while training goes on; for that time the rank holds a second copy of "
        "its tables and optimizer state in host memory",
    )
    best_by: str | None = Field(
        None,
        description="the checkpoint that is best by this is kept, and becomes the model; default: "
        "the last one does. `training_loss` (mean since the checkpoint before; low is good), or "
        "`module:function`, called with (encoder, training_set, config), whose result is good "
        "when high, such as `longtail.evaluation.validation:recall_at_50`",
    )

    @field_validator("best_by")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value not in (None, "training_loss") and ":" not in str(value):
            raise ValueError("must be `training_loss`, or a function as `module:function`")
        return value


class ReportingConfig(Section):
    """What a training run tells beside its JSON lines."""

    tensorboard: bool = Field(
        False, description="also write the figures for TensorBoard, below `<home>/tensorboard`"
    )
    profile_steps: Annotated[int, Field(ge=0)] = Field(
        0,
        description="steps of rank 0 that torch.profiler follows, early in the run; its trace and "
        "the seconds in communication and other parts stand in the version's folder",
    )


class TableShardingConfig(Section):
    """What TorchRec's planner may do with an embedding table (its `ParameterConstraints`).

    What a table leaves out it has from `sharding.default`.
    """

    sharding_types: (
        tuple[
            Literal[
                "table_wise",
                "column_wise",
                "row_wise",
                "table_row_wise",
                "table_column_wise",
                "data_parallel",
            ],
            ...,
        ]
        | None
    ) = Field(
        None,
        description="default: table_wise on a CPU; on CUDA also row_wise and table_row_wise. A CPU "
        "has table_wise, column_wise and data_parallel",
    )
    compute_kernels: tuple[Literal["fused", "fused_uvm", "fused_uvm_caching"], ...] | None = Field(
        None, description="default: fused; the others keep a table in host memory, on CUDA only"
    )
    data_type: Literal["fp32", "fp16"] | None = Field(None, description="default: fp32")
    min_partition: PositiveInt | None = Field(
        None, description="narrowest shard of column_wise; default: TorchRec's, 128"
    )
    cache_load_factor: Annotated[float, Field(gt=0.0, lt=1.0)] | None = Field(
        None,
        description="share of a fused_uvm_caching table in device memory; default: TorchRec's, 0.2",
    )


class ShardingConfig(Section):
    """How the embedding tables are spread over the ranks (training/SHARDING.md)."""

    default: TableShardingConfig = TableShardingConfig()
    tables: dict[str, TableShardingConfig] = Field({}, description="by embedding table")
    optimizer: Literal["adagrad", "row_wise_adagrad"] = Field(
        "row_wise_adagrad",
        description="of the tables; row_wise_adagrad keeps one number a row, adagrad one a weight",
    )
    hbm_gb: PositiveFloat | None = Field(
        None, description="device memory a rank; default: the device's, and 80 for `longtail plan`"
    )
    ddr_gb: PositiveFloat | None = Field(
        None, description="host memory a rank; default: TorchRec's, 128"
    )
    reserved_share: Fraction = Field(
        0.15, description="share of that memory for towers, activations and batches; at least"
    )

    def of(self, table: str) -> TableShardingConfig:
        """What holds for a table: its own settings, and the default ones for the rest."""
        own = self.tables.get(table, TableShardingConfig())
        chosen = {name: value for name, value in own if value is not None}
        return self.default.model_copy(update=chosen)

    @property
    def learned(self) -> dict[str, Any]:
        """What of it changes what a model learns, not only where its tables lie."""
        types = {table: self.of(table).data_type or "fp32" for table in sorted(self.tables)}
        return {
            "optimizer": self.optimizer,
            "data_type": self.default.data_type or "fp32",
            "data_types": types,
        }

    @property
    def unsplit(self) -> Self:
        """The same for one rank, which has nothing to split: every table lies there whole."""
        whole: dict[str, Any] = {"sharding_types": ("table_wise",), "compute_kernels": ("fused",)}
        tables = {name: table.model_copy(update=whole) for name, table in self.tables.items()}
        default = self.default.model_copy(update=whole)
        return self.model_copy(update={"default": default, "tables": tables})

    @model_validator(mode="after")
    def _can_resume(self) -> Self:
        for name in ("default", *self.tables):
            table = self.default if name == "default" else self.of(name)
            types = set(table.sharding_types or ())
            split = types & {"column_wise", "table_column_wise"}
            if self.optimizer == "row_wise_adagrad" and split:
                raise ValueError(
                    f"{name}: row_wise_adagrad keeps one number a row of every column shard, so a "
                    f"{split.pop()} table cannot resume on another number of ranks: use adagrad, "
                    "or another sharding type"
                )
            if table.data_type == "fp16" and "data_parallel" in types:
                raise ValueError(
                    f"{name}: a data_parallel table learns in its own data type, and fp16 is too "
                    "coarse for that: use fp32, or another sharding type"
                )
        return self


class ComputeConfig(Section):
    """What training computes with; results differ by rounding alone."""

    products: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="the towers' matrix products; auto is bfloat16 where the processor has it",
    )


class EvaluationConfig(Section):
    """Exact full-catalogue retrieval on the held-out pairs."""

    head_fraction: Fraction = Field(
        0.1, description="share of catalogue items, by training interactions, that is the head"
    )
    query_batch_size: PositiveInt = 512


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


class GateConfig(Section):
    """What a version must show before it may be published."""

    better_than_popularity: bool = True
    min_recall_ratio: Fraction = Field(
        0.95,
        description="overall and tail recall@50 relative to the served version, on common items",
    )


class IndexConfig(Section):
    """The nearest-neighbour index of a version: exact, or a graph for large catalogues."""

    kind: Literal["flat", "hnsw"] = Field(
        "flat",
        description="flat compares with every item, exactly; hnsw walks a graph: worth it from "
        "about 100,000 items on",
    )
    hnsw_links: Annotated[int, Field(ge=2)] = Field(
        32, description="links of a node (M); more find more, and take memory"
    )
    hnsw_build_width: PositiveInt = Field(
        100, description="candidates kept while a node is linked (efConstruction)"
    )
    hnsw_search_width: PositiveInt = Field(
        200, description="candidates kept in a search (efSearch); more find more, and take time"
    )
    recall_queries: PositiveInt = Field(
        500, description="queries, and as many items, on which recall@100 is measured at export"
    )


class PublicationConfig(Section):
    """The write of a version into its Feast slot."""

    batch_rows: PositiveInt = Field(5_000, description="rows a write and a read-back batch")
    num_threads: PositiveInt = Field(
        2, description="batches on their way at once; an embedded SQLite file takes one at a time"
    )
    max_lost_share: Fraction = Field(
        0.5,
        description="share of the served version's items that a new version may lack; of more it "
        "is not published",
    )
    keep_versions: Annotated[int, Field(ge=2)] = Field(
        5, description="versions kept on disk; the served and the previous one always stay"
    )


class ScheduleConfig(Section):
    """When the whole flow refreshes; the schedule is off until it is switched on."""

    cron: str = Field("0 3 * * *", description="UTC; refreshes the last complete day")
    max_age_hours: PositiveFloat = Field(
        36.0, description="Dagster calls embeddings stale that were published longer ago"
    )
    first_day: date = Field(date(2000, 1, 1), description="the first day that can be refreshed")


class Config(Section):
    """The whole configuration of one project."""

    feature_repo: Path = Field(description="folder with feature_store.yaml")
    feature_store: Path | None = Field(
        None,
        description="Feast's settings, where they are not feature_store.yaml in `feature_repo`; "
        "FEAST_FS_YAML_FILE_PATH wins",
    )
    home: Path = Field(Path(".longtail"), description="where runs are kept; LONGTAIL_HOME wins")
    features: FeaturesConfig = FeaturesConfig()
    checks: ChecksConfig = ChecksConfig()
    dataset: DatasetConfig = DatasetConfig()
    correlation: CorrelationConfig = CorrelationConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    self_supervision: SelfSupervisionConfig = SelfSupervisionConfig()
    training: TrainingConfig = TrainingConfig()
    sharding: ShardingConfig = ShardingConfig()
    checkpoints: CheckpointsConfig = CheckpointsConfig()
    reporting: ReportingConfig = ReportingConfig()
    compute: ComputeConfig = ComputeConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    study: StudyConfig = StudyConfig()
    gate: GateConfig = GateConfig()
    index: IndexConfig = IndexConfig()
    publication: PublicationConfig = PublicationConfig()
    schedule: ScheduleConfig = ScheduleConfig()

    @property
    def sample_size(self) -> int:
        """Catalogue items drawn a batch; 0 when neither loss term wants any."""
        wanted = self.loss.mixed_negatives or self.self_supervision.contrasts
        return (self.self_supervision.sample_size or self.training.batch_size) if wanted else 0

    @model_validator(mode="after")
    def _sample_fits_batch(self) -> Self:
        size = self.self_supervision.sample_size
        if size is not None and size > self.training.batch_size:
            raise ValueError(
                f"self_supervision.sample_size ({size}) is larger than training.batch_size "
                f"({self.training.batch_size}): lower it, or leave it out"
            )
        return self


def default_config_path() -> Path:
    """The demo's configuration in this checkout."""
    return Path(__file__).resolve().parents[2] / "ops" / "profiles" / "demo.yaml"


def config_file(path: str | os.PathLike[str] | None = None) -> Path:
    """The configuration file to use: the one given, else `LONGTAIL_CONFIG`, else the demo's."""
    return Path(path or os.environ.get("LONGTAIL_CONFIG") or default_config_path()).absolute()


def load_config(path: str | os.PathLike[str] | None = None) -> Config:
    """Read a configuration file and make its paths absolute.

    Args:
        path: the YAML file; the default is that of `config_file`.

    Raises:
        InputError: the file is missing or no YAML mapping, or a key is unknown or has a wrong
            value. All wrong keys are named at once.
    """
    file = config_file(path)
    if not file.is_file():
        raise InputError(
            f"configuration {file} does not exist: give --config, or set LONGTAIL_CONFIG"
        )
    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"configuration {file} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"configuration {file} must be a mapping of sections")
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        problems = _explain(error)
        raise InputError(
            f"configuration {file}: {'; '.join(problems)}", problems=problems
        ) from error
    home = os.environ.get("LONGTAIL_HOME") or config.home
    return config.model_copy(
        update={
            "feature_repo": (file.parent / config.feature_repo).resolve(),
            "feature_store": config.feature_store
            and (file.parent / config.feature_store).resolve(),
            "home": (
                Path(home).absolute() if os.environ.get("LONGTAIL_HOME") else file.parent / home
            ).resolve(),
        }
    )


def _explain(error: ValidationError) -> list[str]:
    problems = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"]) or "the whole"
        if problem["type"] == "extra_forbidden":
            problems.append(f"`{where}` does not exist: remove it, or look for a typing error")
        else:
            problems.append(f"`{where}`: {problem['msg']}")
    return problems
