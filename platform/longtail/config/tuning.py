"""The section about `longtail tune`: what it maximises, and how far a trial goes."""

from typing import Annotated

from pydantic import Field, field_validator

from longtail.config.section import NO_UNIT, PositiveFloat, PositiveInt, Section, Unit

DECILES = "deciles"
METRICS = ("recall@10", "recall@50", "map@10", "map@50")
# Each figure that can be a part of the objective, with its slice and its metric.
TERMS = {
    f"{name} {metric}": (name, metric)
    for name in (DECILES, "overall", "head", "tail", "cold")
    for metric in METRICS
}


class TuningConfig(Section):
    """The objective of `longtail tune` on the validation part, and the limits of its trials.

    The objective is a weighted mean of metrics by slice. `deciles` cuts the items that are asked
    for into ten groups by their training interactions, and gives each group the same weight, so
    that popular items do not decide alone. See tuning/TUNING.md.
    """

    objective: Annotated[dict[str, PositiveFloat], NO_UNIT] = Field(
        {"deciles recall@50": 1.0},
        min_length=1,
        description="Weight of each figure in the objective. A name is a slice (`deciles`, "
        "`overall`, `head`, `tail`, `cold`) and a metric (`recall@10`, `recall@50`, `map@10`, "
        "`map@50`), such as `overall map@50`. Add figures that your users would notice.",
    )
    parameters: tuple[str, ...] | None = Field(
        None,
        description="Keys that are tuned, such as `[loss.temperature]`. Without it, all that "
        "tuning/TUNING.md lists. Name a few when there is time for few trials.",
    )
    max_epochs: Annotated[PositiveInt, Unit("epochs")] = Field(
        30,
        description="Largest number of epochs of a trial. Raise it when the best trials end there.",
    )
    patience: Annotated[PositiveInt, Unit("epochs")] = Field(
        2,
        description="Epochs without a better figure that end a trial. Raise it when trials stop "
        "too early.",
    )
    max_validation_queries: Annotated[PositiveInt, Unit("queries")] = Field(
        5_000,
        description="Largest number of queries asked after an epoch; of more, a fixed random "
        "choice. Raise it for steadier figures, lower it for faster epochs.",
    )
    seed: Annotated[int, NO_UNIT] = Field(
        0,
        description="Seed of what is tried. Another seed begins another set of trials.",
    )

    @field_validator("objective")
    @classmethod
    def _is_of_known_figures(cls, value: dict[str, float]) -> dict[str, float]:
        unknown = [name for name in value if name not in TERMS]
        if unknown:
            raise ValueError(
                f"has no figure {', '.join(map(repr, unknown))}; there are {', '.join(TERMS)}"
            )
        return value
