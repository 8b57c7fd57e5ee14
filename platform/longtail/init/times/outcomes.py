"""The outcomes of reading a column as times: it can be read, in several ways, or not at all."""

from dataclasses import dataclass

from longtail.init.questions import Choice
from longtail.init.times.time_formats import DIGIT_FORMATS, UNITS

# The format of a column in which every number has a unit of its own.
MIX = "a mix of units"


@dataclass(frozen=True)
class Readable:
    """A column of times, of which every value is understood in one way only.

    Attributes:
        format: a strptime format, a unit, `ISO`, or empty for real timestamps.
        expression: SQL for a TIMESTAMPTZ over the view of readings; NULL where a value is missing.
        note: how the values are read, in words for the user.
        is_guess: a careful person would want to look at it.
    """

    format: str
    expression: str
    note: str
    is_guess: bool = False

    @property
    def formats(self) -> tuple[str, ...]:
        """The only format, as `Ambiguous` has several."""
        return (self.format,)

    @property
    def is_unit(self) -> bool:
        """Whether the values count units since 1970."""
        return self.format in (*UNITS, MIX)

    @property
    def is_number(self) -> bool:
        """Whether the values are plain numbers, which might as well mean something else."""
        return self.is_unit or self.format in DIGIT_FORMATS


@dataclass(frozen=True)
class Ambiguous:
    """A column of times that can be understood in several ways, such as day or month first."""

    choices: tuple[Choice, ...]

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats that fit."""
        return tuple(choice.answer for choice in self.choices)

    @property
    def is_number(self) -> bool:
        """Whether the values are plain numbers, which might as well mean something else."""
        return any(format_ in (*UNITS, *DIGIT_FORMATS) for format_ in self.formats)


@dataclass(frozen=True)
class Unreadable:
    """A column in which not every value can be understood as a time.

    Attributes:
        problem: the values that cannot, with their rows; in words for the user.
        looks_like_time: most values are times, or look so.
        is_number: the values are plain numbers.
        share_like_time: the share of the values that surely are times, in [0, 1].
        is_read: a format reads at least some of them.
    """

    problem: str
    looks_like_time: bool
    is_number: bool = False
    share_like_time: float = 0.0
    is_read: bool = False


Outcome = Readable | Ambiguous | Unreadable
