"""Quirks of ids: how their values are stored, and how the columns are called on each side."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa

from tests.init.files.draft import PARQUET, Column, Draft, Format, Part, Quirk
from tests.init.files.tidy import name_answers

Side = Literal["item", "query"]
ALL: tuple[Format, ...] = (*PARQUET, "csv")


@dataclass(frozen=True)
class Ids:
    """The ids of one side, by entity.

    Attributes:
        own, own_type: the values in the side's own table.
        there, there_type: the values in the interactions; None: the same.
        texts: the spellings that the project may have; None: the values as text.
        refused: init may refuse them.
        required: it must, because they are no longer the ids.
        cure: the fields of the request that make the ids of both tables alike.
        sql_type: the type that DuckDB casts them to.
    """

    own: Sequence[Any]
    own_type: pa.DataType
    there: Sequence[Any] | None = None
    there_type: pa.DataType | None = None
    texts: list[list[str]] | None = None
    refused: bool = False
    required: bool = False
    cure: dict[str, Any] | None = None
    sql_type: str | None = None


def _numbers(ids: Sequence[int], kind: pa.DataType | None = None) -> Ids:
    return Ids(ids, kind or pa.int64())


def _sparse(draft: Draft, num: int, highest: int = 200_000) -> list[int]:
    found = draft.random.choice(highest, num, replace=False) + 1
    return [int(number) for number in found]


def _long(draft: Draft, num: int) -> list[int]:
    start = 10**18
    return [start + int(step) for step in draft.random.choice(8 * 10**18, num)]


def _plain(numbers: Sequence[int]) -> list[list[str]]:
    return [[str(number) for number in numbers]]


def _floats(draft: Draft, num: int) -> Ids:
    numbers = _sparse(draft, num)
    floats = [float(number) for number in numbers]
    return Ids(floats, pa.float64(), texts=_plain(numbers))


def _floats_there(draft: Draft, num: int) -> Ids:
    numbers = _sparse(draft, num)
    floats = [float(number) for number in numbers]
    return Ids(numbers, pa.int64(), floats, pa.float64(), _plain(numbers))


def _digits_there(draft: Draft, num: int) -> Ids:
    numbers = _sparse(draft, num)
    return Ids(numbers, pa.int64(), *_plain(numbers), pa.string(), _plain(numbers))


def _decimals(draft: Draft, num: int) -> Ids:
    numbers = _sparse(draft, num)
    return Ids([Decimal(n) for n in numbers], pa.decimal128(38, 0), texts=_plain(numbers))


def _decimals_there(draft: Draft, num: int) -> Ids:
    numbers = _long(draft, num)
    decimals = [Decimal(n) for n in numbers]
    return Ids(numbers, pa.int64(), decimals, pa.decimal128(38, 0), _plain(numbers))


def _huge_decimals(draft: Draft, num: int) -> Ids:
    numbers = [10**30 + number for number in _sparse(draft, num)]
    return Ids([Decimal(n) for n in numbers], pa.decimal128(38, 0), texts=_plain(numbers))


def _uuids(draft: Draft, num: int) -> list[uuid.UUID]:
    return [uuid.UUID(bytes=draft.random.bytes(16), version=4) for _ in range(num)]


def _uuid_texts(draft: Draft, num: int) -> Ids:
    return Ids([str(each) for each in _uuids(draft, num)], pa.string())


def _uuid_type(draft: Draft, num: int) -> Ids:
    found = _uuids(draft, num)
    texts = [[str(each) for each in found], [each.hex for each in found]]
    if draft.format == "arrow":
        return Ids([each.bytes for each in found], pa.uuid(), texts=texts)
    return Ids(texts[0], pa.string(), texts=texts, sql_type="UUID")


def _binary(draft: Draft, num: int) -> Ids:
    found = [draft.random.bytes(8) for _ in range(num)]
    texts = [[each.hex() for each in found], [each.hex().upper() for each in found]]
    return Ids(found, pa.binary(8), texts=texts, refused=True)


def _binary_texts(draft: Draft, num: int) -> Ids:
    texts = [f"key-{number:04d}" for number in _sparse(draft, num, 9000)]
    spellings = [texts, [text.encode().hex() for text in texts]]
    return Ids([text.encode() for text in texts], pa.binary(), texts=spellings, refused=True)


def _lost_digits(draft: Draft, num: int) -> Ids:
    numbers = _long(draft, num)
    floats = [float(number) for number in numbers]
    return Ids(numbers, pa.int64(), floats, pa.float64(), refused=True, required=True)


def _zeros_lost_there(draft: Draft, num: int) -> Ids:
    numbers = _sparse(draft, num, 9_999)
    padded = [f"{number:06d}" for number in numbers]
    cure = {"ids": ("strip-zeros",)}
    spellings = [padded, *_plain(numbers)]
    return Ids(padded, pa.string(), numbers, pa.int64(), spellings, refused=True, cure=cure)


def _blanks_there(draft: Draft, num: int) -> Ids:
    texts = [f"p{number}" for number in _sparse(draft, num)]
    blanks = [f"{text}  " for text in texts]
    cure = {"ids": ("trim",)}
    return Ids(texts, pa.string(), blanks, pa.string(), [texts], refused=True, cure=cure)


def _capitals_there(draft: Draft, num: int) -> Ids:
    texts = [f"ab{number}" for number in _sparse(draft, num)]
    capitals = [text.upper() for text in texts]
    cure = {"ids": ("lower",)}
    return Ids(texts, pa.string(), capitals, pa.string(), [texts], refused=True, cure=cure)


def _addresses(draft: Draft, num: int) -> Ids:
    return Ids([f"shop.org/p/{number}?a=1,2" for number in _sparse(draft, num)], pa.string())


def _listlike(draft: Draft, num: int) -> Ids:
    """Return ids of parts that repeat, joined by a bar: they look like lists."""
    return Ids([f"{number % 10}|{number // 10}" for number in range(num)], pa.string())


def _dates(draft: Draft, num: int) -> Ids:
    """Return ids that look like days."""
    days = [f"{2000 + number % 20}-{1 + number % 12:02d}-{1 + number // 20:02d}" for number in
            range(num)]  # fmt: skip
    return Ids(days, pa.string(), refused=True)


KINDS: dict[str, tuple[Callable[[Draft, int], Ids], tuple[Format, ...]]] = {
    "ids from 0": (lambda _, num: _numbers(range(num)), ALL),
    "ids from 1": (lambda _, num: _numbers(range(1, num + 1)), ALL),
    "sparse ids": (lambda draft, num: _numbers(_sparse(draft, num)), ALL),
    "int32 ids": (lambda draft, num: _numbers(_sparse(draft, num), pa.int32()), PARQUET),
    "uint64 ids": (
        lambda draft, num: Ids(
            [2**63 + n for n in _sparse(draft, num)],
            pa.uint64(),
        ),
        ("csv", "pandas", "arrow", "duckdb"),
    ),
    "19-digit ids": (lambda draft, num: _numbers(_long(draft, num)), ALL),
    "negative ids": (lambda _, num: _numbers([n - num // 2 for n in range(num)]), PARQUET),
    "padded ids": (
        lambda draft, num: Ids([f"{n:06d}" for n in _sparse(draft, num)], pa.string()),
        ALL,
    ),
    "prefixed ids": (
        lambda draft, num: Ids([f"SKU-{n}" for n in _sparse(draft, num)], pa.string()),
        ALL,
    ),
    "ids of digits in text": (
        lambda draft, num: Ids(*_plain(_sparse(draft, num)), pa.string()),
        PARQUET,
    ),
    "float ids": (_floats, ALL),
    "float ids in the interactions": (_floats_there, ALL),
    "text ids in the interactions": (_digits_there, PARQUET),
    "decimal ids": (_decimals, PARQUET),
    "decimal ids in the interactions": (_decimals_there, PARQUET),
    "31-digit decimal ids": (_huge_decimals, ALL),
    "uuid texts": (_uuid_texts, ALL),
    "uuid type": (_uuid_type, ("arrow", "duckdb")),
    "fixed binary ids": (_binary, ("pandas", "arrow", "duckdb")),
    "texts as binary ids": (_binary_texts, PARQUET),
    "digits lost in the interactions": (_lost_digits, PARQUET),
    "zeros lost in the interactions": (_zeros_lost_there, ALL),
    "blanks behind ids of the interactions": (_blanks_there, PARQUET),
    "capitals in ids of the interactions": (_capitals_there, ALL),
    "addresses as ids": (_addresses, ALL),
    "ids with a bar": (_listlike, ALL),
    "days as ids": (_dates, ALL),
}


def _set_ids(draft: Draft, side: Side, make: Callable[[Draft, int], Ids]) -> None:
    part: Part = "item key" if side == "item" else "query key"
    num = len(draft.item_group if side == "item" else draft.query_group)
    ids = make(draft, num)
    own = draft.find("items" if side == "item" else "queries", part)
    there = draft.column("interactions", part)
    has_own_form = own is not None and ids.there is not None
    for column, values, stored in (
        (own, ids.own, ids.own_type),
        (
            there,
            ids.there if has_own_form else ids.own,
            ids.there_type if has_own_form else ids.own_type,
        ),
    ):
        if column is not None:
            assert column.truth is not None
            assert values is not None
            column.values = [values[entity] for entity in column.truth]
            column.type, column.sql_type = stored, ids.sql_type
    draft.spellings[side] = ids.texts or [[str(value) for value in ids.own]]
    # Ids that differ between the tables are no trouble where there is one table.
    if ids.refused and (own is not None or ids.there is None):
        names = (there, *([own] if own else []))
        draft.excuse(*names, required=ids.required, cure=ids.cure or {})


def _gap(draft: Draft, side: Side, table: str) -> None:
    """Take some ids away, and store the others as pandas does: as floats."""
    part: Part = "item key" if side == "item" else "query key"
    _set_ids(draft, side, _floats)
    column = draft.column("interactions" if table == "interactions" else "items", part)
    values = list(column.values)
    for row in range(3, len(values), 41):
        values[row] = None
    column.values = values
    draft.excuse(column, required=True)


def _both_from_one(draft: Draft) -> None:
    for side in ("item", "query"):
        _set_ids(draft, side, lambda _, num: _numbers(range(1, num + 1)))


# Names in the own table and in the interactions, and whether the second is clear by itself or
# by being the same on both sides.
ITEM_NAMES = (
    *(("item_id", "item_id", True), ("id", "item_id", True), ("itemId", "itemId", True)),
    *(("ItemID", "item_id", True), ("product_id", "product_id", True), ("sku", "sku", True)),
    *(("id", "product_id", True), ("Item ID", "Item ID", True), ("movieId", "movieId", True)),
    *(("id", "book", True), ("asin", "asin", True), ("id", "sku", False)),
    *(("key", "artefact", False), ("code", "thing", False), ("id", "object_id", False)),
)
QUERY_NAMES = (
    *(("user_id", "user_id", True), ("id", "user_id", True), ("userId", "userId", True)),
    *(("customer", "customer", True), ("UserID", "user_id", True), ("login", "login", True)),
    *(("User ID", "User ID", True), ("id", "customer_id", True), ("id", "buyer", False)),
    *(("id", "reader", False), ("key", "who", False), ("no", "account_no", True)),
)


def _name_keys(draft: Draft, item: tuple[str, str, bool], query: tuple[str, str, bool]) -> None:
    for table, part, names in (
        ("items", "item key", item),
        ("queries", "query key", query),
    ):
        own = draft.find(table, part)  # type: ignore[arg-type]
        if own is not None:
            own.name = names[0]
        draft.column("interactions", part).name = names[1]  # type: ignore[arg-type]
    # A name that stands in both tables is clear only where both tables are there.
    query_clear = query[2] and ("queries" in draft.tables or query[1] != "login")
    if item[2] and query_clear:
        return
    columns = [draft.column("interactions", "item key"), draft.column("interactions", "query key")]
    columns += [draft.column("items", "item key")]
    columns += [draft.column("queries", "query key")] if "queries" in draft.tables else []
    draft.excuse(
        *columns,
        required=interchangeable(draft, item, query),
        cure={"item_key": None, "query_key": None},
    )


def interchangeable(
    draft: Draft, item: tuple[str, str, bool], query: tuple[str, str, bool]
) -> bool:
    """Return whether the two sides could as well be swapped: both by values and by names."""
    if item[2] or query[2] or "queries" not in draft.tables:
        return False
    ids = {side: set(texts[0]) for side, texts in draft.spellings.items()}
    asked = {
        side: {draft.spellings[side][0][n] for n in set(column.truth or [])}
        for side, column in (
            ("item", draft.column("interactions", "item key")),
            ("query", draft.column("interactions", "query key")),
        )
    }
    return all(
        len(ids[one] & asked[other]) >= 0.5 * len(asked[other])
        for one, other in (("item", "query"), ("query", "item"))
    )


def _random_names(draft: Draft) -> None:
    item = ITEM_NAMES[int(draft.random.integers(len(ITEM_NAMES)))]
    query = QUERY_NAMES[int(draft.random.integers(len(QUERY_NAMES)))]
    draft.applied[-1] += f" {'='.join(item[:2])} {'='.join(query[:2])}"
    _name_keys(draft, item, query)


def _no_queries(draft: Draft) -> None:
    del draft.tables["queries"]
    name_answers(draft)


def _same_thing(draft: Draft) -> None:
    """Give each query a feature with the name and words of an item's feature."""
    shown = draft.column("items", "group")
    first = [draft.item_group.index(group) for group in draft.query_group]
    assert shown.truth is not None
    values, truth = ([row[n] for n in first] for row in (shown.values, shown.truth))
    liked = Column(shown.name, values, shown.type, "feature", shown.meaning, truth)
    draft.tables["queries"].append(liked)


NO_QUERIES = Quirk("no queries table", "queries", _no_queries)
QUIRKS = [
    *(
        Quirk(
            f"{side}s: {name}",
            f"{side} ids",
            lambda draft, side=side, make=make: _set_ids(draft, side, make),
            formats,
        )
        for side in ("item", "query")
        for name, (make, formats) in KINDS.items()
    ),
    Quirk("items: ids missing in the interactions", "item ids",
          lambda draft: _gap(draft, "item", "interactions")),
    Quirk("items: ids missing", "item ids", lambda draft: _gap(draft, "item", "items")),
    Quirk("queries: ids missing in the interactions", "query ids",
          lambda draft: _gap(draft, "query", "interactions")),
    Quirk("both sides from 1", "item ids", _both_from_one),
    NO_QUERIES,
    Quirk("queries with the items' words", "query words", _same_thing),
    Quirk("names", "names", _random_names),
    *(
        Quirk(f"names {'='.join(names[:2])}", "names",
              lambda draft, names=names: _name_keys(draft, names, QUERY_NAMES[0]))
        for names in ITEM_NAMES[1:]
    ),
    *(
        Quirk(f"names {'='.join(names[:2])}", "names",
              lambda draft, names=names: _name_keys(draft, ITEM_NAMES[0], names))
        for names in QUERY_NAMES[1:]
    ),
    Quirk("names id=sku id=buyer", "names",
          lambda draft: _name_keys(draft, ("id", "sku", False), ("id", "buyer", False))),
]  # fmt: skip
