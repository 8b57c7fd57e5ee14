"""The names of an objective's terms, `"<slice> <metric>"`, and the section `calibration`."""

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from longtail.config.section import NO_UNIT, Section

DECILES = "deciles"
_SLICES = ("overall", "head", "tail", "cold", DECILES)
_METRICS = ("recall@10", "recall@50", "map@10", "map@50")


def split_term(term: str) -> tuple[str, str]:
    """Return the slice and the metric that a term of an objective names.

    Raises:
        ValueError: there is no such slice or metric.
    """
    slice_name, _, metric = term.partition(" ")
    if slice_name not in _SLICES or metric not in _METRICS:
        raise ValueError(
            f"{term!r} is no term of an objective: name a slice ({', '.join(_SLICES)}), a space, "
            f"and a metric ({', '.join(_METRICS)}), such as `tail recall@50`"
        )
    return slice_name, metric


def _known_terms(terms: dict[str, float]) -> dict[str, float]:
    if not terms:
        raise ValueError("an objective needs a term, such as `overall recall@50: 1`")
    for term, weight in terms.items():
        split_term(term)
        if not (math.isfinite(weight) and weight > 0.0):
            raise ValueError(f"the weight of {term!r} must be a number above 0, not {weight}")
    return terms


Objective = Annotated[dict[str, float], AfterValidator(_known_terms)]
"""The weight of each term, by its name."""


class CalibrationConfig(Section):
    """The weight of popularity in the scores, set after training (model/METHOD.md)."""

    popularity: Annotated[
        Literal["off", "fitted"] | Annotated[float, Field(allow_inf_nan=False)], NO_UNIT
    ] = Field(
        "off",
        description="Weight (beta) of the logarithm of an item's links in its score. A number "
        "above 0 favours the head, one below 0 the tail; `fitted` takes the one of the curve in "
        "metrics.json with the best `evaluation.objective` on the validation part; `off` adds "
        "nothing. Look at the curve first, which is always measured.",
    )

    @field_validator("popularity", mode="before")
    @classmethod
    def _is_no_switch(cls, value: object) -> object:
        # YAML reads `off` as false, which would be the number 0.
        if value is False:
            return "off"
        if value is True:
            raise ValueError("must be `off`, `fitted` or a number, not true")
        return value
