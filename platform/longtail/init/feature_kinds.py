"""What each column becomes: a single-valued, multi-valued or dense feature, or none, and why."""

from dataclasses import dataclass, replace
from typing import Literal

import duckdb

from longtail.init.column_profile import Profile, profile_column
from longtail.init.tables.column_readings import Reading
from longtail.init.tables.sql import one_row, quoted

Kind = Literal["single", "multi", "dense", "none"]

# A value that stands with one item only says nothing that the item's id does not say.
_NEAR_UNIQUE = 0.8
# In a table of a few rows nothing repeats.
_FEW_VALUES = 20
# Words a text, on average: fewer are a name.
_PROSE_WORDS = 3.0
_SHORTEST_WORD = 3


@dataclass(frozen=True)
class Column:
    """What is done with one column of items or queries.

    Attributes:
        source: its name in the table as it was given.
        name: its name in the project.
        kind: of the feature; `none` where the project does not have the column at all.
        feast_type: as `feast.types` spells it.
        expression: SQL over the view of readings.
        profile: its figures; None where it cannot be read.
        note: how its values were converted; empty where they were not.
        left_out: why the model does not get it; empty where it does.
        table: the embedding table that it shares with another feature or a key, else None.
        buckets: rows of its hashed vocabulary; None where the vocabulary is exact.
        is_text: its values are strings. Integers equal those of another column by accident.
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
    """Decide what a column becomes, as far as it alone can tell."""
    source, stored = reading.name, quoted(reading.name)
    if reading.form == "unreadable":
        return Column(source, name, "none", "", stored, None, left_out=reading.reason)
    if reading.form == "moment":
        reason = "it is a moment in time: derive a category from it, such as the year"
        return Column(source, name, "none", "", stored, None, reading.note, reason)
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
    if reading.form == "string" and is_near_unique(column, num_rows):
        return _as_words(connection, view, column, num_rows)
    return column


def _as_words(
    connection: duckdb.DuckDBPyConnection, view: str, column: Column, num_rows: int
) -> Column:
    """Prose becomes the list of its words; other texts stay."""
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
    return column if is_near_unique(split, num_rows) else split


def is_near_unique(column: Column, num_keys: int) -> bool:
    """Whether hardly two rows share a value of a categorical column.

    Args:
        num_keys: different items or queries; those with several rows repeat their values.
    """
    if column.kind not in ("single", "multi") or column.profile is None:
        return False
    profile = column.profile
    occurrences = min(profile.num_values, num_keys * profile.length)
    return profile.num_distinct > max(_FEW_VALUES, _NEAR_UNIQUE * occurrences)


def left_out_reason(column: Column, num_keys: int) -> str:
    """Why the model should not get a column that it could take; empty where it should."""
    profile = column.profile
    if column.left_out or profile is None:
        return column.left_out
    if (
        profile.num_distinct == 1
        and profile.coverage == 1.0
        and column.feast_type != "Array(Float32)"
    ):
        return "it has the same value everywhere"
    if column.table is None and is_near_unique(column, num_keys):
        reason = (
            f"near-unique, {profile.num_distinct:,} values in {profile.num_values:,}: it says "
            "nothing that the id does not say"
        )
        if column.feast_type == "Int64":
            reason += "; if it is a quantity, write it as a float, and it is a dense feature"
        return reason
    return ""
