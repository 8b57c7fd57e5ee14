"""CiteULike as three tables: small clones of both forms, and the tables worked by hand."""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ops.datasets import citeulike

# Two users: the first keeps papers 2 and 0 (and 2 again), the second keeps none.
USERS = "3 2 0 2\n0\n"
CITATIONS = "1 2\n0\n3 1 0 1\n"
TAGS = "graphs\n\nhealth \n"
# Papers by their words: number of words, then word:count, most frequent word in no order.
WORDS = "2 1:1 0:4\n0\n3 2:2 0:2 1:7\n"
VOCABULARY = "alpha\nbeta\ngamma\n"


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name.replace('_', '-')}.dat").write_text(text)
    return folder


def write_a(folder: Path, **changed: str) -> Path:
    """Write a clone of the form of citeulike-a: a line of `item-tag.dat` has a paper's tags."""
    files = {"users": USERS, "citations": CITATIONS, "tags": TAGS, "mult": WORDS}
    files |= {"vocabulary": VOCABULARY, "item_tag": "2 2 0\n1 1\n0\n"}
    return write(folder, **(files | changed))


def write_t(folder: Path) -> Path:
    """Write a clone of the form of citeulike-t: a line of `tag-item.dat` has a tag's papers."""
    files = {"users": USERS, "citations": CITATIONS, "tags": TAGS}
    return write(folder, **files, tag_item="2 0 2\n1 1\n1 2\n")


def columns(table: pa.Table) -> dict[str, list[object]]:
    found: dict[str, list[object]] = table.to_pydict()
    return found


def test_the_form_of_citeulike_a(tmp_path: Path) -> None:
    tables = citeulike.read_tables(write_a(tmp_path))
    assert columns(tables["items"]) == {
        "item_id": ["p00000", "p00001", "p00002"],
        "tags": [["graphs", "health"], [], []],  # the tag without a name is none
        "words": [["alpha", "beta"], [], ["beta", "alpha", "gamma"]],  # ties go by number
        "cites": [["p00002"], [], ["p00000", "p00001"]],
    }
    assert columns(tables["queries"]) == {"query_id": ["u0000", "u0001"]}
    assert columns(tables["interactions"]) == {
        "query_id": ["u0000", "u0000"],
        "item_id": ["p00000", "p00002"],
    }


def test_the_form_of_citeulike_t_without_words(tmp_path: Path) -> None:
    tables = citeulike.read_tables(write_t(tmp_path))
    assert columns(tables["items"]) == {
        "item_id": ["p00000", "p00001", "p00002"],
        "tags": [["graphs"], [], ["graphs", "health"]],
        "cites": [["p00002"], [], ["p00000", "p00001"]],
    }
    assert tables["items"].schema.field("tags").type == pa.list_(pa.string())
    assert columns(tables["interactions"])["item_id"] == ["p00000", "p00002"]


def test_a_paper_has_its_most_frequent_words_only(tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(40)]
    # Word n occurs n + 1 times, so the last ones are the most frequent.
    bag = " ".join(f"{number}:{number + 1}" for number in range(40))
    folder = write_a(tmp_path, vocabulary="\n".join(words), mult=f"40 {bag}\n0\n0\n", users="1 0\n")
    found = citeulike.read_tables(folder)["items"]["words"].to_pylist()
    assert found == [words[:9:-1], [], []]
    assert len(found[0]) == citeulike.MAX_WORDS


def test_the_command_writes_three_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "a" / "tables"
    command = ["citeulike.py", "--clone", str(write_a(tmp_path)), "--output", str(output)]
    monkeypatch.setattr(sys, "argv", command)
    citeulike.main()
    assert capsys.readouterr().out == "items: 3 rows\nqueries: 2 rows\ninteractions: 2 rows\n"
    for name, table in citeulike.read_tables(tmp_path).items():
        assert pq.read_table(output / f"{name}.parquet").equals(table)


def test_a_line_with_another_number_of_numbers_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, output = write_a(tmp_path, citations="1 2\n2 0\n0\n"), tmp_path / "tables"
    monkeypatch.setattr(
        sys, "argv", ["citeulike.py", "--clone", str(folder), "--output", str(output)]
    )
    with pytest.raises(SystemExit) as caught:
        citeulike.main()
    place = tmp_path / "citations.dat"
    assert str(caught.value) == f"{place}: line 2 declares 2 numbers and has 1"
    assert list(output.glob("*")) == []
