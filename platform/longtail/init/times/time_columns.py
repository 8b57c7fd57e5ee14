"""Finds the column that says when a row became true, and converts it to timestamps in UTC."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import duckdb

from longtail.init.tables.column_readings import Reading
from longtail.init.tables.raw_tables import RawTable
from longtail.init.tables.sql import one_row, quoted
from longtail.init.times.column_times import read_times
from longtail.init.times.outcomes import Ambiguous, Readable, Unreadable
from longtail.init.times.time_formats import check_format, has_day_second
from longtail.init.times.time_names import is_id, is_property, is_short, rank_of
from longtail.init.times.time_questions import (
    Found,
    ask_column,
    ask_format,
    refuse,
    refuse_gaps,
)

EPOCH = "TIMESTAMPTZ '1970-01-01 00:00:00+00'"
# Forms that no time has, whatever the column is called: `updated` may be true or false.
_NO_TIMES = ("boolean", "strings", "integers", "vector")
# Share of the numbers under a name that says nothing that must be times, to refuse the others.
_NEARLY_ALL = 0.9


@dataclass(frozen=True)
class Moment:
    """The timestamp of a table's rows.

    Attributes:
        column: the column that holds it; None if a constant is used instead.
        expression: SQL for a TIMESTAMPTZ, over the view of the table's readings.
        note: how the column was converted, or why a constant is used; in words for the user.
        is_guess: a careful person would look at the note before going on.
        format: the strptime format or the unit of its values; empty if they need none.
    """

    column: str | None
    expression: str
    note: str
    is_guess: bool = False
    format: str = ""


def snake_case(name: str) -> str:
    """Return a name in snake case: `createdAt` -> `created_at`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[\s\-.]+", "_", spaced).lower()


def find_moment(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    view: str,
    readings: Sequence[Reading],
    wanted: str | None,
    time_formats: Sequence[str] = (),
) -> Moment:
    """Return the timestamp of a table's rows.

    It comes from the column that the user named, else from the readable column with the best known
    name. In the interactions, the only column of type timestamp or date is taken whatever its name
    is; `unnamed_moment` looks for others.

    Args:
        view: the view of the table's readings.
        readings: the readings of the columns; those that are ignored may be left out.
        wanted: the column that the user named; in a table without this column another is found.
        time_formats: the strptime formats and units that the user named, for texts and numbers. A
            column is read by the first that fits all of its values.

    Raises:
        OpenQuestion: several columns fit equally, or the values can be read in several ways.
        InputError: the values of the column cannot be timestamps, or some are missing.
    """
    for time_format in time_formats:
        check_format(connection, time_format)
    search = _Search(connection, table, view, time_formats)
    if wanted is not None and wanted in table.names:
        return search.moment_of(search.read_wanted(wanted, readings))
    moment = search.known_moment(readings)
    if moment.column is not None or table.role != "interactions":
        return moment
    sure, others, broken = search.unnamed(readings, frozenset())
    if len(sure) == 1 and sure[0].reading.form == "moment" and not (others or broken):
        return replace(search.moment_of(sure[0]), is_guess=True)
    return moment


def unnamed_moment(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    view: str,
    readings: Sequence[Reading],
    used: Collection[str],
    time_formats: Sequence[str] = (),
) -> Moment | None:
    """Return the timestamp of interactions for which `find_moment` had none; None: no column fits.

    It is the only unused column that surely holds times. Any other that may hold them is asked for.

    Args:
        view: the view of the table's readings.
        used: the columns that have another role, such as the keys and the weight.
        time_formats: see `find_moment`.

    Raises:
        OpenQuestion: numbers may be times or something else, or several columns fit equally.
        InputError: a column looks like time, but some values cannot be read, or are missing.
    """
    search = _Search(connection, table, view, time_formats)
    # The user may have named the column of the items, which the interactions do not have.
    known = search.known_moment([each for each in readings if each.name not in used])
    if known.column is not None:
        return known
    sure, others, broken = search.unnamed(readings, used)
    if broken:
        refuse(table, broken[0])
    if len(sure) == 1 and not others:
        moment = search.moment_of(sure[0])
        note = f"the only column that holds times; {moment.note}".removesuffix("; ")
        return replace(moment, note=note, is_guess=True)
    if sure or others:
        ask_column(connection, table, view, [*sure, *others])
    return None


def _absent() -> Moment:
    return Moment(None, EPOCH, "no timestamps: 1970-01-01 is used for all rows")


@dataclass(frozen=True)
class _Search:
    """A search for the timestamp in one table."""

    connection: duckdb.DuckDBPyConnection
    table: RawTable
    view: str
    time_formats: Sequence[str]

    def read(self, reading: Reading) -> Found:
        """Return a column with what its values are as times.

        The user names formats for all tables. A column that none of them fits is read without, if
        that leaves no question: another table may be meant. `infer.py` refuses a format that fits
        no table.
        """
        found = self._read_as_named(reading)
        if isinstance(found.outcome, Unreadable) and self.time_formats:
            plain = self._read_as(reading, None).outcome
            if isinstance(plain, Readable) and not found.outcome.is_read:
                named = ", ".join(self.time_formats)
                note = f"{plain.note} (--time-format {named} does not fit it)"
                return Found(reading, replace(plain, note=note, is_guess=True))
        return found

    def _read_as_named(self, reading: Reading) -> Found:
        """Return a column as read by the first of the formats that fits; else by the first."""
        found = [self._read_as(reading, each) for each in self.time_formats or (None,)]
        fitting = [each for each in found if not isinstance(each.outcome, Unreadable)]
        return (fitting or found)[0]

    def _read_as(self, reading: Reading, time_format: str | None) -> Found:
        is_text = any(each.is_text for each in self.table.columns if each.name == reading.name)
        if time_format and reading.form == "moment" and is_text and has_day_second(time_format):
            problem = f"its dates were read as ISO, year-month-day, and not as {time_format}"
            return Found(reading, Unreadable(problem, looks_like_time=True))
        return Found(reading, read_times(self.connection, self.view, reading, time_format))

    def read_wanted(self, wanted: str, readings: Iterable[Reading]) -> Found:
        """Return the column that the user named; it may be unreadable, and so not in the view."""
        missing = Reading(wanted, "unreadable", "", reason="it cannot be read, or is ignored")
        reading = next((each for each in readings if each.name == wanted), missing)
        return self._read_as_named(reading)

    def known_moment(self, readings: Sequence[Reading]) -> Moment:
        """Return the timestamp in the column with the best known name that is readable."""
        is_interaction = self.table.role == "interactions"
        ranked = [
            (rank, reading)
            for reading in readings
            if (rank := rank_of(snake_case(reading.name), is_interaction=is_interaction))
            is not None
            and reading.form not in _NO_TIMES
            and not reading.reason.startswith("it is ignored")
        ]
        unreadable: list[Found] = []
        for _, group in groupby(sorted(ranked, key=lambda pair: pair[0]), lambda pair: pair[0]):
            found = [self.read(reading) for _, reading in group]
            fitting = [each for each in found if not isinstance(each.outcome, Unreadable)]
            unreadable += [each for each in found if isinstance(each.outcome, Unreadable)]
            if fitting:
                moment = self.choose(fitting)
                # A name as good, such as `time` beside `date`, is not dropped without a word.
                for each in self._worth_a_word(unreadable):
                    note = f"{moment.note}; `{each.reading.name}` is not used: {each.problem}"
                    moment = replace(moment, note=note.removeprefix("; "), is_guess=True)
                return moment
        worth = self._worth_a_word(unreadable)
        if worth:
            refuse(self.table, worth[0])
        return _absent()

    def _worth_a_word(self, unreadable: Iterable[Found]) -> list[Found]:
        """Return the columns that must not be dropped, those that look like time first.

        Items and queries may have a feature called `day`: there, the name alone says nothing.
        """
        likely = [each for each in unreadable if each.looks_like_time]
        if self.table.role != "interactions":
            return likely
        return likely + [each for each in unreadable if not each.looks_like_time]

    def unnamed(
        self, readings: Iterable[Reading], used: Collection[str]
    ) -> tuple[list[Found], list[Found], list[Found]]:
        """Return the columns of unknown names: those that surely are times, may be, and look so."""
        sure: list[Found] = []
        others: list[Found] = []
        broken: list[Found] = []
        for reading in readings:
            name = snake_case(reading.name)
            if reading.name in used or reading.form in (*_NO_TIMES, "unreadable"):
                continue
            found = self.read(reading)
            outcome = found.outcome
            if outcome.is_number and is_id(name):
                continue
            needs_proof = outcome.is_number and not is_short(name)
            if isinstance(outcome, Unreadable):
                is_likely = outcome.share_like_time >= _NEARLY_ALL or not needs_proof
                broken += [found] if outcome.looks_like_time and is_likely else []
            elif is_property(name) or needs_proof or _is_like_a_version(outcome):
                others.append(found)
            else:
                sure.append(found)
        return sure, others, broken

    def choose(self, fitting: Sequence[Found]) -> Moment:
        """Return the moment of the only column, or of several that hold the same moments."""
        if len(fitting) > 1:
            complete = [each for each in fitting if not self._num_missing(each)]
            fitting = complete or fitting
        if len(fitting) > 1 and not self._are_same(fitting):
            ask_column(self.connection, self.table, self.view, fitting)
        return self.moment_of(fitting[0])

    def _num_missing(self, found: Found) -> int:
        missing = f"count(*) FILTER ({quoted(found.reading.name)} IS NULL)"
        (missing,) = one_row(self.connection, f"SELECT {missing} FROM {self.view}")
        return int(missing)

    def _are_same(self, found: Sequence[Found]) -> bool:
        expressions = [
            each.outcome.expression for each in found if isinstance(each.outcome, Readable)
        ]
        if len(expressions) < len(found):
            return False
        differ = " OR ".join(f"{expressions[0]} IS DISTINCT FROM {sql}" for sql in expressions[1:])
        (count,) = one_row(self.connection, f"SELECT count(*) FILTER ({differ}) FROM {self.view}")
        return not count

    def moment_of(self, found: Found) -> Moment:
        """Return the moment of a column.

        Raises:
            OpenQuestion: its values can be read in several ways.
            InputError: they cannot be read, or some are missing.
        """
        name, outcome = found.reading.name, found.outcome
        if isinstance(outcome, Unreadable):
            refuse(self.table, found)
        if isinstance(outcome, Ambiguous):
            ask_format(self.table, found)
        missing = self._num_missing(found)
        if missing:
            refuse_gaps(self.table, name, missing)
        return Moment(name, outcome.expression, outcome.note, outcome.is_guess, outcome.format)


def _is_like_a_version(outcome: Readable | Ambiguous) -> bool:
    """Return whether the texts are like 12.10.05, which may as well be a version."""
    return all(re.fullmatch(r"%[ymd]\W%[ymd]\W%[ymd]", format_) for format_ in outcome.formats)
