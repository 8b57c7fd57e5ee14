"""The sections about a release: evaluation, gate, index, publication, schedule."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from longtail.config.section import Fraction, PositiveFloat, PositiveInt, Section


class EvaluationConfig(Section):
    """Exact full-catalogue retrieval on the held-out pairs."""

    head_fraction: Fraction = Field(
        0.1, description="share of catalogue items, by training interactions, that is the head"
    )
    query_batch_size: PositiveInt = 512


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
