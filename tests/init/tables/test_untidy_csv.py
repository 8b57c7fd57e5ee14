"""Tests of CSV as spreadsheets, pandas and R write it: what is cut, left out, skipped, refused."""

import gzip
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from longtail.errors import InputError
from tests.init.tables.opened import Opened, open_csv

IDS = ["i1", "i2", "i3"]


def refused(folder: Path, content: str | bytes, name: str = "items.csv") -> str:
    """Return the message with which a CSV file is refused."""
    with pytest.raises(InputError) as raised:
        open_csv(folder, content, name)
    assert name in str(raised.value)
    return str(raised.value)


# Blanks.


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("id, genre\ni1, g1\ni2, \ni3 ,g 2\n", "items.csv"),
        ('id , "genre"\ni1, "g1"\ni2, ""\n"i3" ,"g 2 "\n', "items.csv"),
        ("id\t genre \ni1\t g1\ni2\t\ni3\tg 2\n", "items.tsv"),
        ('" id" ;genre\ni1;" g1"\ni2; \ni3;"g 2"\n', "items.csv"),
        ("id ,genre\ni1,\u00a0g1\ni2,NULL \ni3,g 2\n", "items.csv"),
        (' "id", "genre"\r\n "i1", "g1"\r\n "i2", ""\r\n "i3", "g 2"\r\n', "items.csv"),
    ],
)
def test_blanks_around_names_and_cells_are_cut(content: str, name: str, tmp_path: Path) -> None:
    found = open_csv(tmp_path, content, name)
    assert found.values == {"id": IDS, "genre": ["g1", None, "g 2"]}
    assert "lanks" in found.notes


def test_the_notes_say_what_was_cut(tmp_path: Path) -> None:
    found = open_csv(tmp_path, "id, genre\ni1, g1\ni2,g2\ni3 , g3\n")
    assert found.raw.notes == (
        "Blanks around names of columns are cut: `genre`",
        "Blanks around 3 cells are cut, in `id`, `genre`",
    )


def test_nothing_is_said_where_nothing_was_cut(tmp_path: Path) -> None:
    content = 'id,said\ni1,"he said, ""hi"", twice"\ni2,"a, ""b"""\ni3," "" "\n'
    found = open_csv(tmp_path, content.replace(' "" ', "x"))
    assert found.raw.notes == ()
    assert found.values["said"] == ['he said, "hi", twice', 'a, "b"', "x"]


def test_a_blank_before_a_quote_inside_a_quoted_cell_stays(tmp_path: Path) -> None:
    content = 'id, "said"\n"i1", "he said, ""hi"" ,\n, ""ho"" now"\n"i2","x"\n'
    assert open_csv(tmp_path, content).values["said"] == ['he said, "hi" ,\n, "ho" now', "x"]


def test_numbers_and_dates_with_blanks_have_their_types(tmp_path: Path) -> None:
    found = open_csv(tmp_path, "id, n, day, x\ni1, 7, 2024-01-01, 0.5\ni2, 8, 2024-01-02, 1.5\n")
    forms = [reading.form for reading in found.readings.values()]
    assert forms == ["string", "integer", "moment", "number"]


def test_two_names_that_differ_in_blanks_are_refused(tmp_path: Path) -> None:
    assert "names the column 'id' twice" in refused(tmp_path, "id, id\n1,2\n")


# Columns without a name.

FRAME = pd.DataFrame({"id": IDS, "size": [5, 9, 5]})
ROWS = {"id": IDS, "size": [5, 9, 5]}


@pytest.mark.parametrize(
    "content",
    [
        FRAME.to_csv(),
        FRAME.set_index(pd.Index([7, 3, 900])).to_csv(),
        FRAME.set_index(pd.Index([0.0, 1.0, 2.0])).to_csv(),
        FRAME.to_csv(index_label=False),
        FRAME.to_csv(sep="\t", index_label=False),
        FRAME.reset_index().rename(columns={"index": ""}).to_csv(),
        '"","id","size"\n"1","i1",5\n"2","i2",9\n"3","i3",5\n',  # R's write.csv
        '"id" "size"\n"1" "i1" 5\n"2" "i2" 9\n"3" "i3" 5\n',  # R's write.table
        '"id","size"\n"1","i1",5\n"2","i2",9\n"3","i3",5\n',  # ... with a comma
        " ,id,size\n0,i1,5\n1,i2,9\n2,i3,5\n",
    ],
)
def test_row_numbers_without_a_name_are_left_out(content: str, tmp_path: Path) -> None:
    found = open_csv(tmp_path, content)
    assert found.values == ROWS
    assert "Column 1 has no name and holds row numbers: it is left out" in found.raw.notes


@pytest.mark.parametrize(
    ("content", "position"),
    [
        ("id,size,\ni1,5,\ni2,9,\ni3,5,\n", 3),
        ("id,size\ni1,5,\ni2,9,\ni3,5,\n", 3),
        ("id,size, \ni1,5, \ni2,9,\ni3,5,\n", 3),
        ("id,,size\ni1,,5\ni2,,9\ni3,,5\n", 2),
        ("id;size;\ni1;5;\ni2;9;\ni3;5;\n", 3),
    ],
)
def test_an_empty_column_without_a_name_is_left_out(
    content: str, position: int, tmp_path: Path
) -> None:
    found = open_csv(tmp_path, content)
    assert found.values == ROWS
    note = f"Column {position} has no name and no values: it is left out"
    assert note in found.raw.notes


def test_several_columns_without_a_name_are_left_out(tmp_path: Path) -> None:
    found = open_csv(tmp_path, ",id,,size,,\n0,i1,,5,,\n1,i2,,9,,\n2,i3,,5,,\n")
    assert found.values == ROWS
    assert len(found.raw.notes) == 4


def test_delimiters_at_the_end_of_the_first_line_alone_name_nothing(tmp_path: Path) -> None:
    assert open_csv(tmp_path, "id,size,,\ni1,5\ni2,9\ni3,5\n").values == ROWS


def test_row_numbers_may_start_again_in_each_file_of_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "items"
    folder.mkdir()
    FRAME.to_csv(folder / "a.csv")
    FRAME.to_csv(folder / "b.csv")
    FRAME.to_csv(folder / "c.csv", index=False)
    found = Opened(folder)
    assert found.values == {"id": IDS * 3, "size": [5, 9, 5] * 3}
    assert found.raw.notes == ("Column 1 has no name and holds row numbers: it is left out",)


@pytest.mark.parametrize(
    ("content", "position", "example"),
    [
        (",id\na,i1\nb,i2\n", 1, "'a'"),
        (",id\n7,i1\n7,i2\n", 1, "'7'"),
        (",id\n1,i1\n,i2\n", 1, "'1'"),
        (",id\n007,i1\n008,i2\n", 1, "'007'"),
        ("id,\ni1,x\ni2,\n", 2, "'x'"),
        ("0,i1\n", 0, "'0' in its first line"),
    ],
)
def test_other_values_without_a_name_are_refused(
    content: str, position: int, example: str, tmp_path: Path
) -> None:
    message = refused(tmp_path, content)
    assert example in message
    if position:
        assert f"column {position} has no name" in message
        assert "give it a name" in message


def test_a_trailing_comma_that_has_a_value_far_down_is_refused(tmp_path: Path) -> None:
    content = "id,size\n" + "i,5,\n" * 1000 + "i,5,x\n"
    assert "column 3 has no name, and its values, such as 'x'" in refused(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "cure"),
    [
        # Row numbers and two columns, or an id and a price with a decimal comma?
        ("id,price\n1,3,14\n2,5,50\n3,2,05\n", "if a comma is a decimal comma, write a point"),
        ("price,genre\n3,14,g1\n5,50,g2\n2,05,g1\n", "decimal comma"),
        ("id,genre\nx,i1,g1\ny,i2,g2\n", "name all columns"),
        ("id,genre\ni1,g1,a,b\ni2,g2,a,b\n", "name all columns"),
    ],
)
def test_a_first_line_that_is_too_short_is_refused(content: str, cure: str, tmp_path: Path) -> None:
    assert cure in refused(tmp_path, content)


# Lines above the names.


def test_comment_lines_on_top_are_named_with_their_cure(tmp_path: Path) -> None:
    message = refused(tmp_path, "# made by x\n#\n\n# 2024\nid,genre\ni1,g1\n")
    assert "begins with 3 comment lines (`# made by x`)" in message
    assert "--comment '#'" in message


@pytest.mark.parametrize("mark", ["#", "%", "//"])
def test_comments_are_skipped_with_the_option(mark: str, tmp_path: Path) -> None:
    content = (
        f"{mark} made, by x\n{mark}\nid,genre\n{mark} one\ni1,g1\n"
        f'"{mark}i2","a\n{mark} no comment, ""but"" a cell"\ni3,{mark}x\n{mark} two, three'
    )
    assert f"begins with 2 comment lines (`{mark} made, by x`)" in refused(tmp_path, content)
    found = open_csv(tmp_path, content, comment=mark)
    assert found.values == {
        "id": ["i1", f"{mark}i2", "i3"],
        "genre": ["g1", f'a\n{mark} no comment, "but" a cell', f"{mark}x"],
    }
    assert found.raw.notes == (f"4 lines that begin with {mark!r} are skipped",)


def test_comments_far_down_are_skipped(tmp_path: Path) -> None:
    """Text is tidied in blocks of 1 MiB."""
    rows = "".join(f'i{n},"{"a" * 50}"\n' for n in range(20_000))
    found = open_csv(tmp_path, f"id,a\n{rows}# x\n{rows}#y", comment="#")
    assert found.raw.num_rows == 40_000
    assert found.raw.notes == ("2 lines that begin with '#' are skipped",)


def test_a_column_called_like_a_comment_is_a_column(tmp_path: Path) -> None:
    assert open_csv(tmp_path, "#,name\n1,a\n2,b\n").values == {"#": [1, 2], "name": ["a", "b"]}
    assert open_csv(tmp_path, '"#id",b\n1,a\n').raw.names == ["#id", "b"]
    # It may be the line of names, or the first line of a file without names.
    assert "take the '#' off it" in refused(tmp_path, "#id,a\n1,a\n")


def test_a_comment_between_the_rows_is_named(tmp_path: Path) -> None:
    message = refused(tmp_path, "id,a\ni1,x\n# end\n")
    assert "line 3 (`# end`) has 1 cells" in message
    assert "--comment '#'" in message


@pytest.mark.parametrize("mark", ["", " ", '"'])
def test_a_comment_must_be_a_sign(mark: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--comment"):
        open_csv(tmp_path, "id,a\ni1,x\n", comment=mark)


@pytest.mark.parametrize(
    "content",
    [
        "sep=;\nid;genre\ni1;a,b\n",
        '"sep=;"\r\nid;genre\r\ni1;a,b\r\n',
        "SEP=;\n\nid;genre\ni1;a,b\n",
        "\ufeffsep=;\nid;genre\ni1;a,b\n",
    ],
)
def test_the_line_of_the_separator_is_obeyed(content: str, tmp_path: Path) -> None:
    assert open_csv(tmp_path, content).values == {"id": ["i1"], "genre": ["a,b"]}


def test_a_separator_that_only_the_line_names(tmp_path: Path) -> None:
    assert open_csv(tmp_path, "sep=^\nid^a,b\ni1^x\n").values == {"id": ["i1"], "a,b": ["x"]}


@pytest.mark.parametrize("top", ["\n", "\r\n\r\n", "  \n", ",,\n", "\ufeff\n"])
def test_empty_lines_above_the_names_are_skipped(top: str, tmp_path: Path) -> None:
    assert open_csv(tmp_path, f"{top}id,genre\ni1,g1\n").values == {"id": ["i1"], "genre": ["g1"]}


@pytest.mark.parametrize(
    "content",
    [
        "Items of 2024\nid,genre\ni1,g1\n",
        "Items of 2024\n\nid,genre\ni1,g1\n",
        "Items of 2024\nBy Bob\nid;genre;size\ni1;g1;2\ni2;g1;2\ni3;g2;4\n",
        "Items, 2024\nid,genre,size\ni1,g1,5\n",
        "Items of 2024\nid\tgenre\ni1\tg1\n",
    ],
)
def test_a_title_is_named_as_such(content: str, tmp_path: Path) -> None:
    assert "if the first line is a title, remove it" in refused(tmp_path, content)


# Names and delimiters.


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ('"id;a;b",c\n1,2\n', ["id;a;b", "c"]),
        ('"id","the\nname"\n1,2\n', ["id", "the\nname"]),
        ('id,"say ""x"", y"\n1,2\n', ["id", 'say "x", y']),
        ("id;price (EUR, net)\n1;2\n", ["id", "price (EUR, net)"]),
        ("id\rname\r".replace("\rn", ",n") + "1,2\r", ["id", "name"]),
        ("id|n,\ni1|a\ni2|b\n", ["id", "n,"]),
        ("id;net,EUR\ni1;3,50\ni2;7\n", ["id", "net,EUR"]),
        ("item name\nThe Matrix\nTotal Recall\n", ["item name"]),
        ("id\n1\n2\n", ["id"]),
    ],
)
def test_names(content: str, names: list[str], tmp_path: Path) -> None:
    assert open_csv(tmp_path, content).raw.names == names


def test_two_delimiters_that_fit_equally_are_refused(tmp_path: Path) -> None:
    content = "id;net,EUR\ni1;3,50\ni2;7,20\n"
    assert "write the line `sep=;`, or the other one, above" in refused(tmp_path, content)
    found = open_csv(tmp_path, f"sep=;\n{content}")
    assert found.values == {"id": ["i1", "i2"], "net,EUR": [3.5, 7.2]}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(end: str, tmp_path: Path) -> None:
    content = end.join(["id,a", 'i1,"x', 'y"', "i2,z", ""])
    found = open_csv(tmp_path, content, comment="#")
    assert found.values == {"id": ["i1", "i2"], "a": [f"x{end}y", "z"]}


# Values.


@pytest.mark.parametrize(
    "mark", [r"\N", "#N/A", "#VALUE!", "#REF!", "#DIV/0!", "Null", "NaT", "(null)", '"NULL"']
)
def test_missing_values(mark: str, tmp_path: Path) -> None:
    content = f"id,genre,size\ni1,g1,{mark}\ni2,{mark},3\ni3,g2,4\n"
    found = open_csv(tmp_path, content)
    assert found.values == {"id": IDS, "genre": ["g1", None, "g2"], "size": [None, 3, 4]}
    assert found.readings["size"].form == "integer"


@pytest.mark.parametrize(
    ("cells", "form", "values"),
    [
        (["7", "NA", "12"], "integer", [7, None, 12]),
        (["0.5", "-", "2"], "number", [0.5, None, 2.0]),
        (["True", "?", "false"], "boolean", [True, None, False]),
        (["0.5", "inf", "2"], "number", [0.5, None, 2.0]),
        (["-7", "-", "."], "integer", [-7, None, None]),
    ],
)
def test_signs_among_typed_values_are_missing(
    cells: list[str], form: str, values: list[Any], tmp_path: Path
) -> None:
    content = "id,x\n" + "".join(f"i{n},{cell}\n" for n, cell in enumerate(cells))
    found = open_csv(tmp_path, content)
    assert (found.readings["x"].form, found.values["x"]) == (form, values)
    missing = [cell for cell, value in zip(cells, values, strict=True) if value is None]
    said = "a cell with `{}` is missing" if len(missing) == 1 else "2 cells with `-`, `.` are"
    assert said.format(missing[0]) in found.readings["x"].note


def test_a_date_may_be_missing(tmp_path: Path) -> None:
    found = open_csv(tmp_path, "id,x\ni1,2024-01-01\ni2,NA\ni3,NA\n")
    assert found.readings["x"].form == "moment"
    assert "2 cells with `NA` are missing" in found.readings["x"].note


@pytest.mark.parametrize("cells", [["NA", "DE"], ["NA", "007"], ["-", "a"], ["NA", "-"]])
def test_signs_among_texts_are_values(cells: list[str], tmp_path: Path) -> None:
    found = open_csv(tmp_path, f"id,x\ni1,{cells[0]}\ni2,{cells[1]}\n")
    assert found.values["x"] == cells
    assert found.readings["x"].note == ""


# Numbers with commas.


@pytest.mark.parametrize(
    ("cells", "delimiter", "values"),
    [
        (["3,14", "2", "-0,5"], ";", [3.14, 2.0, -0.5]),
        (["3,1", "2,5"], "\t", [3.1, 2.5]),
        (["1.234,5", "2,5"], ",", [1234.5, 2.5]),
        (["1.234.567", "2.000"], ",", [1234567.0, 2000.0]),
        (["1 234,50", "2,5"], ";", [1234.5, 2.5]),
        (["3,05", "12,99"], ",", [3.05, 12.99]),
        (["1,234.5", "7"], ",", [1234.5, 7.0]),
        (["1,234,000", "7"], ";", [1234000.0, 7.0]),
        (["NA", "3,14"], ";", [None, 3.14]),
    ],
)
def test_numbers_with_commas_are_read(
    cells: list[str], delimiter: str, values: list[Any], tmp_path: Path
) -> None:
    lines = [f'i{n}{delimiter}"{cell}"' for n, cell in enumerate(cells)]
    found = open_csv(tmp_path, "\n".join([f"id{delimiter}x", *lines]))
    assert found.readings["x"].form in ("number", "integer")
    assert found.values["x"] == values
    assert "read as numbers" in found.readings["x"].note


@pytest.mark.parametrize(
    ("cells", "delimiter"),
    [
        (["1,234", "2,500", "1,234"], ";"),  # 1.234 or 1234?
        (["1,234", "7", "1,234"], ","),
        (["1,2", "3", "1,2"], ","),  # 1.2 or the list 1, 2?
        (["101,234,567", "101,234", "567"], ","),  # 101234567 or three ids?
        (["3,14", "n/k", "3,14"], ","),
    ],
)
def test_numbers_with_two_readings_stay_text(
    cells: list[str], delimiter: str, tmp_path: Path
) -> None:
    lines = [f'i{n}{delimiter}"{cell}"' for n, cell in enumerate(cells * 5)]
    found = open_csv(tmp_path, "\n".join([f"id{delimiter}x", *lines]))
    assert found.values["x"] == cells * 5
    assert "kept as they are: the comma may" in found.readings["x"].note


def test_lists_of_numbers_are_still_lists(tmp_path: Path) -> None:
    cells = ["1,2,3", "2", "1,3", "2,3,1,4", "4"] * 4
    content = "id;x\n" + "".join(f"i{n};{cell}\n" for n, cell in enumerate(cells))
    found = open_csv(tmp_path, content)
    assert [sorted(value) for value in found.values["x"][:3]] == [
        ["1", "2", "3"],
        ["2"],
        ["1", "3"],
    ]


# Damaged files.


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,a\ni1,é\n".encode("latin-1"), "line 2 has the byte 0xe9"),
        ("id,a\ni1,é\n".encode("utf-16"), "not text in UTF-8: .*iconv -f UTF-16"),
        ("id,a\ni1,x\n".encode("utf-16-le"), "line 1 has a NUL byte"),
        (b"id,a\ni1,x\ni2,\0\n", "line 3 has a NUL byte"),
        (b"id,a\ni1,caf\xc3", "line 2 has the byte 0xc3"),
        (b'id,a\ni1,"x\ni2,y\ni3,z\n', "row in line 2 .*quote that is never closed"),
        (b'id,a\ni1,"x\ni2,"y"\ni3,z\n', "row in line 2 .*text behind a closing quote"),
        (b"id,a\ni1,x\n\ni2\n", r"line 4 \(`i2`\) has 1 cells, but there are 2 columns"),
        (b"\n\n", "is empty"),
        (b"id,a\n\n\n", "is empty: it must have at least one row"),
    ],
)
def test_what_cannot_be_read_names_its_line(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        open_csv(tmp_path, content)


@pytest.mark.parametrize("damage", ["half", "no end", "no gzip", "garbage"])
def test_broken_compression_is_named(damage: str, tmp_path: Path) -> None:
    whole = gzip.compress("".join(f"i{n},{n * n}\n" for n in range(9999)).encode())
    content = {
        "half": whole[: len(whole) // 2],
        "no end": whole[:-4],
        "no gzip": b"id,a\ni1,x\n",
        "garbage": whole + b"garbage",
    }[damage]
    assert "compress it with gzip again" in refused(tmp_path, content, "items.csv.gz")


def test_a_long_cell_is_read(tmp_path: Path) -> None:
    long = "x" * 3_000_000
    assert open_csv(tmp_path, f'id,a\ni1,"{long}"\ni2,y\n').values["a"] == [long, "y"]


def test_a_first_line_of_values_names_nothing(tmp_path: Path) -> None:
    for head in ("i1,red", "i1,2024-03-05", "i1,a@b.org"):
        assert "add a header" in refused(tmp_path, f"{head}\ni2,red\ni3,blue\n")
    # The name of one column of several may be one of its values.
    table = open_csv(tmp_path, "id,kind,other\ni1,a,other\ni2,b,none\n")
    assert table.raw.names == ["id", "kind", "other"]
