"""The sections about a release: evaluation, gate, index, publication, schedule."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, field_validator

from longtail.config.objective import Objective
from longtail.config.section import NO_UNIT, Fraction, PositiveFloat, PositiveInt, Section, Unit


class EvaluationConfig(Section):
    """Exact retrieval over the full catalogue, on the held-out pairs."""

    head_fraction: Fraction = Field(
        0.1,
        description="Share of the catalogue, the items with most training interactions, that is "
        "the head; the rest is the tail. Change it to report on another cut.",
    )
    query_batch_size: Annotated[PositiveInt, Unit("queries")] = Field(
        512,
        description="Queries scored at a time; a batch takes 4 bytes for each of its queries and "
        "catalogue items. Lower it when evaluation runs out of memory.",
    )
    objective: Annotated[Objective, NO_UNIT] = Field(
        {"deciles recall@50": 1.0},
        description="Weights of the figures that are added up where a setting is chosen on the "
        "validation part, each named by a slice and a metric, such as `tail recall@50`. The slice "
        "`deciles` is the mean over groups of items by popularity, so that rare items count as "
        "much as popular ones. Change it to `{overall recall@50: 1}` when each interaction counts.",
    )


class GateConfig(Section):
    """The rules that a version must meet before it may be published."""

    better_than_popularity: bool = Field(
        True,
        description="Demand more overall recall@50 than the popularity ranking has. Switch it off "
        "only to try out a release.",
    )
    baselines: Literal["warn", "refuse", "off"] = Field(
        "warn",
        description="The part of the tuned baselines, such as item kNN and EASE: `warn` says where "
        "one is ahead of a version, `refuse` also refuses a version with less overall recall@50 "
        "than one of them, `off` does not measure them. Choose `refuse` once your version is "
        "ahead, `off` when their minutes are too many.",
    )

    @field_validator("baselines", mode="before")
    @classmethod
    def _is_no_switch(cls, value: object) -> object:
        return "off" if value is False else value  # YAML reads `off` as false

    min_recall_ratio: Fraction = Field(
        0.95,
        description="Smallest recall@50, overall and on the tail, relative to the served version "
        "on the items that both have. Lower it when a loss is meant, such as after a change of the "
        "catalogue.",
    )
    min_map_ratio: Fraction = Field(
        0.75,
        description="Smallest overall MAP@10 relative to the served version, on the items that "
        "both have. It sees a bad order of the first ten, which recall@50 of a small catalogue "
        "does not. With a few hundred held-out pairs it moves by a fifth without a cause: raise "
        "it where there are many, lower it when a loss is meant.",
    )


class IndexConfig(Section):
    """The nearest-neighbour index of a version: exact, or a graph for large catalogues."""

    kind: Literal["flat", "hnsw"] = Field(
        "flat",
        description="`flat` compares with every item and is exact; `hnsw` walks a graph. Choose "
        "`hnsw` from about 100,000 items on.",
    )
    hnsw_links: Annotated[int, Field(ge=2), Unit("links per item")] = Field(
        32,
        description="Links of each node of the graph (M). More links find more and take memory.",
    )
    hnsw_build_width: Annotated[PositiveInt, Unit("candidates")] = Field(
        100,
        description="Candidates kept while a node is linked (efConstruction). Raise it for a "
        "better graph; building takes longer.",
    )
    hnsw_search_width: Annotated[PositiveInt, Unit("candidates")] = Field(
        200,
        description="Candidates kept in a search (efSearch). Raise it when the manifest's "
        "recall@100 is too low; a search takes longer.",
    )
    recall_queries: Annotated[PositiveInt, Unit("queries")] = Field(
        500,
        description="Number of queries, and of items, on which export measures recall@100 of the "
        "index against exact search.",
    )


class PublicationConfig(Section):
    """The write of a version into its Feast slot."""

    batch_rows: Annotated[PositiveInt, Unit("rows")] = Field(
        5_000,
        description="Rows of each write and of each read-back. Lower it when the store refuses "
        "large writes.",
    )
    num_threads: Annotated[PositiveInt, Unit("batches")] = Field(
        2,
        description="Batches written or read back at once. An embedded SQLite file takes one at a "
        "time, whatever this says. Raise it for a store that is fast and far away.",
    )
    max_lost_share: Fraction = Field(
        0.5,
        description="Largest share of the served version's items that a new version may lack; "
        "above it the version is not published. Raise it for the publication in which they are "
        "meant to go.",
    )
    keep_versions: Annotated[int, Field(ge=2), Unit("versions")] = Field(
        5,
        description="Versions kept on disk; the served one and the one before it always stay. "
        "Lower it when the disk is short.",
    )


class ScheduleConfig(Section):
    """The time of the daily refresh. The schedule is off until it is switched on in Dagster."""

    cron: str = Field(
        "0 3 * * *",
        description="Cron expression, in UTC, of the schedule `daily_refresh`, which refreshes the "
        "last complete day. Set it to a time when the day's tables are complete.",
    )
    max_age_hours: Annotated[PositiveFloat, Unit("hours")] = Field(
        36.0,
        description="Age of the newest row that the served version was made from, from which "
        "Dagster calls the embeddings stale. Set it above the time between two refreshes and the "
        "age of the data when a refresh begins.",
    )
    first_day: date = Field(
        date(2000, 1, 1),
        description="First day that can be refreshed. Set it to the first day with data, so that "
        "Dagster lists no empty partitions before it.",
    )
