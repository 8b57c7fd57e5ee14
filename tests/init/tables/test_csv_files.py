"""Tests of CSV: ids keep their zeros, types come from all rows, and errors name their place."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longtail.errors import InputError
from longtail.init.project import init_project
from longtail.init.project_plan import Request
from longtail.init.tables.csv_files import csv_to_parquet
from tests.init.raw import feature, interactions, items, written


def project(folder: Path, text: str, suffix: str = ".csv") -> dict[str, object]:
    """Make a project from items in a CSV file, and return its summary."""
    file = folder / f"items{suffix}"
    file.write_bytes(gzip.compress(text.encode()) if suffix.endswith(".gz") else text.encode())
    pq.write_table(interactions(), folder / "interactions.parquet")
    return init_project(folder / "project", Request(file, folder / "interactions.parquet"))


def rows(cells: list[str], header: str = "item_id,column") -> str:
    """Return a CSV of 60 items. Its second column repeats the cells."""
    lines = [f"i{n},{cells[n % len(cells)]}" for n in range(60)]
    return "\n".join([header, *lines]) + "\n"


@pytest.mark.parametrize(
    ("cells", "kind", "feast_type", "values"),
    [
        (["7", "12"], "single", "Int64", [7, 12]),
        (["007", "12"], "single", "String", ["007", "12"]),
        (["12345678901234567890"], "single", "String", ["12345678901234567890"]),
        (["7.0", "", "12.0"], "single", "Int64", [7, None, 12]),
        (["7.5", "1e3"], "dense", "Float32", [7.5, 1000.0]),
        (["True", "false", ""], "single", "String", ["true", "false", None]),
        (["a", "NA", "NULL"], "single", "String", ["a", "NA", None]),
        (['"a, c"', "b"], "single", "String", ["a, c", "b"]),
        (["b|a", "b"], "multi", "Array(String)", [["a", "b"], ["b"]]),
        (['"[1, 2]"', '"[3]"'], "multi", "Array(Int64)", [[1, 2], [3]]),
        (['"[0.5, 2]"', '"[3, 4]"'], "dense", "Array(Float32)", [[0.5, 2.0], [3.0, 4.0]]),
        (["2024-01-01", "2024-02-30"], "single", "String", ["2024-01-01", "2024-02-30"]),
    ],
)
def test_the_form_is_that_of_all_cells(
    cells: list[str], kind: str, feast_type: str, values: list[object], tmp_path: Path
) -> None:
    found = feature(project(tmp_path, rows(cells)), "column")
    assert (found["kind"], found["type"]) == (kind, feast_type)
    told = written(tmp_path, "items")["column"].to_pylist()[: len(values)]
    assert [sorted(v) if isinstance(v, list) and kind == "multi" else v for v in told] == values


def test_a_cell_far_down_decides_as_well(tmp_path: Path) -> None:
    """PyArrow's own type inference reads a first block of 1 MiB, and fails later."""
    lines = ["item_id,column", *(f"i{n},{n % 9}" for n in range(200_000)), "i200000,none"]
    found = feature(project(tmp_path, "\n".join(lines)), "column")
    assert (found["type"], found["num_distinct"]) == ("String", 10)


@pytest.mark.parametrize(("suffix", "mark"), [(".csv", ";"), (".tsv", "\t"), (".csv.gz", ",")])
def test_separators_and_compression(suffix: str, mark: str, tmp_path: Path) -> None:
    text = rows(["a", "b"]).replace(",", mark)
    assert feature(project(tmp_path, "\ufeff" + text, suffix), "column")["num_distinct"] == 2


def test_a_folder_of_files_is_one_table(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "one.csv").write_text("item_id,column\n" + "".join(f"i{n},a\n" for n in range(30)))
    (folder / "two.csv").write_text(
        "column,item_id\n" + "".join(f"b,i{n}\n" for n in range(30, 60))
    )
    pq.write_table(interactions(), tmp_path / "interactions.parquet")
    document = init_project(
        tmp_path / "project", Request(folder, tmp_path / "interactions.parquet")
    )
    assert document["items"]["num_rows"] == 60
    assert feature(document, "column")["num_distinct"] == 2


def test_a_folder_of_partitions_has_their_columns(tmp_path: Path) -> None:
    for number, day in enumerate(("2024-01-01", "2024-01-02")):
        folder = tmp_path / "clicks" / f"day={day}"
        folder.mkdir(parents=True)
        pq.write_table(interactions().slice(100 * number, 100), folder / "part.parquet")
    pq.write_table(items(), tmp_path / "items.parquet")
    document = init_project(
        tmp_path / "project", Request(tmp_path / "items.parquet", tmp_path / "clicks")
    )
    assert document["interactions"]["timestamp"]["column"] == "day"
    told = written(tmp_path, "interactions")["event_timestamp"].to_pylist()
    assert {moment.date().isoformat() for moment in told} == {"2024-01-01", "2024-01-02"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: its first line must name the columns"),
        (b"item_id,a\n", r"\(--items\) is empty: it must have at least one row"),
        (b"item_id,a\ni1,x\ni1,x,y\n", "cannot be read as CSV: line 3 .*has 3 cells.* 2 columns"),
        (b"item_id,a\ni1,x,y\n", "2 cells in its first line ..item_id, a.*rows have 3 ..i1,x,y`"),
        (b"item_id,a\ni1,\xff\xfe\n", "is not text in UTF-8: line 2 has the byte 0xff"),
        (b"\xff\xfeitem_id,a\n", "is not text in UTF-8: .*iconv -f UTF-16"),
        (b"item_id,item_id\n1,2\n", "names the column 'item_id' twice"),
        (b"item_id,Item_ID\n1,2\n", "which SQL cannot tell apart"),
        (b"1,2\n3,4\n", "has '1' in its first line, which must name the columns"),
    ],
)
def test_what_cannot_be_read_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_bytes(content)
    pq.write_table(interactions(), tmp_path / "interactions.parquet")
    request = Request(tmp_path / "items.csv", tmp_path / "interactions.parquet")
    with pytest.raises(InputError, match=message) as raised:
        init_project(tmp_path / "project", request)
    assert "items.csv" in str(raised.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["interactions.parquet", "items.csv"]


def test_every_column_of_the_copy_is_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,\n2,b\n")
    csv_to_parquet(tmp_path / "a.csv", tmp_path / "a.parquet")
    assert pq.read_table(tmp_path / "a.parquet").equals(
        pa.table({"x": ["1", "2"], "y": [None, "b"]})
    )
