"""The section about the report: the page that shows what a version is."""

from typing import Annotated

from pydantic import Field

from longtail.config.section import PositiveInt, Section, Unit


class ReportConfig(Section):
    """The page of each version, which `longtail report` writes."""

    color_by: str | None = Field(
        None,
        description="The single-valued item feature that colours the map. Without it, the feature "
        "whose values the neighbours share most, against chance. Set it to the feature that your "
        "colleagues think in.",
    )
    map_points: Annotated[int, Field(ge=10, le=20_000), Unit("items")] = Field(
        4_000,
        description="Items drawn on the map, a seeded choice. Raise it for a denser map; the time "
        "grows with it, and 4,000 take about 15 seconds.",
    )
    max_items: Annotated[PositiveInt, Unit("items")] = Field(
        70_000,
        description="Items that the page's search box knows, those with most interactions first. "
        "Lower it when pages are too large; 70,000 items take about 5 MB.",
    )
    keep_pages: Annotated[PositiveInt, Unit("pages")] = Field(
        30,
        description="Pages kept, the newest ones; those of versions on disk always stay, and so do "
        "the figures of the timeline. Raise it when you look back further.",
    )
