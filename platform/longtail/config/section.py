"""The base of every section of the configuration, and the number types that sections share."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


@dataclass(frozen=True)
class Unit:
    """The unit of a key, for CONFIGURATION.md. Validation ignores it."""

    name: str


@dataclass(frozen=True)
class Choices:
    """The values that a text key may have, for CONFIGURATION.md. A validator enforces them."""

    values: tuple[str, ...]


NO_UNIT = Unit("none")

PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0), Unit("share")]


class Section(BaseModel):
    """The base of all sections: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
