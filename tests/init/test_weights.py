"""Tests of the weights: how each spelling is read, and what is counted, said or refused."""

import math
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longtail.config import ChecksConfig
from longtail.errors import InputError
from longtail.init.opened_table import ReadingOptions, open_table
from longtail.init.tables.raw_tables import open_raw_table
from longtail.init.weights import Weight, find_weight

NUM_ROWS = 400
USED = ("query_id", "item_id")
NAN, INF = math.nan, math.inf


@cache
def database() -> duckdb.DuckDBPyConnection:
    """Return one connection for all tests, because opening one takes longer than a test."""
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def find(
    folder: Path,
    columns: dict[str, Any],
    wanted: str | None = None,
    *,
    csv: bool = False,
    used: Collection[str] = USED,
    ignore: tuple[str, ...] = (),
) -> tuple[Weight | None, list[float | None]]:
    """Return the weights of interactions with these columns, and the weight of each row.

    Args:
        csv: the values are texts, and are written as they stand.
    """
    ids = {
        "query_id": [f"q{n % 40}" for n in range(NUM_ROWS)],
        "item_id": [f"i{n}" for n in range(NUM_ROWS)],
    }
    file = folder / ("interactions.csv" if csv else "interactions.parquet")
    if csv:
        cells = ids | columns
        lines = [",".join(cells), *map(",".join, zip(*cells.values(), strict=True))]
        file.write_text("\n".join(lines) + "\n")
    else:
        pq.write_table(pa.table(ids | columns), file)
    connection = database()
    connection.execute("DROP VIEW IF EXISTS interactions_read")
    opened = open_table(
        connection,
        open_raw_table("interactions", file, folder, connection),
        ReadingOptions(ignore=ignore),
    )
    limit = ChecksConfig().max_refused_share
    weight = find_weight(connection, opened, wanted, used, limit)
    if weight is None:
        return None, []
    rows = connection.execute(f"SELECT {weight.expression} FROM {opened.view}").fetchall()
    return weight, [value for (value,) in rows]


def cycle(*values: Any) -> list[Any]:
    return [values[n % len(values)] for n in range(NUM_ROWS)]


def some(value: Any, number: int, other: Any) -> list[Any]:
    """Return `value` in the first rows, and `other` in the rest."""
    return [value] * number + [other] * (NUM_ROWS - number)


TEXTS = ["1", "2.5", "03", "1e1"]
READ = [1.0, 2.5, 3.0, 10.0]


@pytest.mark.parametrize(
    ("values", "read", "note"),
    [
        (pa.array(cycle(1, 5), pa.int8()), [1.0, 5.0], ""),
        (pa.array(cycle(0.5, 5.0), pa.float32()), [0.5, 5.0], ""),
        (pa.array(cycle(1, 5), pa.decimal128(5, 2)), [1.0, 5.0], ""),
        (pa.array(cycle(True, False)), [1.0, 0.0], "booleans, read as 1 and 0"),
        (cycle(*TEXTS), READ, "texts, read as numbers"),
        (pa.array(cycle(*TEXTS), pa.large_string()), READ, "texts, read as numbers"),
        (pa.array(cycle(*TEXTS)).dictionary_encode(), READ, "texts, read as numbers"),
        (cycle(" 1 ", "2 "), [1.0, 2.0], "texts, read as numbers"),
    ],
)
def test_numbers_in_any_type(values: Any, read: Sequence[float], note: str, tmp_path: Path) -> None:
    weight, rows = find(tmp_path, {"weight": values})
    assert weight is not None
    assert rows == cycle(*read)
    assert note in weight.note


def test_numbers_in_a_csv_file(tmp_path: Path) -> None:
    _, rows = find(tmp_path, {"weight": cycle("1", "2.5")}, csv=True)
    assert rows == cycle(1.0, 2.5)
    _, rows = find(tmp_path, {"weight": cycle("01", "12")}, csv=True)
    assert rows == cycle(1.0, 12.0)


def test_the_default_is_the_column_called_weight(tmp_path: Path) -> None:
    weight, _ = find(tmp_path, {"Weight": cycle(1, 2), "rating": cycle(3, 4)})
    assert weight is not None
    assert weight.column == "Weight"
    assert find(tmp_path, {"rating": cycle(3, 4)}) == (None, [])
    assert find(tmp_path, {"weight": cycle(3, 4)}, used=("query_id", "weight")) == (None, [])
    for ignored in ("weight", "interactions.weight"):
        assert find(tmp_path, {"weight": cycle(0, 0)}, ignore=(ignored,)) == (None, [])


def test_the_figures_are_those_of_numpy(tmp_path: Path) -> None:
    values = [float(n % 7) if n % 50 else None for n in range(NUM_ROWS)]
    weight, _ = find(tmp_path, {"weight": values})
    assert weight is not None
    known = np.array([value for value in values if value is not None])
    assert weight.measured == {
        "min": 0.0,
        "q10": pytest.approx(np.quantile(known, 0.1)),
        "median": pytest.approx(np.median(known)),
        "q90": pytest.approx(np.quantile(known, 0.9)),
        "max": 6.0,
        "zero_share": pytest.approx(values.count(0.0) / NUM_ROWS),
        "missing_share": pytest.approx(8 / NUM_ROWS),
    }
    assert weight.note == (
        f"missing in 8 of 400 rows, which count as 1; 0 in {values.count(0.0)} of 400 rows, which "
        "count nothing"
    )


def test_a_constant_is_as_good_as_none(tmp_path: Path) -> None:
    weight, _ = find(tmp_path, {"weight": cycle(5)})
    assert weight is not None
    assert weight.note == "5 in every row, which is as good as no weights"


@pytest.mark.parametrize("csv", [False, True])
def test_missing_weights_count_as_1_and_this_is_said(csv: bool, tmp_path: Path) -> None:
    values = some("", 200, "2") if csv else some(None, 200, 2.0)
    weight, rows = find(tmp_path, {"weight": values}, csv=csv)
    assert weight is not None
    assert rows == some(None, 200, 2.0)
    assert weight.note == "missing in 200 of 400 rows, which count as 1"
    assert weight.measured["missing_share"] == 0.5


@pytest.mark.parametrize(
    ("values", "csv", "message"),
    [
        (some(INF, 200, 1.0), False, r"200 of 400 rows \(0 NaN, 200 infinite\)"),
        (some(-INF, 200, 1.0), False, r"200 of 400 rows \(0 NaN, 200 infinite\)"),
        (some(NAN, 200, 1.0), False, r"200 of 400 rows \(200 NaN, 0 infinite\)"),
        (some(NAN, 5, 1.0), False, r"5 of 400 rows \(5 NaN, 0 infinite\)"),
        (cycle(NAN), False, r"400 of 400 rows \(400 NaN, 0 infinite\)"),
        (cycle(INF), False, r"400 of 400 rows \(0 NaN, 400 infinite\)"),
        (cycle(INF, NAN, 1.0, 2.0), False, r"200 of 400 rows \(100 NaN, 100 infinite\)"),
        (some(1e300, 200, 1.0), False, r"200 of 400 rows \(0 NaN, 200 infinite\)"),
        (some("inf", 200, "1"), False, r"200 of 400 rows \(0 NaN, 200 infinite\)"),
        (some("inf", 200, "1"), True, r"200 of 400 rows \(0 NaN, 200 infinite\)"),
        (some("-Infinity", 200, "1.5"), True, r"200 of 400 rows \(0 NaN, 200 infinite\)"),
    ],
)
def test_weights_that_are_not_finite_are_counted_and_refused(
    values: list[Any], csv: bool, message: str, tmp_path: Path
) -> None:
    message = r"column `weight` of .*interactions\.\w+ is not finite in " + message
    with pytest.raises(InputError, match=message + ".*allows 1.0%.*--ignore interactions.weight"):
        find(tmp_path, {"weight": values}, csv=csv)


def test_a_few_weights_that_are_not_finite_are_said(tmp_path: Path) -> None:
    values: list[float | None] = [NAN, INF, -INF, None, *[2.0] * 396]
    weight, rows = find(tmp_path, {"weight": values})
    assert weight is not None
    assert rows == [None] * 4 + [2.0] * 396
    assert weight.note == (
        "missing in 1 of 400 rows, which count as 1; NaN in 1 of 400 rows, which count as 1; "
        "infinite in 2 of 400 rows, which count as 1"
    )
    assert weight.measured["missing_share"] == 0.01


@pytest.mark.parametrize(
    ("values", "csv"),
    [
        (cycle(0), False),
        (cycle(0.0), False),
        (cycle(False), False),
        (cycle("0", "0.0"), False),
        (cycle("0"), True),
        (some(None, 3, 0.0), False),
        (cycle(1e-60), False),
    ],
)
def test_weights_that_are_all_0_are_refused(values: list[Any], csv: bool, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"column `weight` of .* is 0 in every row .*the loss"):
        find(tmp_path, {"weight": values}, csv=csv)


@pytest.mark.parametrize(
    ("columns", "wanted", "message"),
    [
        ({"weight": cycle(-1, 2)}, None, r"`weight` of .* has the value -1: weights must not be"),
        ({"weight": cycle("1", "-2.5")}, None, r"has the value -2\.5: weights must not be negativ"),
        ({"weight": cycle("5", "heavy")}, None, r"no column `weight` of numbers: .*'heavy'; write"),
        ({"weight": cycle("1", "2,5")}, None, r"no column `weight` of numbers: .*'2,5'"),
        ({"weight": cycle("1_000")}, None, r"no column `weight` of numbers: .*'1_000'"),
        ({"weight": cycle([1.0], [2.0])}, None, r"no column `weight` of numbers"),
        ({"weight": cycle({"a": 1})}, None, r"no column `weight` of numbers"),
        ({"weight": pa.nulls(NUM_ROWS)}, None, r"`weight` of .* cannot be used: it has no value"),
        ({"weight": pa.nulls(NUM_ROWS, pa.float64())}, None, r"it has no value at all; fill it in"),
        ({"weight": cycle("")}, None, r"it has no value at all; fill it in"),
        ({"weight": cycle("nan", "None")}, None, r"it has no value at all; fill it in"),
        (
            {"stars": cycle("*")},
            "stars",
            r"has no column `stars` of numbers: it has the value '\*'",
        ),
        (
            {"stars": cycle(1)},
            "star",
            r"has no column `star`: its columns are .*stars; correct --w",
        ),
        (
            {},
            "item_id",
            r"column `item_id` of .* is a key or the time, and cannot hold the weights",
        ),
    ],
)
def test_what_cannot_be_a_weight_is_refused(
    columns: dict[str, Any], wanted: str | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        find(tmp_path, columns, wanted)


def test_a_column_cannot_be_wanted_and_ignored(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="named by both --weight and --ignore"):
        find(tmp_path, {"stars": cycle(1, 2)}, "stars", ignore=("stars",))
