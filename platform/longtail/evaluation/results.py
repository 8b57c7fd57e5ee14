"""The types of the dictionaries that evaluation returns and writes as JSON.

All of them are plain dictionaries at run time. None stands for a figure that is not defined.
"""

from typing import Any, Generic, Literal, NotRequired, TypedDict, TypeVar, final

SliceName = Literal["overall", "head", "tail", "cold"]
SLICES: tuple[SliceName, ...] = ("overall", "head", "tail", "cold")

T = TypeVar("T")


class BySlice(TypedDict, Generic[T]):
    """One value for each popularity slice of the catalogue; `slices.item_slices` defines them."""

    overall: T
    head: T
    tail: T
    cold: T


# The retrieval metrics of some held-out pairs; `metrics.retrieval_metrics` defines them. The
# functional syntax, because a key such as "recall@10" is not an identifier.
Metrics = TypedDict(
    "Metrics",
    {
        "num_pairs": int,
        "recall@10": float,
        "map@10": float,
        "recall@50": float,
        "map@50": float,
    },
)
MetricsBySlice = BySlice[Metrics]


# The value of a baseline's setting.
Setting = str | int | float


@final
class Baseline(TypedDict):
    """The result of a baseline: its tuned settings, its metrics, and what to know of them."""

    settings: dict[str, Setting]
    metrics: MetricsBySlice
    notes: list[str]


@final
class LeftOut(TypedDict):
    """The reason why there is no result of a baseline."""

    left_out: str


class Baselines(TypedDict):
    """The metrics of two rankings that have nothing to tune, and of the tuned baselines by name.

    `tuned` is missing where `gate.baselines` was `off`, and in evaluations of older releases.
    """

    popularity_ranking: MetricsBySlice
    random_ranking: MetricsBySlice
    tuned: NotRequired[dict[str, Baseline | LeftOut]]


class SliceHealth(TypedDict):
    """The health of one slice's vectors.

    `never_retrieved` is the share of the slice's items that no held-out query has among its first
    50; the query's training items do not take places there.
    """

    num_items: int
    uniformity: float | None
    alignment: float | None
    never_retrieved: float | None


class PopularityCorrelation(TypedDict):
    """Spearman correlations with the items' training interactions."""

    times_retrieved: float | None
    mean_similarity: float | None
    norm: float | None


class EmbeddingHealth(TypedDict):
    """The result of `health.embedding_health`."""

    slices: BySlice[SliceHealth]
    effective_rank: float
    dim: int
    popularity_correlation: PopularityCorrelation


class Probe(TypedDict):
    """The result of `linear_probes.linear_probes` for one feature.

    `majority` is the accuracy of always answering the class that is most frequent in the part
    that the probe is fitted on. `num_items` counts the items of both parts.
    """

    accuracy: float
    majority: float
    num_classes: int
    num_items: int


class Health(EmbeddingHealth):
    """The health of a version: that of its vectors, and a probe for each feature by name."""

    probes: dict[str, Probe]


@final
class Comparison(TypedDict):
    """The metrics of a new version and of the served `version`, on the items that both know."""

    version: str
    num_common_items: int
    metrics: MetricsBySlice
    served_metrics: MetricsBySlice


@final
class NoComparison(TypedDict):
    """The reason why the served `version` cannot be compared with a new one."""

    version: str
    not_comparable: str


@final
class MemoryValidation(TypedDict):
    """The metrics of the validation part that a memory was chosen by."""

    model: MetricsBySlice
    memory: MetricsBySlice


@final
class Memory(TypedDict):
    """The result of `memory.metrics.measure_memory`; `settings` is None for no memory."""

    settings: dict[str, Any] | None
    reason: str
    validation: NotRequired[MemoryValidation]
    metrics: NotRequired[MetricsBySlice]


class Session(TypedDict):
    """The metrics of queries by their history alone, as a session without an id is answered.

    All figures are the model's alone, over the held-out pairs of queries that have a history.

    Attributes:
        num_queries: the number of these queries.
        metrics: with the history and nothing else.
        with_id: with all features, the id included.
        recall_kept: overall recall@50 of the first divided by that of the second; None if that
            is 0.
    """

    num_queries: int
    metrics: MetricsBySlice
    with_id: MetricsBySlice
    recall_kept: float | None


@final
class CalibrationPoint(TypedDict):
    """The validation part with one weight of popularity."""

    beta: float
    objective: float
    metrics: MetricsBySlice


@final
class Calibration(TypedDict):
    """The result of `calibration.measure_calibration`.

    The version's scores have the weight `beta`; 0 changes nothing. `curve` has no point where there
    is no validation pair.
    """

    beta: float
    temperature: float
    reason: str
    curve: list[CalibrationPoint]


class Evaluation(TypedDict):
    """The result of `evaluate.evaluate_version`.

    `metrics` are the model's alone, with its calibration. Those with the memory are in `memory`.
    Evaluations of older releases have neither `memory` nor `calibration`. `session` is there if
    queries have a history. `baselines` are there only where they are asked for.
    """

    version: str
    as_of: str
    metrics: MetricsBySlice
    calibration: NotRequired[Calibration]
    memory: NotRequired[Memory]
    session: NotRequired[Session]
    baselines: NotRequired[Baselines]
    num_pairs_without_item: int
    health: Health
    against_served: Comparison | NoComparison | None


class StoredEvaluation(Evaluation):
    """The content of `metrics.json`; it always has the baselines."""

    fingerprint: str


class Approval(TypedDict):
    """The content of `approved.json`.

    `served` is the version that this one was measured against, or None. `reasons` has one entry
    for each rule of the gate, with its figures. `warnings` has one for each baseline and slice
    where the baseline is ahead; approvals of older releases have none. `reference` is the fixed
    version that it was measured against beside the served one.
    """

    version: str
    as_of: str
    served: str | None
    reference: NotRequired[str | None]
    reasons: list[str]
    warnings: NotRequired[list[str]]
    fingerprint: str
