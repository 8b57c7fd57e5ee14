"""Tests of keys that a careless guess would get wrong: row numbers, measures, swapped sides."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from longtail.errors import InputError
from longtail.init.questions import OpenQuestion
from tests.init.raw import make, written

NUM_ITEMS, NUM_QUERIES = 100, 50


def pairs() -> list[tuple[int, int]]:
    """Return 500 pairs of a query from 0 to 49 and an item from 1 to 99."""
    return [(n % NUM_QUERIES, 1 + (7 * n + n // NUM_QUERIES) % 99) for n in range(500)]


def item_rows(**first: Any) -> pa.Table:
    """Return items 1 to 100 after some first columns; the genre of item n is `g` and n % 9."""
    return pa.table(
        {
            **first,
            "id": list(range(1, NUM_ITEMS + 1)),
            "genre": [f"g{n % 9}" for n in range(1, NUM_ITEMS + 1)],
        }
    )


def interaction_rows(query: str = "reader", item: str = "book", **columns: Any) -> pa.Table:
    """Return the pairs under the names of two columns, with numbers as ids, after others."""
    return pa.table({**columns, query: [q for q, _ in pairs()], item: [i for _, i in pairs()]})


def keys(document: dict[str, Any]) -> list[tuple[Any, Any]]:
    return [(document[s]["key"], document[s]["interactions_key"]) for s in ("items", "queries")]


@pytest.mark.parametrize(
    "name",
    ["Unnamed: 0", "Unnamed: 0.1", "index", "level_0", "__index_level_0__", "row_number", "n"],
)
def test_a_row_number_is_no_key_and_no_feature(name: str, tmp_path: Path) -> None:
    document = make(tmp_path, item_rows(**{name: list(range(NUM_ITEMS))}), None, interaction_rows())
    assert keys(document) == [("id", "book"), (None, "reader")]
    told = written(tmp_path, "items").to_pylist()
    assert {row["item_id"]: row["genre"] for row in told} == {
        str(n): f"g{n % 9}" for n in range(1, 101)
    }
    roles = {
        c["column"]: (c["role"], c["why"]) for c in document["columns"] if c["table"] == "items"
    }
    assert roles[name] == ("left out", "it numbers the rows")


def test_a_row_number_alone_is_asked_for(tmp_path: Path) -> None:
    rows = item_rows().rename_columns(["Unnamed: 0", "genre"])
    with pytest.raises(OpenQuestion) as raised:
        make(tmp_path, rows, None, interaction_rows(query="user_id", item="item_id"))
    assert raised.value.field == "item_key"
    assert [choice.answer for choice in raised.value.choices] == [
        "Unnamed: 0=user_id",
        "Unnamed: 0=item_id",
    ]
    wanted = {"item_key": "Unnamed: 0=item_id"}
    document = make(
        tmp_path, rows, None, interaction_rows(query="user_id", item="item_id"), **wanted
    )
    assert keys(document) == [("Unnamed: 0", "item_id"), (None, "user_id")]


def test_a_column_that_differs_in_every_row_is_no_query(tmp_path: Path) -> None:
    rows = interaction_rows(
        **{"Unnamed: 0": list(range(500)), "event": [f"e{n}" for n in range(500)]}
    )
    document = make(tmp_path, item_rows(), None, rows)
    assert keys(document) == [("id", "book"), (None, "reader")]
    assert document["queries"]["num_keys"] == NUM_QUERIES


@pytest.mark.parametrize(
    "name", ["rating", "stars", "score", "count", "num_views", "Weight", "quantity", "price"]
)
def test_a_measure_is_no_query_and_no_item(name: str, tmp_path: Path) -> None:
    rows = interaction_rows(**{name: [1 + n % 5 for n in range(500)]})
    document = make(tmp_path, item_rows(), None, rows)
    assert keys(document) == [("id", "book"), (None, "reader")]


def test_two_sides_that_fit_equally_are_asked_for(tmp_path: Path) -> None:
    """Both are numbered 1 to 80: nothing says whether the `buyer` is an item."""
    numbers = pa.table({"id": list(range(1, 81)), "city": [f"c{n % 9}" for n in range(80)]})
    bought = pa.table(
        {"sku": [1 + n % 80 for n in range(500)], "buyer": [1 + 3 * n % 80 for n in range(500)]}
    )
    with pytest.raises(OpenQuestion, match=r"which columns hold the ids of the items") as raised:
        make(tmp_path, numbers, numbers, bought)
    assert raised.value.exit_code == 2
    assert [choice.answer for choice in raised.value.choices] == ["id=sku", "id=buyer"]
    assert "--item-key id=sku (`sku` has 80 different values, such as 1, 10, 11)" in str(
        raised.value
    )
    assert not (tmp_path / "project").exists()
    document = make(tmp_path, numbers, numbers, bought, item_key="id=sku")
    assert keys(document) == [("id", "sku"), ("id", "buyer")]


def test_two_columns_that_may_ask_are_asked_for(tmp_path: Path) -> None:
    rows = interaction_rows(query="session_id", user_id=[n % 20 for n in range(500)])
    with pytest.raises(OpenQuestion, match=r"which column .* says who asks") as raised:
        make(tmp_path, item_rows(), None, rows)
    assert {choice.answer for choice in raised.value.choices} == {"session_id", "user_id"}
    assert raised.value.field == "query_key"


def test_copies_of_a_key_are_no_question(tmp_path: Path) -> None:
    rows = item_rows().append_column("number_of_it", pa.array(list(range(1, 101))))
    rows = rows.rename_columns(["a", "genre", "b"])
    document = make(tmp_path, rows, None, interaction_rows())
    assert document["items"]["key"] in ("a", "b")


def test_two_columns_that_number_the_items_are_asked_for(tmp_path: Path) -> None:
    rows = pa.table({"a": list(range(1, 101)), "b": [1 + (n + 1) % 100 for n in range(1, 101)]})
    with pytest.raises(OpenQuestion) as raised:
        make(tmp_path, rows, None, interaction_rows())
    assert {choice.answer for choice in raised.value.choices} == {"a=book", "b=book"}


def test_the_ends_of_a_link(tmp_path: Path) -> None:
    pages = pa.table({"page": list(range(1, 101)), "topic": [f"t{n % 9}" for n in range(100)]})
    links = interaction_rows(query="source", item="target").select([1, 0])
    links = links.set_column(1, "source", pa.array([1 + q for q, _ in pairs()]))
    document = make(tmp_path, pages, pages, links)
    assert keys(document) == [("page", "target"), ("page", "source")]


def test_the_same_name_with_other_ids_is_no_accident(tmp_path: Path) -> None:
    """`sku` is on both sides, but written in two ways; the shelf's number only fits by accident."""
    rows = pa.table(
        {
            "sku": [f"A{n:05}" for n in range(100)],
            "shelf": list(range(100)),
            "genre": ["a", "b"] * 50,
        }
    )
    bought = interaction_rows(item="user").append_column(
        "sku", pa.array([f"B{i}" for _, i in pairs()])
    )
    with pytest.raises(InputError, match=r"`sku` of .* has fewer than half of the ids in `sku`"):
        make(tmp_path, rows, None, bought)


@pytest.mark.parametrize(
    ("here", "there", "rules"),
    [
        ("I{:03} ", "I{:03}", ["trim"]),
        ("I{:03}", "i{:03}", ["lower"]),
        ("{:04}", "{}", ["strip-zeros"]),
        (" I{:03}", "i{:03}", ["trim", "lower"]),
    ],
)
def test_ids_that_are_alike_but_for_their_spelling(
    here: str, there: str, rules: list[str], tmp_path: Path
) -> None:
    rows = pa.table({"item": [here.format(n) for n in range(1, 101)], "genre": ["a", "b"] * 50})
    bought = pa.table(
        {"user": [f"u{q}" for q, _ in pairs()], "item": [there.format(i) for _, i in pairs()]}
    )
    options = " ".join(f"--ids {rule}" for rule in rules)
    first, second = repr(here.format(1)), repr(there.format(1))
    with pytest.raises(
        InputError, match=f"differ only in .*{first} here and {second} there.*{options}"
    ):
        make(tmp_path, rows, None, bought)
    document = make(tmp_path, rows, None, bought, ids=tuple(rules))
    assert document["items"]["known"] == 1.0
    assert set(written(tmp_path, "interactions")["item_id"].to_pylist()) <= set(
        written(tmp_path, "items")["item_id"].to_pylist()
    )


def test_a_few_ids_that_are_spelt_otherwise_are_named(tmp_path: Path) -> None:
    rows = pa.table({"item": [f"i{n}" for n in range(1, 101)], "genre": ["a", "b"] * 50})
    spelt = [f"i{i}" if i % 5 else f"I{i}" for _, i in pairs()]
    document = make(
        tmp_path, rows, None, pa.table({"user": [f"u{q}" for q, _ in pairs()], "item": spelt})
    )
    (note,) = [each for each in document["warnings"] if "--ids" in each]
    assert "19.2% of the ids in `item` of the interactions would match" in note
    assert "'i10' here and 'I10' there and 'i15' here and 'I15' there: --ids lower" in note


def test_digits_that_floats_lost_are_named(tmp_path: Path) -> None:
    big = 1_234_567_890_123_456_700
    rows = pa.table({"id": [big + 11 * n for n in range(100)], "genre": ["a", "b"] * 50})
    lost = pa.array([float(big + 11 * i) for _, i in pairs()[:-1]] + [None], pa.float64())
    bought = pa.table({"user": [f"u{q}" for q, _ in pairs()], "item_id": lost})
    with pytest.raises(
        InputError, match=r"digits were lost in column `item_id` of .*499.* in row 1"
    ):
        make(tmp_path, rows, None, bought)


def test_an_ignored_column_has_no_role(tmp_path: Path) -> None:
    rows = interaction_rows(rating=[1 + n % 5 for n in range(500)])
    document = make(
        tmp_path, item_rows(), None, rows.append_column("other", rows["reader"]), ignore=("reader",)
    )
    assert document["queries"]["interactions_key"] == "other"
    with pytest.raises(
        InputError, match=r"no table has the column `items.reader`: correct --ignore"
    ):
        make(tmp_path / "b", item_rows(), None, rows, ignore=("items.reader",))


def test_ids_with_a_bar_are_no_lists(tmp_path: Path) -> None:
    codes = [f"{'abcd'[n % 4]}|{n % 25}" for n in range(1, 101)]
    rows = pa.table({"book": codes, "genre": [f"g{n % 9}" for n in range(1, 101)]})
    bought = pa.table(
        {"reader": [f"u{q}" for q, _ in pairs()], "what": [codes[i - 1] for _, i in pairs()]}
    )
    document = make(tmp_path, rows, None, bought)
    assert keys(document) == [("book", "what"), (None, "reader")]
    assert written(tmp_path, "items")["item_id"].to_pylist() == codes


@pytest.mark.parametrize("here", ["{}", "{:03}"])
def test_a_row_number_does_not_stand_in_for_a_key_that_does_not_fit(
    here: str, tmp_path: Path
) -> None:
    """The answer to a question about the row number would give each item its neighbour's row."""
    ids = [here.format(n) for n in range(1, 101)]
    rows = pa.table(
        {
            "Unnamed: 0": list(range(100)),
            "item_id": [*ids[:-1], None] if here == "{}" else ids,
            "genre": [f"g{n % 9}" for n in range(100)],
        }
    )
    bought = interaction_rows(query="user_id", item="item_id")
    bought = bought.set_column(1, "item_id", bought["item_id"].cast(pa.string()))
    cure = "it is missing in 1 of 100 rows" if here == "{}" else "--ids strip-zeros"
    with pytest.raises(InputError, match=cure):
        make(tmp_path, rows, None, bought)
