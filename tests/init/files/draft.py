"""The parts of a generated project: columns that know what they mean, tables, excuses, answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa

Format = Literal["csv", "pandas", "arrow", "duckdb", "spark"]
FORMATS: tuple[Format, ...] = ("csv", "pandas", "arrow", "duckdb", "spark")
PARQUET: tuple[Format, ...] = FORMATS[1:]
TableName = Literal["items", "queries", "interactions"]
Part = Literal[
    *("item key", "query key", "time", "weight", "gone", "group", "feature", "row number", "other")
]


@dataclass
class Column:
    """A column of a table that is about to be written.

    Attributes:
        name: its name in the file.
        values: the values as Python objects, one per row.
        type: the Arrow type; None where only pandas can hold the values.
        part: the part that the column plays.
        meaning: the kind of thing that its values name; columns of two meanings share no
            embedding table.
        truth: what the values mean: for a key the entity's number, for a time the moment in UTC,
            for a weight the number or None, for a tombstone whether the item is gone, for a feature
            the value (a set for a list). None: nothing is compared.
        cells: how a CSV file spells the values, if not in the usual way.
        sql_type: the type that DuckDB casts the column to before it writes it.
        category: pandas holds the column as a categorical.
    """

    name: str
    values: Sequence[Any]
    type: pa.DataType | None
    part: Part
    meaning: str = ""
    truth: Sequence[Any] | None = None
    cells: Sequence[str] | None = None
    sql_type: str | None = None
    category: bool = False


@dataclass(frozen=True)
class Excuse:
    """A reason why `init` may refuse the files.

    Attributes:
        names: the message must contain one of these: the column, or the file where it is at fault.
            A column counts under the name that it has in the end.
        required: to accept the files without a word would be a guess.
        cure: the fields of the request with which the files must be accepted; empty if only another
            file helps. None stands for the draft's answer.
    """

    names: tuple["str | Column", ...]
    required: bool = False
    cure: Mapping[str, Any] = field(default_factory=dict)

    def fits(self, message: str) -> bool:
        """Return whether a message names what is at fault."""
        return any((name if isinstance(name, str) else name.name) in message for name in self.names)


@dataclass
class Dialect:
    """The way in which CSV files are written.

    Attributes:
        edit: changes the whole text of a file in the end.
    """

    delimiter: str = ","
    suffix: str = ".csv"
    encoding: str = "utf-8"
    quote_all: bool = False
    line_end: str = "\n"
    decimal_comma: bool = False
    by_pandas: bool = False
    edit: Callable[[str], str] | None = None


@dataclass
class Draft:
    """Three tables with a planted signal, and what is true of them.

    Attributes:
        item_group: the group of each item; each query likes the items of one.
        query_group: the group that each query likes.
        tables: the columns by table; no queries if their ids stand in the interactions alone.
        file_names: the names of the files, without suffix.
        spellings: by `item` and `query`, the ways in which the project may spell the ids; each has
            the text of every entity.
        num_files: files of each table; with more than one, the table is a folder.
        pandas_index: tables that pandas writes with an index of its own.
        answers: the truth as fields of the request, for questions.
        applied: the names of the quirks.
    """

    random: np.random.Generator
    format: Format
    item_group: list[int]
    query_group: list[int]
    tables: dict[TableName, list[Column]]
    file_names: dict[TableName, str]
    spellings: dict[str, list[list[str]]]
    dialect: Dialect = field(default_factory=Dialect)
    num_files: int = 1
    pandas_index: set[TableName] = field(default_factory=set)
    answers: dict[str, Any] = field(default_factory=dict)
    excuses: list[Excuse] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)

    def column(self, table: TableName, part: Part) -> Column:
        """Return the first column of a table that plays a part."""
        return next(column for column in self.tables[table] if column.part == part)

    def find(self, table: TableName, part: Part) -> Column | None:
        """Return the first column of a table that plays a part, if there is one."""
        found = (column for column in self.tables.get(table, []) if column.part == part)
        return next(found, None)

    def num_rows(self, table: TableName) -> int:
        """Return the number of rows of a table."""
        return len(self.tables[table][0].values)

    def excuse(
        self,
        *names: str | Column,
        required: bool = False,
        cure: Mapping[str, Any] = {},
    ) -> None:
        """Allow a refusal that names one of these."""
        self.excuses.append(Excuse(names, required, dict(cure)))


@dataclass(frozen=True)
class Quirk:
    """One way in which files differ from tidy ones.

    Attributes:
        name: unique; with seed and format it repeats a project.
        role: at most one quirk of a role is applied to a project.
        apply: changes the draft.
        formats: the formats that can hold it.
    """

    name: str
    role: str
    apply: Callable[[Draft], None]
    formats: tuple[Format, ...] = FORMATS
