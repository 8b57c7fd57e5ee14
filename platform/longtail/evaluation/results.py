"""The types of the dictionaries that evaluation returns and writes as JSON.

All of them are plain dictionaries at run time. None stands for a figure that is not defined.
"""

from typing import Generic, Literal, NotRequired, TypedDict, TypeVar, final

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


class Baselines(TypedDict):
    """The metrics of two rankings that know nothing of features."""

    popularity_ranking: MetricsBySlice
    random_ranking: MetricsBySlice


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


class Evaluation(TypedDict):
    """The result of `evaluate.evaluate_version`; `baselines` only where they are asked for."""

    version: str
    as_of: str
    metrics: MetricsBySlice
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
    for each rule of the gate, with its figures.
    """

    version: str
    as_of: str
    served: str | None
    reasons: list[str]
    fingerprint: str
