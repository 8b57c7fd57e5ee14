"""The roles and figures that `longtail init` recorded: `roles.json` in the project.

A project that was not made by `longtail init` has no such file, and nothing to compare with.
"""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from longtail.errors import InputError
from longtail.features.finding import TABLES, TableName

FILE = "roles.json"
_MAX_PROBLEMS = 3

log = logging.getLogger("longtail.features")


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Share = Annotated[float, Field(ge=0.0, le=1.0)]
Moment = Annotated[datetime, AfterValidator(_in_utc)]


class _Record(BaseModel):
    """The base of all records: other keys, such as those of a later version, are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    column: str | None

    def made_from(self, own: str) -> str:
        """Return " (from `x`)" if the user's column has another name than the project's."""
        return f" (from `{self.column}`)" if self.column not in (None, own) else ""


class RecordedKey(_Record):
    """The key of items or queries.

    Attributes:
        column: the user's column; None if the ids were taken from the interactions.
        known: share of the different ids in the interactions that have a row in the table.
    """

    known: Share | None = None

    @model_validator(mode="after")
    def _is_measured(self) -> Self:
        if self.column is not None and self.known is None:
            raise ValueError("`known` is missing")
        return self


class RecordedWeights(_Record):
    """The weights of the interactions: quantiles, and the shares that are 0 and missing."""

    q10: float
    median: float
    q90: float
    zero_share: Share
    missing_share: Share


class RecordedTimes(_Record):
    """The timestamps of a table.

    Attributes:
        column: the user's column; None if all rows got one constant.
        first, last: the oldest and the newest timestamp.
    """

    first: Moment
    last: Moment


class RecordedTombstone(_Record):
    """The column that says which items are gone, and their share."""

    gone_share: Share


class RecordedRoles(BaseModel):
    """The roles of a project's columns, as `longtail init` found them.

    Attributes:
        keys: by `items` and `queries`.
        weight: None if the interactions have no weights.
        times: by the names of all three tables.
        tombstone: None if no column says that items are gone.
    """

    keys: dict[TableName, RecordedKey]
    weight: RecordedWeights | None
    times: dict[TableName, RecordedTimes]
    tombstone: RecordedTombstone | None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        lacking = [f"keys.{name}" for name in ("items", "queries") if name not in self.keys]
        lacking += [f"times.{name}" for name in TABLES if name not in self.times]
        if lacking:
            raise ValueError(f"{', '.join(lacking)} is missing")
        return self


def roles_file(feature_repo: Path) -> Path:
    """Return the file with the recorded roles of a project."""
    return feature_repo / FILE


def read_roles(feature_repo: Path) -> RecordedRoles | None:
    """Return the recorded roles of a project, or None if it has none.

    Raises:
        InputError: the file cannot be read, or it lacks keys or has wrong values.
    """
    file = roles_file(feature_repo)
    cure = (
        "delete it to do without its checks, or make the project anew with `longtail init --force`"
    )
    try:
        return RecordedRoles.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        log.debug("roles are not checked: there is no %s", file)
        return None
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}): {cure}") from error
    except ValidationError as error:
        problems = [_problem(each["loc"], each["msg"]) for each in error.errors()]
        more = len(problems) - _MAX_PROBLEMS
        told = ", ".join(problems[:_MAX_PROBLEMS]) + (f", and {more} more" if more > 0 else "")
        raise InputError(f"{file} is not as `longtail init` writes it ({told}): {cure}") from error


def exceeds(difference: float, limit: float) -> bool:
    """Return whether a difference of two shares is above a limit, errors of rounding left aside."""
    return round(difference, 9) > limit


def recording(feature_repo: Path, key: str) -> str:
    """Return the end of a cure: how one makes a change that is meant the recorded state.

    Args:
        feature_repo: the Feast repository.
        key: the place of the figure in the file, such as `weight`.
    """
    return (
        f"if it is meant, write the new figures to `{key}` in {roles_file(feature_repo)}, or make "
        "the project anew with `longtail init --force`"
    )


def _problem(location: tuple[int | str, ...], message: str) -> str:
    """Return what is wrong at one place; without ": ", which begins the cure of a message."""
    message = message.removeprefix("Value error, ").replace(": ", ", ")
    place = ".".join(str(part) for part in location)
    return f"`{place}`, {message}" if place else message
