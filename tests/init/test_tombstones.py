"""Tests of tombstones: each spelling in each stored type, and the columns that are only suspected.

The items `i0`, `i1`, ... of every table repeat one pattern: there, gone, there, missing.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longtail.errors import InputError
from longtail.init.opened_table import OpenedTable, ReadingOptions, open_table
from longtail.init.tables.raw_tables import open_raw_table
from longtail.init.tombstones import Tombstone, find_tombstone, suspected_tombstones

NUM_ITEMS = 40
STILL_THERE = [n % 4 != 1 for n in range(NUM_ITEMS)]
PAST = datetime(2023, 5, 17, 8, tzinfo=UTC)

# Spellings of true and false.
WORDS = [
    *(("true", "false"), ("True", "False"), ("TRUE", "FALSE"), ("t", "f"), ("T", "F")),
    *(("yes", "no"), ("Yes", "No"), ("Y", "N"), ("y", "n"), ("on", "off")),
    *(("1", "0"), ("1.0", "0.0"), (" true", "false ")),
]
VALUES = [
    *((True, False, pa.bool_()), (1, 0, pa.int64()), (1, 0, pa.uint8())),
    *((1.0, 0.0, pa.float64()), (1.0, 0.0, pa.float32())),
    (Decimal(1), Decimal(0), pa.decimal128(1, 0)),
]
_THERE, _GONE = ("active", "enabled", "alive"), ("deleted", "removed", "archived", "discontinued")
FORMS = ("{}", "is_{}", "{}_flag", "IS_{}_FLAG")
# True where true means that the item is still there.
NAMES = {form.format(name): True for form in FORMS for name in _THERE}
NAMES |= {form.format(name): False for form in FORMS for name in _GONE}
NAMES |= {"isActive": True, "isalive": True, "isDeleted": False, "ISARCHIVED": False}
NAMES |= {"inactive": False, "is_inactive": False, "Disabled": False, "is_disabled": False}


@cache
def database() -> duckdb.DuckDBPyConnection:
    """Return one connection for all tests, because opening one takes longer than a test."""
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def opened(
    folder: Path, columns: dict[str, Any], ignore: tuple[str, ...] = ()
) -> tuple[duckdb.DuckDBPyConnection, OpenedTable]:
    """Open items with these columns beside `item_id`; Python texts in a tuple are cells of CSV."""
    num_rows = len(next(iter(columns.values())))
    columns = {"item_id": tuple(f"i{n}" for n in range(num_rows)), **columns}
    file = folder / "items.parquet"
    if all(isinstance(values, tuple) for values in columns.values()):
        file = folder / "items.csv"
        lines = [",".join(columns), *map(",".join, zip(*columns.values(), strict=True))]
        file.write_text("\n".join(lines) + "\n")
    else:
        arrays = {n: list(v) if isinstance(v, tuple) else v for n, v in columns.items()}
        pq.write_table(pa.table(arrays), file)
    connection = database()
    connection.execute("DROP VIEW IF EXISTS items_read")
    return connection, open_table(
        connection, open_raw_table("items", file, folder, connection), ReadingOptions(ignore=ignore)
    )


def find(
    folder: Path, columns: dict[str, Any], ignore: tuple[str, ...] = ()
) -> tuple[Tombstone | None, list[bool]]:
    """Return the tombstone, and whether each item is still there; a missing value counts as so."""
    connection, items = opened(folder, columns, ignore)
    used = {"item_id", items.moment.column} - {None}
    tombstone = find_tombstone(connection, items, {name for name in used if name})
    if tombstone is None:
        return None, []
    rows = connection.execute(
        f"SELECT coalesce({tombstone.expression}, true) FROM {items.view}"
    ).fetchall()
    return tombstone, [value for (value,) in rows]


def warnings(folder: Path, columns: dict[str, Any], ignore: tuple[str, ...] = ()) -> list[str]:
    connection, items = opened(folder, columns, ignore)
    used = {"item_id", items.moment.column} - {None}
    return suspected_tombstones(connection, items, {name for name in used if name})


def pattern(there: Any, gone: Any, missing: Any) -> list[Any]:
    return [(there, gone, there, missing)[n % 4] for n in range(NUM_ITEMS)]


def check_each(folder: Path, columns: dict[str, Any]) -> None:
    """Check that each of the columns alone is a tombstone with the pattern."""
    connection, items = opened(folder, columns)
    for name in columns:
        tombstone = find_tombstone(connection, items, {*items.raw.names} - {name})
        assert tombstone is not None, name
        rows = connection.execute(
            f"SELECT coalesce({tombstone.expression}, true) FROM {items.view}"
        ).fetchall()
        assert (name, [value for (value,) in rows]) == (tombstone.column, STILL_THERE)
        assert (name, tombstone.gone_share, tombstone.same) == (name, 0.25, ())
        assert "10 of 40 items are gone" in tombstone.note


TYPES: dict[str, tuple[Any, Callable[[list[Any]], Any]]] = {
    "csv": ("", tuple),
    "string": (None, list),
    "large_string": (None, lambda values: pa.array(values, pa.large_string())),
    "categories": (None, lambda values: pa.array(values).dictionary_encode()),
    "empty strings": ("", list),
    "the text nan": ("nan", list),
}


@pytest.mark.parametrize("stored", TYPES)
@pytest.mark.parametrize("is_there", [True, False])
def test_words_in_any_type(is_there: bool, stored: str, tmp_path: Path) -> None:
    missing, as_stored = TYPES[stored]
    names = [name for name, means_there in NAMES.items() if means_there == is_there]
    columns = {}
    for name, words in zip(names, WORDS, strict=False):
        there, gone = words if is_there else words[::-1]
        columns[name] = as_stored(pattern(there, gone, missing))
    assert len(columns) == len(WORDS)
    check_each(tmp_path, columns)


@pytest.mark.parametrize(("true", "false", "type_"), VALUES, ids=str)
def test_names_and_typed_values(true: Any, false: Any, type_: pa.DataType, tmp_path: Path) -> None:
    columns = {}
    for number, (name, is_there) in enumerate(NAMES.items()):
        there, gone = (true, false) if is_there else (false, true)
        # Whole floats are read in another way if some are missing.
        missing = (None, there)[number % 2]
        columns[name] = pa.array(pattern(there, gone, missing), type_)
    check_each(tmp_path, columns)


def test_a_missing_value_stays_missing_in_the_project_and_is_said(tmp_path: Path) -> None:
    """Everywhere else in longtail a null in `active` counts as true."""
    connection, items = opened(tmp_path, {"deleted": pattern(False, True, None)})
    tombstone = find_tombstone(connection, items, {"item_id"})
    assert tombstone is not None
    rows = connection.execute(f"SELECT {tombstone.expression} FROM {items.view}").fetchall()
    assert [value for (value,) in rows[:4]] == [True, False, True, None]
    assert tombstone.note == (
        "true means gone; 10 of 40 items are gone; missing in 10 rows, which count as still there"
    )


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("deleted_at", pa.array(pattern(None, PAST, None), pa.timestamp("us", "UTC"))),
        ("deletedAt", pa.array(pattern(None, PAST, None), pa.timestamp("ns"))),
        ("removed_at", pa.array(pattern(None, PAST.date(), None), pa.date32())),
        ("archived_at", pattern(None, "2023-05-17T08:00:00Z", None)),
        ("archived_at", tuple(pattern("", "2023-05-17 08:00:00", ""))),
        ("discontinued_at", tuple(pattern("", "2023-05-17", ""))),
        ("deleted_at", pattern("0000-00-00 00:00:00", "2023-05-17 08:00:00", None)),
        ("deleted_at", tuple(pattern("0000-00-00 00:00:00", "2023-05-17 08:00:00", ""))),
        ("deleted_at", pattern("9999-12-31 00:00:00", "2023-05-17 08:00:00", None)),
        ("deleted_at", tuple(pattern("9999-12-31", "2023-05-17", ""))),
        ("deleted_at", pa.array(pattern(None, 1_684_310_400, None), pa.int64())),
        ("deleted_at", pa.array(pattern(0, 1_684_310_400_000, 0), pa.int64())),
        ("deleted_at", tuple(pattern("", "1684310400", ""))),
        ("deleted_at", tuple(pattern("0", "1684310400", ""))),
    ],
)
def test_a_moment_in_the_past_means_gone(name: str, values: Any, tmp_path: Path) -> None:
    tombstone, there = find(tmp_path, {name: values})
    assert tombstone is not None
    assert (tombstone.column, there, tombstone.gone_share) == (name, STILL_THERE, 0.25)


@pytest.mark.parametrize(
    "columns",
    [
        {"active": pattern("high", "low", None)},
        {"active": pa.array(pattern(3, 0, None), pa.int64())},
        {"active": pa.array(pattern(0.5, 0.0, None), pa.float64())},
        {"active": pattern("active", "inactive", None)},
        {"deleted": pattern("no", "perhaps", None)},
        {"deleted": pa.array(pattern(None, PAST, None), pa.timestamp("us"))},
        {"deleted_at": pattern(None, "yesterday", None)},
        {"deleted_at": pa.array(pattern(0, 1, None), pa.int64())},
        {"archived": [[1, 2]] * NUM_ITEMS},
        {"is_active": [b"\x01"] * NUM_ITEMS},
    ],
)
def test_a_known_name_with_other_values_is_no_tombstone_and_is_warned_of(
    columns: dict[str, Any], tmp_path: Path
) -> None:
    assert find(tmp_path, columns) == (None, [])
    [name] = columns
    [warning] = warnings(tmp_path, columns)
    assert warning.startswith(f"column `{name}` of {tmp_path / 'items.parquet'} ")
    assert "stay in the catalogue and are recommended" in warning
    assert "add a boolean column `active`" in warning
    assert warnings(tmp_path, columns, ignore=(name,)) == []


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"status": pattern("ok", "deleted", None)}, "has values such as 'deleted' in 10 rows"),
        ({"item_status": pattern("ok", "Sold-Out", None)}, "values such as 'Sold-Out' in 10 rows"),
        ({"state": tuple(pattern("ok", "OUT_OF_STOCK", ""))}, "'OUT_OF_STOCK' in 10 rows"),
        ({"state": pattern("active", "inactive", None)}, "such as 'inactive' in 10 rows"),
        ({"available": pattern(True, False, None)}, "is false in 10 rows, .* column to `active`"),
        ({"in_stock": tuple(pattern("Y", "N", ""))}, "is false in 10 rows, .* column to `active`"),
        ({"inStock": tuple(pattern("1", "0", ""))}, "is false in 10 rows, .* column to `active`"),
        ({"is_published": pattern(1.0, 0.0, None)}, "is false in 10 rows, .* column to `active`"),
        ({"visible": pattern("t", "f", None)}, "is false in 10 rows, .* column to `active`"),
        ({"live": pattern("yes", "no", None)}, "is false in 10 rows, .* column to `active`"),
        ({"hidden": pattern(False, True, None)}, "is true in 10 rows, .* column to `deleted`"),
        ({"expired": pattern(0, 1, None)}, "is true in 10 rows, .* column to `deleted`"),
        ({"is_retired": pattern("N", "Y", None)}, "is true in 10 rows, .* column to `deleted`"),
        ({"expires_at": pattern(None, "2023-05-17", "9999-12-31")}, "has passed in 10 rows"),
    ],
)
def test_a_name_that_may_say_it_is_a_feature_and_is_warned_of(
    columns: dict[str, Any], message: str, tmp_path: Path
) -> None:
    assert find(tmp_path, columns) == (None, [])
    [warning] = warnings(tmp_path, columns)
    [name] = columns
    assert warning.startswith(f"column `{name}` of ")
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(warning)


@pytest.mark.parametrize(
    "columns",
    [
        {"status": pattern("new", "used", None)},
        {"state": pattern("CA", "TX", None)},
        {"available": [True] * NUM_ITEMS},
        {"hidden": [0] * NUM_ITEMS},
        {"colour": pattern("red", "deleted", None)},
        {"active": pa.nulls(NUM_ITEMS, pa.int64())},
        {"deleted": pa.nulls(NUM_ITEMS)},
        {"available": pattern(3, 0, None)},
    ],
)
def test_what_says_nothing_is_not_warned_of(columns: dict[str, Any], tmp_path: Path) -> None:
    assert find(tmp_path, columns) == (None, [])
    assert warnings(tmp_path, columns) == []


def test_items_that_are_gone_already_are_no_reason_for_a_warning(tmp_path: Path) -> None:
    gone = pattern(False, True, False)
    columns = {"deleted": gone, "status": pattern("ok", "deleted", "ok")}
    assert warnings(tmp_path, columns) == []
    [warning] = warnings(tmp_path, columns | {"status": pattern("ok", "deleted", "archived")})
    assert "'archived' in 10 rows" in warning


@pytest.mark.parametrize("name", ["active", "deleted", "deleted_at"])
def test_items_that_are_all_gone_are_refused(name: str, tmp_path: Path) -> None:
    gone: dict[str, Any] = {"active": 0, "deleted": "Y", "deleted_at": "2023-05-17"}
    values = [gone[name]] * NUM_ITEMS
    message = rf"`{name}` of .* says that all of the 40 items are gone.* --ignore items\.{name}"
    with pytest.raises(InputError, match=message):
        find(tmp_path, {name: values})
    assert find(tmp_path, {name: values}, ignore=(name,)) == (None, [])


def test_two_columns_that_agree_are_one_tombstone(tmp_path: Path) -> None:
    columns = {
        "deleted_at": pattern(None, "2023-05-17", None),
        "is_deleted": tuple(pattern("N", "Y", "")),
        "active": pattern(True, False, True),
        "colour": ["red"] * NUM_ITEMS,
    }
    tombstone, there = find(tmp_path, columns)
    assert tombstone is not None
    assert (tombstone.column, tombstone.same) == ("active", ("is_deleted", "deleted_at"))
    assert there == STILL_THERE
    assert "is_deleted, deleted_at say the same" in tombstone.note
    assert warnings(tmp_path, columns) == []


def test_where_one_column_is_missing_the_other_decides(tmp_path: Path) -> None:
    columns = {"active": pattern(True, None, None), "deleted": pattern(None, True, None)}
    tombstone, there = find(tmp_path, columns)
    assert tombstone is not None
    assert tombstone.same == ("deleted",)
    assert there == STILL_THERE


@pytest.mark.parametrize(
    "columns",
    [
        {"active": pattern(True, False, None), "deleted": pattern(True, False, None)},
        {"active": pattern(True, False, None), "deleted": pattern(False, False, None)},
        {"enabled": pattern("Y", "N", "Y"), "deleted_at": [None] * 39 + ["2023-05-17"]},
    ],
)
def test_two_columns_that_contradict_each_other_are_refused(
    columns: dict[str, Any], tmp_path: Path
) -> None:
    one, other = columns
    message = rf"`{one}` and `{other}` of .* contradict .* rows, such as the item 'i\d+': .*"
    with pytest.raises(InputError, match=message + rf"--ignore items\.{one} or --ignore items\."):
        find(tmp_path, columns)
    tombstone, _ = find(tmp_path, columns, ignore=(other,))
    assert tombstone is not None
    assert tombstone.column == one


def test_the_newest_row_of_an_item_decides(tmp_path: Path) -> None:
    """Each of the 20 items has two rows. One comes back, one goes, one is gone all the time."""
    flags: Sequence[tuple[bool, bool]] = [(False, True), (True, False), (False, False)]
    flags = [*flags, *[(True, True)] * 17]
    columns = {
        "item_id": [f"i{n // 2}" for n in range(40)],
        "active": [flag for pair in flags for flag in pair],
        "timestamp": pa.array([1_700_000_000 + n % 2 for n in range(40)], pa.timestamp("s", "UTC")),
    }
    tombstone, _ = find(tmp_path, columns)
    assert tombstone is not None
    assert tombstone.gone_share == 0.1
    assert tombstone.note == "false means gone; 2 of 20 items are gone"
