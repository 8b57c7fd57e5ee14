"""The section about `longtail tune`: what it tries, and how far a trial goes."""

from typing import Annotated

from pydantic import Field

from longtail.config.section import NO_UNIT, PositiveInt, Section, Unit


class TuningConfig(Section):
    """The trials of `longtail tune`, which maximise `evaluation.objective` on the validation part.

    See tuning/TUNING.md.
    """

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
