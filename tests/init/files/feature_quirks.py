"""Quirks of features: the column that shows the group, and columns that stand beside it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from tests.init.files.draft import PARQUET, Column, Draft, Format, Quirk, TableName

ALL: tuple[Format, ...] = (*PARQUET, "csv")
WORDS = ("amber", "basalt", "cobalt", "dune", "ember", "fjord", "glade", "heath", "islet", "knoll")


@dataclass(frozen=True)
class Kind:
    """One kind of feature.

    Attributes:
        name: the column's name on the items' side.
        make: the value of a row, from the draft and the row's number.
        type: the Arrow type; None where only pandas can hold the values.
        read: what a value means, if not itself; None: it is not compared.
    """

    name: str
    make: Callable[[Draft, int], Any]
    type: pa.DataType | None
    formats: tuple[Format, ...] = ALL
    read: Callable[[Any], Any] | None = lambda value: value
    cell: Callable[[Any], str] | None = None
    category: bool = False


def _words(n: int) -> list[str]:
    return [WORDS[n % 10], WORDS[(3 * n + 1) % 10]][: 1 + n % 2]


def _prose(draft: Draft, n: int) -> str:
    chosen = draft.random.choice(WORDS, 6).tolist()
    return f"A tale of {chosen[0]}, {chosen[1]} and {chosen[2]}: {n} pages on {chosen[3]}"


def _drawn(low: int, high: int) -> Callable[[Draft, int], int]:
    return lambda draft, n: int(draft.random.integers(low, high))


def _interval(draft: Draft, n: int) -> Any:
    import pandas as pd

    return pd.Interval(n % 5, n % 5 + 1)


def _split(mark: str) -> Callable[[Any], set[str]]:
    return lambda value: {part.strip() for part in value.split(mark)}


def _listed(mark: str) -> Callable[[Any], str]:
    return lambda value: mark.join(str(part) for part in value)


KINDS: dict[str, Kind] = {
    "words": Kind("colour", lambda draft, n: WORDS[n % 7], pa.string()),
    "categories": Kind(
        "shade", lambda draft, n: WORDS[n % 7], pa.string(), ("pandas",), category=True
    ),
    "dictionary": Kind(
        "shade", lambda draft, n: WORDS[n % 7], pa.dictionary(pa.int8(), pa.string()), ("arrow",)
    ),
    "large strings": Kind("colour", lambda draft, n: WORDS[n % 7], pa.large_string(), PARQUET[:3]),
    "years": Kind("year", _drawn(1950, 2021), pa.int64()),
    "prices": Kind("price", _drawn(1, 90), pa.int64()),
    "zip codes": Kind("zip", _drawn(1, 100), pa.int64()),
    "padded codes": Kind("shelf", lambda draft, n: f"{n % 30:04d}", pa.string()),
    "digits in text": Kind("ward", lambda draft, n: str(n % 40), pa.string(), PARQUET),
    "small integers": Kind("pages", _drawn(1, 13), pa.int16(), PARQUET),
    "integers with gaps": Kind(
        "floors", lambda draft, n: None if n % 6 == 0 else n % 5, pa.int64()
    ),
    "large integers": Kind("points", _drawn(10**15, 10**15 + 30), pa.int64()),
    "floats": Kind(
        "width", lambda draft, n: round(float(draft.random.uniform(0, 9)), 3), pa.float64()
    ),
    "floats with NaN": Kind(
        "depth",
        lambda draft, n: None if n % 8 == 0 else round(float(draft.random.uniform(0, 9)), 3),
        pa.float64(),
    ),
    "decimals": Kind(
        "cost", lambda draft, n: Decimal(n % 17) / 4, pa.decimal128(9, 2), read=float
    ),
    "booleans": Kind(
        "hardback", lambda draft, n: n % 3 == 0, pa.bool_(), read=lambda v: str(v).lower()
    ),
    "lists of words": Kind(
        "tags", lambda draft, n: _words(n), pa.list_(pa.string()), PARQUET, read=set
    ),
    "lists in text": Kind(
        "tags", lambda draft, n: "|".join(_words(n)), pa.string(), read=_split("|")
    ),
    "lists with commas": Kind(
        "tags", lambda draft, n: ", ".join(_words(n)), pa.string(), read=_split(",")
    ),
    "JSON lists": Kind(
        "tags",
        lambda draft, n: '["' + '", "'.join(_words(n)) + '"]',
        pa.string(),
        read=lambda v: set(v.strip('[]"').split('", "')),
    ),
    "lists as Python prints them": Kind(
        "tags",
        lambda draft, n: str(_words(n)),
        pa.string(),
        read=lambda v: set(v.strip("[]'").split("', '")),
    ),
    "lists of integers": Kind(
        "parts", lambda draft, n: [n % 7, n % 5], pa.list_(pa.int64()), PARQUET, read=set
    ),
    "vectors": Kind(
        "vector", lambda draft, n: [n / 7, n / 5], pa.list_(pa.float32()), PARQUET, read=None
    ),
    "prose": Kind("blurb", _prose, pa.string(), read=None),
    "constants": Kind("shop", lambda draft, n: "north", pa.string()),
    "constant integers": Kind("version", lambda draft, n: 3, pa.int64()),
    "near-unique words": Kind("slug", lambda draft, n: f"x{n * 7919 % 10_007}", pa.string()),
    "near-unique integers": Kind("isbn", lambda draft, n: n * 7919 % 10_007, pa.int64()),
    "nulls": Kind("series", lambda draft, n: None if n % 3 else WORDS[n % 4], pa.string()),
    "nothing at all": Kind("notes", lambda draft, n: None, pa.string()),
    "NA": Kind("country", lambda draft, n: ("NA", "DE", "ZA", "NO")[n % 4], pa.string()),
    "days": Kind(
        "released", lambda draft, n: date(1990 + n % 30, 5, 17), pa.date32(), read=None
    ),
    "structs": Kind(
        "box",
        lambda draft, n: {"w": n % 4, "h": "x"},
        pa.struct({"w": pa.int64(), "h": pa.string()}),
        PARQUET,
        read=None,
    ),
    "maps": Kind(
        "labels",
        lambda draft, n: [("a", str(n % 3))],
        pa.map_(pa.string(), pa.string()),
        ("arrow", "duckdb"),
        read=None,
    ),
    "timedeltas": Kind(
        "lasts", lambda draft, n: timedelta(minutes=n), pa.duration("us"), ("pandas", "arrow"),
        read=None,
    ),
    "times of day": Kind(
        "opens",
        lambda draft, n: datetime(2000, 1, 1, n % 24, tzinfo=UTC).time(),
        pa.time64("us"),
        PARQUET[:3],
        read=None,
    ),
    "intervals": Kind("age band", _interval, None, ("pandas",), read=None),
    "bytes": Kind("thumb", lambda draft, n: bytes([n % 200]), pa.binary(), PARQUET, read=None),
    "a name with a blank": Kind("Sub Genre", lambda draft, n: WORDS[n % 6], pa.string()),
    "a name of digits": Kind("2023", lambda draft, n: WORDS[n % 6], pa.string(), PARQUET),
    "a reserved name": Kind("weight", _drawn(1, 12), pa.int64()),
    "quotes and line ends": Kind(
        "quote", lambda draft, n: f'"{WORDS[n % 6]}",\nshe said', pa.string(), read=None
    ),
}  # fmt: skip


def _add(draft: Draft, table: TableName, kind: Kind) -> None:
    values = [kind.make(draft, n) for n in range(draft.num_rows(table))]
    name = _name(table, kind)
    truth = None
    if kind.read is not None and table != "interactions":
        truth = [None if value is None else kind.read(value) for value in values]
    cells = None
    if kind.cell is not None:
        cells = ["" if value is None else kind.cell(value) for value in values]
    part = "other" if table == "interactions" else "feature"
    draft.tables[table].append(
        Column(name, values, kind.type, part, f"{table} {kind.name}", truth, cells,  # type: ignore[arg-type]
               category=kind.category)
    )  # fmt: skip


def _similar(draft: Draft) -> None:
    """Give each item the ids of two others: a feature of the same meaning as the key."""
    column = draft.column("items", "item key")
    values = list(column.values)
    size = len(values)
    near = [[values[(n + 1) % size], values[(n + 2) % size]] for n in range(size)]
    draft.tables["items"].append(Column("similar", near, pa.list_(column.type), "feature", "item"))


def _group_as(
    name: str, make: Callable[[int], Any], kind: pa.DataType, read: Callable[[Any], Any] = str
) -> Callable[[Draft], None]:
    """Return a quirk that shows the group in another form."""

    def apply(draft: Draft) -> None:
        column = draft.column("items", "group")
        column.name, column.type = name, kind
        column.values = [make(group) for group in draft.item_group]
        column.truth = [read(value) for value in column.values]
        column.meaning = name

    return apply


GROUPS: dict[str, tuple[str, Callable[[int], Any], pa.DataType, Any, tuple[Format, ...]]] = {
    "integers": ("category", lambda g: g + 1, pa.int64(), str, ALL),
    "years": ("year", lambda g: 1990 + g, pa.int64(), str, ALL),
    "codes": ("category_code", lambda g: f"0{g}", pa.string(), str, ALL),
    "lists": ("genres", lambda g: [f"g{g}", "all"], pa.list_(pa.string()), set, PARQUET),
    "lists in text": ("genres", lambda g: f"g{g}|all", pa.string(), lambda v: set(v.split("|")),
                      ALL),
    "accents": ("genre", lambda g: "éàüñçøåß"[g] * 3, pa.string(), str, ALL),
    "several words": ("genre", lambda g: f"{WORDS[g]} & co, {g}", pa.string(), str, ALL),
}  # fmt: skip


def _name(table: TableName, kind: Kind) -> str:
    """Return the name of a kind's column; a query's never equals an item's."""
    if table != "queries":
        return kind.name
    return f"home_{kind.name}" if kind.name.isidentifier() else f"home {kind.name}"


def _sequence(kinds: Sequence[str], table: TableName) -> Callable[[Draft], None]:
    def apply(draft: Draft) -> None:
        chosen = draft.random.choice(len(kinds), 2, replace=False)
        for number in chosen:
            kind = KINDS[kinds[number]]
            taken = {column.name for column in draft.tables[table]}
            # Spark writes no two columns of one name. The others do, and `init` refuses them.
            twice = draft.format == "spark" and _name(table, kind) in taken
            if draft.format in kind.formats and kind.name not in taken and not twice:
                draft.applied[-1] += f" {kinds[number]}"
                _add(draft, table, kind)

    return apply


# Columns that the interactions may have beside the ids.
EXTRAS = (
    *("words", "floats", "prose", "booleans", "near-unique words", "structs", "nulls"),
    *("nothing at all", "intervals", "prices", "constants"),
)
QUIRKS = [
    *(
        Quirk(f"{table}: {name}", f"{table} feature",
              lambda draft, table=table, kind=kind: _add(draft, table, kind), kind.formats)
        for table in ("items", "queries") for name, kind in KINDS.items()
    ),
    *(
        Quirk(f"interactions: {name}", "interactions extra",
              lambda draft, kind=KINDS[name]: _add(draft, "interactions", kind),
              KINDS[name].formats)
        for name in EXTRAS
    ),
    Quirk("items: two of", "items features", _sequence(list(KINDS), "items")),
    Quirk("queries: two of", "queries features", _sequence(list(KINDS), "queries")),
    Quirk("items: similar items", "items feature", _similar, PARQUET),
    *(
        Quirk(f"group as {name}", "group", _group_as(column, make, kind, read), formats)
        for name, (column, make, kind, read, formats) in GROUPS.items()
    ),
]  # fmt: skip
