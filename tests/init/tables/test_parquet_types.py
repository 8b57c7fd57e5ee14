"""Tests of Parquet as warehouses, Arrow, pandas and DuckDB write it: ids of any type, and refusals.

Each value is read as the id that it is, left out for a reason, or refused in one clear message.
"""

import subprocess
import sys
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longtail.errors import InputError
from tests.init.tables.opened import Opened, open_column, open_parquet

UUIDS = [uuid.UUID(int=n * 10**37 + 7) for n in (0, 1, 2)]
BYTES = [each.bytes for each in UUIDS]


def write_with_duckdb(folder: Path, columns: str, options: str = "") -> Path:
    """Write a table of 3 rows with DuckDB; `n` counts them from 0."""
    path = folder / "items.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT {columns} FROM range(3) t(n)) TO '{path}' (FORMAT parquet{options})"
        )
    return path


@pytest.mark.parametrize(
    ("column", "form", "values", "note"),
    [
        (
            pa.array([Decimal(2**63 - 1), None, Decimal(-1)], pa.decimal128(38, 0)),
            "integer",
            [2**63 - 1, None, -1],
            "decimal128(38, 0), read as integers",
        ),
        (
            pa.array([Decimal(10**37 + 1), Decimal(2), None], pa.decimal128(38, 0)),
            "string",
            ["1" + "0" * 36 + "1", "2", None],
            "decimal128(38, 0), too large for Int64, read as strings",
        ),
        (
            pa.array([Decimal(2**53 + 1), Decimal(2)], pa.decimal128(38, 10)),
            "integer",
            [2**53 + 1, 2],
            "decimal128(38, 10), read as integers",
        ),
        (
            pa.array([Decimal(2**64 + 1), Decimal(2)], pa.decimal128(38, 10)),
            "string",
            [str(2**64 + 1), "2"],
            "decimal128(38, 10), too large for Int64, read as strings",
        ),
        (pa.array([1, 2], pa.decimal32(5, 0)), "integer", [1, 2], "decimal32(5, 0), read as"),
        (pa.array(BYTES, pa.uuid()), "string", [str(u) for u in UUIDS], "UUIDs, read as text"),
        (
            pa.array(BYTES, pa.binary(16)),
            "string",
            [u.hex for u in UUIDS],
            "fixed_size_binary[16], read as text in hexadecimal digits",
        ),
        (
            pa.array([b"\xff\x0a", b"a", None]),
            "string",
            ["ff0a", "61", None],
            "binary, read as text in hexadecimal digits",
        ),
        (pa.array([b"\0\7", b"a"]), "string", ["0007", "61"], "binary, read as text in hexa"),
        (pa.array(["ä".encode(), b"7"]), "string", ["ä", "7"], "binary, read as text in UTF-8"),
        (pa.array([b"ab", b""], pa.large_binary()), "string", ["ab", None], "large_binary, read"),
        (pa.array([b"ab", b"\xff"], pa.binary_view()), "string", ["6162", "ff"], "binary_view"),
        (pa.array([b"ab", b"cd"], pa.binary(2)), "string", ["ab", "cd"], "fixed_size_binary[2]"),
        (pa.array([b"x", b"y"]).dictionary_encode(), "string", ["x", "y"], "binary, read as text"),
        (pa.array(["[1]", "[2, 3]"], pa.json_()), "integers", [[1], [2, 3]], "JSON lists"),
        (
            pa.array([1e300, 0.5, float("inf"), float("nan"), None]),
            "number",
            [None, 0.5, None, None, None],
            "2 infinite or too large, read as missing",
        ),
        (pa.array([7.0, float("inf")]), "integer", [7, None], "1 infinite or too large, read as"),
        (pa.array([[1e300, 0.5], [1.5, 0.5]]), "vector", [None, [1.5, 0.5]], ""),
        (pa.array(["a", "b"], pa.string_view()), "string", ["a", "b"], ""),
        (pa.array([1.5, 2.0], pa.float16()), "number", [1.5, 2.0], ""),
        (pa.array([3, None, 4]).dictionary_encode(), "integer", [3, None, 4], ""),
    ],
)
def test_ids_of_any_type_are_read_as_they_are(
    column: pa.Array, form: str, values: list[Any], note: str, tmp_path: Path
) -> None:
    found = open_column(tmp_path, column)
    reading = found.readings["column"]
    assert (reading.form, found.values["column"]) == (form, values)
    assert note in reading.note
    assert reading.is_whole == (form == "integer")


def test_decimals_with_whole_values_may_be_ids_or_quantities(tmp_path: Path) -> None:
    column = pa.array([Decimal("10.00"), Decimal("20.00")], pa.decimal128(10, 2))
    found = open_column(tmp_path, column)
    assert found.readings["column"].form == "number"
    assert found.readings["column"].is_whole
    assert found.values["column"] == [10.0, 20.0]


def test_a_uuid_that_only_arrow_knows_of_is_one(tmp_path: Path) -> None:
    """Older versions of PyArrow wrote the type as a remark, not as a type of Parquet."""
    remark = {"ARROW:extension:name": "arrow.uuid", "ARROW:extension:metadata": ""}
    field = pa.field("column", pa.binary(16), metadata=remark)
    table = pa.table([pa.array(BYTES, pa.binary(16))], schema=pa.schema([field]))
    assert open_parquet(tmp_path, table).values["column"] == [str(u) for u in UUIDS]


@pytest.mark.parametrize(
    ("column", "form", "values"),
    [
        ("('00000000-0000-0000-0000-00000000000' || n)::UUID", "string", None),
        ("n::HUGEINT", "number", [0.0, 1.0, 2.0]),
        ("n::DECIMAL(38, 0)", "integer", [0, 1, 2]),
        ("('k' || n)::BLOB", "string", ["k0", "k1", "k2"]),
        ("['a', 'b', 'c'][n + 1]::ENUM('a', 'b', 'c')", "string", ["a", "b", "c"]),
        ("[n, n + 1]::INTEGER[2]", "integers", [[0, 1], [1, 2], [2, 3]]),
        ("INTERVAL (n) DAY", "unreadable", "it is interval"),
        ("'POINT(1 2)'::GEOMETRY", "unreadable", "it is geometry"),
        ("n::VARIANT", "unreadable", "it is struct"),
        ("union_value(k := n)", "unreadable", "it is struct"),
        ("'01:00:00+01'::TIMETZ", "unreadable", "it is time64[us]"),
        ("MAP {n: 'a'}", "unreadable", "it is map"),
        ("'2024-01-01'::TIMESTAMP_NS", "moment", [datetime(2024, 1, 1, tzinfo=UTC)] * 3),
        ("'2024-01-01'::TIMESTAMP_S", "moment", [datetime(2024, 1, 1, tzinfo=UTC)] * 3),
        ("'infinity'::TIMESTAMP", "moment", [None] * 3),
        ("'290000-01-01'::DATE + 10000000", "moment", [None] * 3),
    ],
)
def test_types_of_duckdb(column: str, form: str, values: Any, tmp_path: Path) -> None:
    found = Opened(write_with_duckdb(tmp_path, f"'i' || n AS id, {column} AS c"))
    assert found.readings["c"].form == form
    if form == "unreadable":
        assert values in found.readings["c"].reason
    else:
        uuids = [f"00000000-0000-0000-0000-00000000000{n}" for n in range(3)]
        assert found.values["c"] == (values or uuids)


@pytest.mark.parametrize(
    ("column", "num_lost"),
    [
        (pa.array([1234567890123456789.0, float("nan"), 5.0]), 1),
        (pa.array([2.0**53, -(2.0**60), 2.0**53 - 1]), 2),
        (pa.array([2.0**53 - 1, 0.5, float("inf")]), 0),
        (pa.array([2.0**60, 5.0], pa.float32()), 1),
        (pa.array([Decimal(10**30), Decimal(5)], pa.decimal256(76, 0)), 1),
    ],
)
def test_floats_that_lost_digits_are_counted(
    column: pa.Array, num_lost: int, tmp_path: Path
) -> None:
    reading = open_column(tmp_path, column).readings["column"]
    assert (reading.form, reading.lost_digits) == ("number", num_lost)
    assert not (num_lost and reading.is_whole)


@pytest.mark.parametrize(
    ("column", "is_whole", "note"),
    [
        (pa.array([2.0**24, 5.0], pa.float32()), False, "1 from 16,777,216 on"),
        (pa.array([2.0**24 - 1, 5.0], pa.float32()), True, ""),
        (pa.array([2048, 5, None], pa.float16()), False, "1 from 2,048 on"),
        (pa.array([2.0**24, 5.0]), True, ""),
    ],
)
def test_small_floats_hold_no_long_ids(
    column: pa.Array, is_whole: bool, note: str, tmp_path: Path
) -> None:
    reading = open_column(tmp_path, column).readings["column"]
    assert (reading.form, reading.is_whole, reading.lost_digits) == ("number", is_whole, 0)
    assert reading.note.startswith(note)
    assert bool(reading.note) == bool(note)


@pytest.mark.parametrize(
    ("column", "is_digits"),
    [
        (pa.array(["7", "0", "123456789012345678", None, ""]), True),
        (pa.array(["7", "007"]), False),
        (pa.array(["7", "1234567890123456789"]), False),
        (pa.array(["7", "x"]), False),
        (pa.array(["-7", "7"]), False),
        (pa.array(["7", "8"]).dictionary_encode(), True),
        (pa.array([b"7", b"8"]), True),
        (pa.array([7, 8]), False),
    ],
)
def test_words_of_digits_are_told_apart(column: pa.Array, is_digits: bool, tmp_path: Path) -> None:
    assert open_column(tmp_path, column).readings["column"].is_digits == is_digits


def test_decimal_commas_in_parquet_stay_text(tmp_path: Path) -> None:
    found = open_column(tmp_path, pa.array(["1,5", "2,5", "1,5"] * 9))
    assert found.values["column"] == ["1,5", "2,5", "1,5"] * 9
    assert "kept as they are" in found.readings["column"].note


# Types that are left out.

FRAME = pd.DataFrame(
    {
        "id": ["i1", "i2"],
        "interval": pd.interval_range(0, 2),
        "period": pd.period_range("2020", periods=2, freq="D"),
        "delta": pd.to_timedelta([1, 2], "s"),
        "hour": [time(1), time(2)],
        "size": [5, None],
    }
)
LEFT_OUT = {
    "interval": "extension type pandas.interval",
    "period": "extension type pandas.period",
    "delta": "it is duration[ns]",
    "hour": "it is time64[us]",
}


def check_frame(found: Opened, copies: int) -> None:
    assert found.values == {"id": ["i1", "i2"] * copies, "size": [5, None] * copies}
    for name, reason in LEFT_OUT.items():
        assert reason in found.readings[name].reason


def test_extension_types_of_pandas_are_left_out(tmp_path: Path) -> None:
    FRAME.to_parquet(tmp_path / "items.parquet")
    check_frame(Opened(tmp_path / "items.parquet"), 1)


def test_extension_types_are_left_out_of_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "items"
    folder.mkdir()
    for name in ("a", "b", "c"):
        FRAME.to_parquet(folder / f"{name}.parquet")
    check_frame(Opened(folder), 3)


def test_extension_types_that_nobody_registered_are_left_out(tmp_path: Path) -> None:
    """Only importing pandas registers its types, and `init` does not."""
    folder = tmp_path / "items"
    folder.mkdir()
    for name in ("a", "b"):
        FRAME.to_parquet(folder / f"{name}.parquet")
    program = (
        "import sys; from pathlib import Path; from tests.init.tables.opened import Opened; "
        "found = Opened(Path(sys.argv[1])); assert 'pandas' not in sys.modules; "
        "print({n: r.reason for n, r in found.readings.items() if r.reason})"
    )
    root = Path(__file__).resolve().parents[3]
    ended = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    for name, reason in LEFT_OUT.items():
        assert name in ended.stdout
        assert reason in ended.stdout


def test_any_extension_type_is_left_out(tmp_path: Path) -> None:
    field = pa.field("shape", pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb"})
    table = pa.table([pa.array([b"a", b"b"])], schema=pa.schema([field]))
    table = table.append_column("id", pa.array(["i1", "i2"]))
    table = table.append_column("flag", pa.array([1, 0], pa.int8()).cast(pa.bool8()))
    found = open_parquet(tmp_path, table)
    assert "extension type geoarrow.wkb" in found.readings["shape"].reason
    assert "extension type arrow.bool8" in found.readings["flag"].reason
    assert found.values == {"id": ["i1", "i2"]}


# Columns without a name.


def test_row_numbers_without_a_name_are_left_out(tmp_path: Path) -> None:
    table = pa.table([[4, 9], ["i1", "i2"], [None, None], [0.0, 1.0]], names=["", "id", " ", ""])
    found = open_parquet(tmp_path, table)
    assert found.values == {"id": ["i1", "i2"]}
    assert found.raw.notes == (
        "Column 1 has no name and holds row numbers: it is left out",
        "Column 3 has no name and no values: it is left out",
        "Column 4 has no name and holds row numbers: it is left out",
    )


@pytest.mark.parametrize(
    ("columns", "names", "message"),
    [
        ([["a", "b"], ["i1", "i2"]], ["", "id"], "column 1 has no name, .* as 'a', .*give it"),
        ([["i1", "i2"], [7, 7]], ["id", ""], "column 2 has no name, .* as '7', .*give it"),
        # DuckDB calls the column without a name `C0`, and the other `C0_1`.
        ([[0, 1], ["i1", "i2"]], ["", "C0"], "column 1 has no name: give it one"),
    ],
)
def test_other_values_without_a_name_are_refused(
    columns: list[list[Any]], names: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message) as raised:
        open_parquet(tmp_path, pa.table(columns, names=names))
    assert "items.parquet" in str(raised.value)


def test_a_made_up_name_is_not_taken_for_a_name_of_another_file(tmp_path: Path) -> None:
    folder = tmp_path / "items"
    folder.mkdir()
    pq.write_table(pa.table([[0, 1], ["i1", "i2"]], names=["", "id"]), folder / "a.parquet")
    pq.write_table(pa.table({"C0": [5, 5], "id": ["i3", "i4"]}), folder / "b.parquet")
    with pytest.raises(InputError, match="without a name in some files: give it one"):
        Opened(folder)


# Folders.


@pytest.mark.parametrize(
    ("first", "second", "values"),
    [
        (pa.array(["a"]).dictionary_encode(), pa.array(["b"]), ["a", "b"]),
        (pa.array(["a"], pa.large_string()), pa.array(["b"], pa.string_view()), ["a", "b"]),
        (pa.nulls(1), pa.array(["b"]), [None, "b"]),
        (pa.array([1]), pa.array([2.5]), [1.0, 2.5]),
        (pa.array([1], pa.int8()), pa.array([2**40]), [1, 2**40]),
        (pa.array([b"a"]), pa.array([b"b"], pa.binary(1)), ["a", "b"]),
        (pa.array([BYTES[0]], pa.uuid()), pa.array([BYTES[1]], pa.uuid()), list(map(str, UUIDS))),
        (pa.array([date(2024, 1, 1)]), pa.array([date(2024, 1, 2)], pa.date64()), None),
    ],
)
def test_files_with_types_that_fit(
    first: pa.Array, second: pa.Array, values: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "items"
    folder.mkdir()
    for number, column in enumerate((first, second)):
        table = pa.table({"id": [f"i{number}"], "c": column})
        pq.write_table(table, folder / f"{number}.parquet")
    days = [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2)]
    assert Opened(folder).values["c"] == (days if values is None else values[:2])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pa.array([1]), pa.array(["a"])),
        (pa.array([{"a": 1}]), pa.array(["a"])),
        (pa.array([BYTES[0]], pa.uuid()), pa.array(["a"])),
        (pa.array([timedelta(1)]), pa.array([1])),
    ],
)
def test_files_with_types_that_do_not_fit_are_named(
    first: pa.Array, second: pa.Array, tmp_path: Path
) -> None:
    folder = tmp_path / "items"
    folder.mkdir()
    for name, column in (("a", first), ("b", second)):
        pq.write_table(pa.table({"c": column}), folder / f"{name}.parquet")
    with pytest.raises(InputError, match=r"`c` is .* in .*a.parquet, .* in .*b.parquet"):
        Opened(folder)


def test_a_name_is_no_pattern(tmp_path: Path) -> None:
    """DuckDB would read both files for the name of the first."""
    pq.write_table(pa.table({"id": ["i1"]}), tmp_path / "a?.parquet")
    pq.write_table(pa.table({"id": ["i2"]}), tmp_path / "ab.parquet")
    pq.write_table(pa.table({"id": ["i3"]}), tmp_path / "a[b].parquet")
    assert Opened(tmp_path / "a?.parquet").values == {"id": ["i1"]}
    assert Opened(tmp_path / "a[b].parquet").values == {"id": ["i3"]}


# Damaged files.


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    buffers = pa.array([b"ab", b"\xff\xfe"], pa.binary()).buffers()
    table = pa.table({"id": [1, 2], "name": pa.Array.from_buffers(pa.string(), 2, buffers)})
    with pytest.raises(InputError, match=r"column `name` of .*items.parquet .*write it as UTF-8"):
        open_parquet(tmp_path, table)


@pytest.mark.parametrize("size", [0, 3, 200, -1])
def test_a_file_that_is_cut_off_is_refused(size: int, tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    pq.write_table(pa.table({"id": list(range(1000))}), path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match=r"items.parquet is not a Parquet file, or it is cut off"):
        Opened(path)


@pytest.mark.parametrize(
    "values",
    [list(range(5000)), [f"i{n}" for n in range(5000)], [n % 3 == 0 for n in range(50_000)]],
)
def test_damaged_pages_are_refused(values: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    pq.write_table(pa.table({"c": values}), path, use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[60:200] = b"\xff" * 140
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"column `c` of .*items.parquet cannot be read"):
        Opened(path)


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    with duckdb.connect() as connection:
        connection.execute("SET force_mbedtls_unsafe = true")
        connection.execute("PRAGMA add_parquet_key('key', '0123456789012345')")
        connection.execute(
            f"COPY (SELECT 1 AS id) TO '{path}' (ENCRYPTION_CONFIG {{footer_key: 'key'}})"
        )
    with pytest.raises(InputError, match=r"items.parquet .*encrypted"):
        Opened(path)
