"""Asks the user about times, and refuses columns of times that cannot be read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import duckdb

from longtail.errors import InputError
from longtail.init.questions import Choice, OpenQuestion
from longtail.init.tables.column_readings import Reading
from longtail.init.tables.raw_tables import RawTable
from longtail.init.tables.sql import one_row
from longtail.init.times.outcomes import Ambiguous, Outcome, Readable, Unreadable


@dataclass(frozen=True)
class Found:
    """A column that may hold the time, and how its values read."""

    reading: Reading
    outcome: Outcome

    @property
    def problem(self) -> str:
        """The values that cannot be read; empty if all can."""
        return self.outcome.problem if isinstance(self.outcome, Unreadable) else ""

    @property
    def looks_like_time(self) -> bool:
        """Whether most values are times, although not all can be read."""
        return isinstance(self.outcome, Unreadable) and self.outcome.looks_like_time


def ask_column(
    connection: duckdb.DuckDBPyConnection, table: RawTable, view: str, found: Sequence[Found]
) -> NoReturn:
    """Raise the question which of the columns is the time."""
    names = [each.reading.name for each in found]
    cure = _ignore(table, names[0] if len(names) == 1 else "COLUMN")
    raise OpenQuestion(
        f"which column of {table.path} says when its rows happened (init does without a column if "
        f"you add {cure})",
        "time_column",
        [Choice(each.reading.name, _reason(connection, view, each.outcome)) for each in found],
    )


def _reason(connection: duckdb.DuckDBPyConnection, view: str, outcome: Outcome) -> str:
    """Return how a column reads, and from when to when its times are."""
    if isinstance(outcome, Ambiguous):
        return f"in the format {' or '.join(outcome.formats)}"
    assert isinstance(outcome, Readable)
    ends = [f"strftime({end}({outcome.expression}), '%Y-%m-%d %H:%M')" for end in ("min", "max")]
    first, last = one_row(connection, f"SELECT {', '.join(ends)} FROM {view}")
    note = f"{outcome.note}: " if outcome.note else ""
    return f"{note}{first} to {last}"


def ask_format(table: RawTable, found: Found) -> NoReturn:
    """Raise the question how the times in a column are written."""
    assert isinstance(found.outcome, Ambiguous)
    question = f"how are the times in column `{found.reading.name}` of {table.path} written"
    raise OpenQuestion(question, "time_format", found.outcome.choices)


def refuse(table: RawTable, found: Found) -> NoReturn:
    """Raise the error for a column that should hold times, and has values that are none."""
    name = found.reading.name
    where = f"column `{name}` of {table.path}"
    without = f"or train without it with {_ignore(table, name)}"
    if found.looks_like_time:
        raise InputError(
            f"{where} looks like times, but not all can be read: {found.problem}; correct these "
            "values, say how they are written with --time-format, name another column with "
            f"--time-column, {without}"
        )
    raise InputError(
        f"{where} holds no timestamps: name a column of timestamps, dates, texts such as "
        f"'2024-03-05 12:00' or numbers since 1970 with --time-column ({found.problem}), say how "
        f"the values are written with --time-format, {without}"
    )


def refuse_gaps(table: RawTable, name: str, missing: int) -> NoReturn:
    """Raise the error for a column of times in which some are missing."""
    raise InputError(
        f"column `{name}` of {table.path} is missing in {missing} of {table.num_rows} rows: fill "
        "it in, drop these rows, name another column with --time-column, or train without it with "
        f"{_ignore(table, name)}"
    )


def _ignore(table: RawTable, name: str) -> str:
    return f"--ignore {table.role}.{name}"
