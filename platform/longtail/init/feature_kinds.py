"""Decides what a column becomes: a single-valued, multi-valued or dense feature, or none."""

from dataclasses import dataclass, replace
from typing import Literal

import duckdb

from longtail.init.column_profile import Profile, profile_column
from longtail.init.tables.column_readings import Reading
from longtail.init.tables.sql import one_row, quoted

Kind = Literal["single", "multi", "dense", "none"]

# Largest share of different values among all values. A value that only one item has tells the model
# no more than the item's id does.
_NEAR_UNIQUE = 0.8
# With so few different values no column is near-unique: in a small table hardly anything repeats.
_FEW_VALUES = 20
# Mean number of words from which texts are prose. Shorter ones are names.
_PROSE_WORDS = 3.0
# Fewest letters and digits of a word of prose that is kept.
_SHORTEST_WORD = 3


@dataclass(frozen=True)
class Column:
    """A column of items or queries, and what the project does with it.

    Attributes:
        source: the name in the user's table.
        name: the name in the project.
        kind: the kind of feature; `none` if the project's table does not have the column at all.
        feast_type: the type in the spelling of `feast.types`; unused if the kind is `none`.
        expression: SQL over the view of readings.
        profile: the counts; None if the column is unreadable or a moment.
        note: how the values were converted; empty if they were not.
        left_out: why the model does not use the column; empty if it does.
        table: the embedding table that the column shares with another feature or a key, else None.
        buckets: rows of the hashed vocabulary; None if the vocabulary is exact.
        is_text: the values are strings. Integers can equal those of another column by accident.
    """

    source: str
    name: str
    kind: Kind
    feast_type: str
    expression: str
    profile: Profile | None
    note: str = ""
    left_out: str = ""
    table: str | None = None
    buckets: int | None = None
    is_text: bool = True


def plan_column(
    connection: duckdb.DuckDBPyConnection, view: str, reading: Reading, name: str, num_rows: int
) -> Column:
    """Return what a column becomes, as far as the column alone can tell.

    `embedding_tables.py` decides the rest, which depends on the other columns.
    """
    source, stored = reading.name, quoted(reading.name)
    if reading.form == "unreadable":
        return Column(source, name, "none", "", stored, None, left_out=reading.reason)
    if reading.form == "moment":
        reason = "it is a moment in time: derive a category from it, such as the year"
        return Column(source, name, "none", "", stored, None, reading.note, reason)
    # A plain string is the default. The other forms change the type, and dense ones the kind.
    profile = profile_column(connection, view, reading, num_rows)
    column = Column(source, name, "single", "String", stored, profile, reading.note)
    if not profile.num_values:
        return replace(column, kind="none", left_out="it has no value at all")
    match reading.form:
        case "boolean":
            column = replace(
                column,
                expression=f"CASE WHEN {stored} THEN 'true' WHEN NOT {stored} THEN 'false' END",
                note="booleans, read as the strings true and false",
            )
        case "integer":
            column = replace(column, feast_type="Int64", is_text=False)
        case "strings":
            column = replace(column, kind="multi", feast_type="Array(String)")
        case "integers":
            column = replace(column, kind="multi", feast_type="Array(Int64)", is_text=False)
        case "number":
            expression = f"CAST({stored} AS FLOAT)"
            column = replace(column, kind="dense", feast_type="Float32", expression=expression)
        case "vector":
            column = replace(column, kind="dense", feast_type="Array(Float32)")
    # As a whole, a title is useless to the model. Its words may recur in other titles.
    if reading.form == "string" and is_near_unique(column, num_rows):
        return _as_words(connection, view, column, num_rows)
    return column


def _as_words(
    connection: duckdb.DuckDBPyConnection, view: str, column: Column, num_rows: int
) -> Column:
    """Return a column of prose as a multi-valued feature of its words; any other as it is."""
    stored = quoted(column.source)
    (words,) = one_row(
        connection, f"SELECT avg(len(string_split_regex(trim({stored}), '\\s+'))) FROM {view}"
    )
    if words < _PROSE_WORDS:
        return column
    expression = (
        f"list_distinct(regexp_extract_all(lower({stored}), "
        f"'[\\p{{L}}\\p{{N}}]{{{_SHORTEST_WORD},}}'))"
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW prose AS SELECT {expression} AS words FROM {view}"
    )
    profile = profile_column(connection, "prose", Reading("words", "strings", ""), num_rows)
    split = replace(
        column,
        kind="multi",
        feast_type="Array(String)",
        expression=expression,
        profile=profile,
        note=f"prose, split into its words of at least {_SHORTEST_WORD} letters",
    )
    # Words that do not recur either, such as codes, are no better than the text as a whole.
    return column if is_near_unique(split, num_rows) else split


def is_near_unique(column: Column, num_keys: int) -> bool:
    """Return whether hardly any value of a categorical column belongs to two items or queries.

    Args:
        num_keys: number of different items or queries. A history has several rows for each, which
            repeat its values and so must not count as different occurrences.
    """
    if column.kind not in ("single", "multi") or column.profile is None:
        return False
    profile = column.profile
    occurrences = min(profile.num_values, num_keys * profile.length)
    return profile.num_distinct > max(_FEW_VALUES, _NEAR_UNIQUE * occurrences)


def left_out_reason(column: Column, num_keys: int) -> str:
    """Return why the model should not use a column; empty if it should.

    Args:
        num_keys: number of different items or queries.
    """
    profile = column.profile
    if column.left_out or profile is None:
        return column.left_out
    # A constant says nothing, but one that is missing in some rows does. A vector's values are not
    # compared.
    if (
        profile.num_distinct == 1
        and profile.coverage == 1.0
        and column.feast_type != "Array(Float32)"
    ):
        return "it has the same value everywhere"
    if column.table is None and is_near_unique(column, num_keys):
        reason = (
            f"near-unique, {profile.num_distinct:,} different values among "
            f"{profile.num_values:,}: it tells the model no more than the id"
        )
        if column.feast_type == "Int64":
            reason += "; if it is a quantity, write it as a float to make it a dense feature"
        return reason
    return ""
