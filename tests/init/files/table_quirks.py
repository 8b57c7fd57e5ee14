"""Quirks of whole tables: row numbers, the order of columns, and how CSV files are written."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa

from tests.init.files.draft import Column, Draft, Format, Quirk, TableName

TABLES: tuple[TableName, ...] = ("items", "queries", "interactions")
# In the interactions an `index` may be anything; by these names it is pandas' or R's.
ROW_NUMBERS: dict[str, tuple[Format, ...]] = {
    "Unnamed: 0": ("csv", "pandas", "arrow", "duckdb", "spark"),
    "": ("csv",),
    "index": ("csv", "pandas", "arrow", "duckdb", "spark"),
    "level_0": ("csv", "pandas", "arrow"),
    "__index_level_0__": ("arrow", "duckdb"),
    "_c0": ("csv", "arrow", "spark"),
    "rownames": ("csv", "arrow"),
}


def _row_numbers(draft: Draft, table: TableName, *names: str) -> None:
    for start, name in enumerate(names):
        numbers = list(range(start, draft.num_rows(table) + start))
        draft.tables[table].insert(0, Column(name, numbers, pa.int64(), "row number", "row"))


def _numbered_items(draft: Draft) -> None:
    """The issue's first row: ids from 1 beside row numbers from 0."""
    for column in (draft.column("items", "item key"), draft.column("interactions", "item key")):
        column.values = [entity + 1 for entity in column.truth or []]
        column.type = pa.int64()
    draft.spellings["item"] = [[str(n + 1) for n in range(len(draft.item_group))]]
    draft.column("items", "item key").name = "id"
    draft.answers["item_key"] = "id=item_id"
    _row_numbers(draft, "items", "Unnamed: 0")


def _pandas_index(draft: Draft) -> None:
    draft.pandas_index.update(draft.tables)


def _extra_ids(name: str, make: Callable[[Draft, int], Any], kind: pa.DataType) -> Quirk:
    def apply(draft: Draft) -> None:
        values = [make(draft, n) for n in range(draft.num_rows("interactions"))]
        draft.tables["interactions"].insert(0, Column(name, values, kind, "other", name))

    return Quirk(f"interactions have {name}", "interaction ids", apply)


def _shuffled(draft: Draft) -> None:
    for columns in draft.tables.values():
        draft.random.shuffle(columns)  # type: ignore[arg-type]


def _files(draft: Draft) -> None:
    draft.num_files = 3


def _names_of_files(draft: Draft) -> None:
    draft.file_names |= {"items": "books", "queries": "users", "interactions": "events"}


def _repeated_rows(draft: Draft) -> None:
    """Write the first items twice, as a concatenation of exports does."""
    for column in draft.tables["items"]:
        column.values = [*column.values, *column.values[:5]]
        column.truth = None if column.truth is None else [*column.truth, *column.truth[:5]]
    draft.excuse(f"/{draft.file_names['items']}")


def _dialect(**changes: Any) -> Callable[[Draft], None]:
    def apply(draft: Draft) -> None:
        draft.dialect = replace(draft.dialect, **changes)

    return apply


def _edited(
    edit: Callable[[str], str], *names: str, cure: dict[str, Any] | None = None
) -> Callable[[Draft], None]:
    """Return a quirk that changes the text of every file; with names, init may refuse it."""

    def apply(draft: Draft) -> None:
        draft.dialect = replace(draft.dialect, edit=edit)
        if names:
            draft.excuse(*(names), *(f"/{each}" for each in draft.file_names.values()),
                         cure=cure or {})  # fmt: skip

    return apply


def _lines(change: Callable[[int, str], str]) -> Callable[[str], str]:
    def edit(text: str) -> str:
        if '"' in text:  # a comma in quotes is no delimiter
            return text
        lines = text.split("\n")
        return "\n".join(change(n, line) if line else line for n, line in enumerate(lines))

    return edit


def _latin(draft: Draft) -> None:
    draft.dialect = replace(draft.dialect, encoding="latin-1")
    column = draft.column("items", "group")
    column.values = [f"é{value}" for value in column.values]
    column.truth = list(column.values)
    draft.excuse(f"/{draft.file_names['items']}", required=True)


def _utf16(draft: Draft) -> None:
    draft.dialect = replace(draft.dialect, encoding="utf-16")
    draft.excuse(*(f"/{each}" for each in draft.file_names.values()))


def _decimal_comma(draft: Draft) -> None:
    draft.dialect = replace(draft.dialect, decimal_comma=True, delimiter=";")
    widths = [0.5 + n % 13 / 4 for n in range(draft.num_rows("items"))]
    draft.tables["items"].append(Column("width", widths, pa.float64(), "feature", "w", widths))
    draft.excuse("width")


def _decimal_comma_weights(draft: Draft) -> None:
    draft.dialect = replace(draft.dialect, decimal_comma=True, delimiter=";")
    weights = [0.5 + n % 13 / 4 for n in range(draft.num_rows("interactions"))]
    draft.tables["interactions"].append(
        Column("weight", weights, pa.float64(), "weight", "weight", weights)
    )
    draft.excuse("weight")


def _with_header_gone(text: str) -> str:
    return text.split("\n", 1)[1]


def _no_header(draft: Draft) -> None:
    draft.dialect = replace(draft.dialect, edit=_with_header_gone)
    draft.excuse(*(f"/{each}" for each in draft.file_names.values()), required=True)


CSV: tuple[Format, ...] = ("csv",)
QUIRKS = [
    *(
        Quirk(f"{table} have row numbers {name!r}", f"{table} rows",
              lambda draft, table=table, name=name: _row_numbers(draft, table, name), formats)
        for table in TABLES for name, formats in ROW_NUMBERS.items()
    ),
    *(
        Quirk(f"{table} have row numbers twice", f"{table} rows",
              lambda draft, table=table: _row_numbers(draft, table, "Unnamed: 0", "Unnamed: 0.1"))
        for table in TABLES
    ),
    Quirk("items from 1, row numbers from 0", "items rows", _numbered_items),
    Quirk("pandas writes its index", "index", _pandas_index, ("pandas",)),
    _extra_ids("event_id", lambda draft, n: n + 1, pa.int64()),
    _extra_ids("id", lambda draft, n: n + 1, pa.int64()),
    _extra_ids("order_no", lambda draft, n: f"o{n}", pa.string()),
    _extra_ids("uuid", lambda draft, n: str(uuid.UUID(bytes=draft.random.bytes(16))), pa.string()),
    _extra_ids("url", lambda draft, n: f"https://shop.org/{n}?a=b,c", pa.string()),
    Quirk("columns in any order", "order", _shuffled),
    Quirk("several files", "files", _files, ("csv", "pandas", "arrow", "duckdb")),
    Quirk("files with names of their own", "file names", _names_of_files),
    Quirk("items written twice", "repeats", _repeated_rows),
    Quirk("semicolons", "dialect", _dialect(delimiter=";"), CSV),
    Quirk("tabs", "dialect", _dialect(delimiter="\t", suffix=".tsv"), CSV),
    Quirk("tabs in .csv", "dialect", _dialect(delimiter="\t"), CSV),
    Quirk("bars", "dialect", _dialect(delimiter="|", suffix=".txt"), CSV),
    Quirk("gzip", "dialect", _dialect(suffix=".csv.gz"), CSV),
    Quirk("byte-order mark", "dialect", _dialect(encoding="utf-8-sig"), CSV),
    Quirk("everything quoted", "dialect", _dialect(quote_all=True), CSV),
    Quirk("lines end as on Windows", "dialect", _dialect(line_end="\r\n"), CSV),
    Quirk("written by pandas", "dialect", _dialect(by_pandas=True), CSV),
    Quirk("UTF-16", "dialect", _utf16, CSV),
    Quirk("Latin-1", "dialect", _latin, CSV),
    Quirk("a blank after each comma", "dialect",
          _edited(_lines(lambda n, line: line.replace(",", ", "))), CSV),
    Quirk("blanks around the header", "dialect",
          _edited(_lines(lambda n, line: line.replace(",", " , ") if n == 0 else line)), CSV),
    Quirk("a comma at the end of each line", "dialect",
          _edited(_lines(lambda n, line: line + ",")), CSV),
    Quirk("a comma at the end of each line but the first", "dialect",
          _edited(_lines(lambda n, line: line + "," if n else line), "columns"), CSV),
    Quirk("empty lines at the end", "dialect", _edited(lambda text: text + "\n\n"), CSV),
    Quirk("comments on top", "dialect",
          _edited(lambda text: "# exported\n# by the shop, 2024\n" + text, "#",
                  cure={"comment": "#"}), CSV),
    Quirk("one comment on top", "dialect",
          _edited(lambda text: "# exported\n" + text, "#", cure={"comment": "#"}), CSV),
    Quirk("sep= on top", "dialect", _edited(lambda text: "sep=,\n" + text, "sep="), CSV),
    Quirk("row names of R", "dialect",
          _edited(_lines(lambda n, line: f"{n},{line}" if n else line), "columns"), CSV),
    Quirk("no header", "dialect", _no_header, CSV),
    Quirk("decimal commas", "dialect", _decimal_comma, CSV),
    Quirk("decimal commas in weights", "dialect", _decimal_comma_weights, CSV),
]  # fmt: skip
