"""The section about histories: what a query did before, as a feature of the query."""

from typing import Annotated

from pydantic import Field

from longtail.config.section import Section, Unit

Probability = Annotated[float, Field(ge=0.0, lt=1.0), Unit("probability")]


class HistoryConfig(Section):
    """The newest items of each query, as a feature of the query (features/FEATURES.md).

    A training example sees what its query did before it, never its own item. An evaluation sees the
    training part alone, and a published query everything that is known.
    """

    length: Annotated[int, Field(ge=0), Unit("items")] = Field(
        0,
        description="Number of newest items of a query that its tower sees, in the embedding table "
        "of the items' ids. 0 gives queries no history. Set it, such as to 50, where queries come "
        "back and their next item depends on their last ones, or where new queries must be "
        "answered after their first items.",
    )
    drop_history: Probability = Field(
        0.5,
        description="Probability that a training example goes without its history. Raise it when "
        "queries without interactions are answered badly, or when steps are too slow. It counts "
        "only with a `length`.",
    )
    drop_query_id: Probability = Field(
        0.5,
        description="Probability that a training example goes without the id of its query, so that "
        "the history must do the id's work. Raise it when new queries are answered badly; lower it "
        "when known ones are. It counts only with a `length`.",
    )
