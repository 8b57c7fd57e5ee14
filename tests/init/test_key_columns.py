"""Tests of the keys: found by names, by values or by position, or named by the user."""

from pathlib import Path

import pyarrow as pa
import pytest

from longtail.errors import InputError
from longtail.init.questions import OpenQuestion
from tests.init.raw import interactions, items, make, queries, written


def numbered(rows: pa.Table, **names: str) -> pa.Table:
    """Return the table with its ids as plain numbers, and its columns renamed."""
    ids = {
        column: pa.array([int(value[1:]) for value in rows[column].to_pylist()])
        for column in rows.column_names
        if column.endswith("_id")
    }
    return pa.table({names.get(column, column): ids[column] for column in rows.column_names})


def keys(document: dict[str, object]) -> list[tuple[object, object]]:
    return [(document[s]["key"], document[s]["interactions_key"]) for s in ("items", "queries")]


def test_the_names_of_the_contract(tmp_path: Path) -> None:
    document = make(tmp_path, items(), queries())
    assert keys(document) == [("item_id", "item_id"), ("query_id", "query_id")]
    assert document["items"]["known"] == document["queries"]["known"] == 1.0


def test_names_that_say_it(tmp_path: Path) -> None:
    """Ids are numbers from 0 on both sides: only the names tell users from movies."""
    document = make(
        tmp_path,
        numbered(items(), item_id="id"),
        numbered(queries(), query_id="id"),
        numbered(interactions(), query_id="movie_id", item_id="user_id").select([1, 0]),
        item_key="id=movie_id",
    )
    assert keys(document) == [("id", "movie_id"), ("id", "user_id")]
    inferred = make(
        tmp_path / "inferred",
        numbered(items(), item_id="id"),
        numbered(queries(), query_id="id"),
        numbered(interactions(), query_id="userId", item_id="productId").select([1, 0]),
    )
    assert keys(inferred) == [("id", "productId"), ("id", "userId")]


def test_names_that_say_nothing_and_values_that_do(tmp_path: Path) -> None:
    document = make(
        tmp_path,
        pa.table({"colour": ["red"] * 60, "b": items()["item_id"]}),
        pa.table({"c": queries()["query_id"]}),
        interactions().rename_columns(["y", "x"]).select([1, 0]),
    )
    assert keys(document) == [("b", "x"), ("c", "y")]


def test_the_order_of_two_columns_says_nothing(tmp_path: Path) -> None:
    pages = pa.table({"page": [f"i{n}" for n in range(60)]})
    links = pa.table({"a": [f"i{n}" for n in range(50)], "b": [f"i{n + 5}" for n in range(50)]})
    with pytest.raises(OpenQuestion) as raised:
        make(tmp_path, pages, pages, links)
    assert [choice.answer for choice in raised.value.choices] == ["page=a", "page=b"]
    document = make(tmp_path, pages, pages, links, item_key="page=b")
    assert keys(document) == [("page", "b"), ("page", "a")]
    assert document["shared_ids"]


def test_a_key_that_is_no_feature_s_repetition(tmp_path: Path) -> None:
    """Both tables have a brand under the same name. It is no key, because its values repeat."""
    brands = [f"b{n % 7}" for n in range(60)]
    bought = [f"b{int(item[1:]) % 7}" for item in interactions()["item_id"].to_pylist()]
    document = make(
        tmp_path,
        pa.table({"brand_id": brands, "id": items()["item_id"]}),
        None,
        interactions(brand_id=bought),
    )
    assert keys(document) == [("id", "item_id"), (None, "query_id")]


def test_numbers_become_strings_and_meet_their_texts(tmp_path: Path) -> None:
    as_floats = numbered(items())
    as_floats = pa.table({"item_id": as_floats["item_id"].cast(pa.float64())})
    chosen = interactions()
    chosen = chosen.set_column(
        1, "item_id", pa.array([value[1:] for value in chosen["item_id"].to_pylist()])
    )
    make(tmp_path, as_floats, None, chosen)
    assert written(tmp_path, "items")["item_id"].to_pylist()[:2] == ["0", "1"]
    assert set(written(tmp_path, "interactions")["item_id"].to_pylist()) <= set(
        written(tmp_path, "items")["item_id"].to_pylist()
    )


def test_queries_without_a_table_are_the_ids_in_the_interactions(tmp_path: Path) -> None:
    document = make(tmp_path)
    told = written(tmp_path, "queries")
    assert told.column_names == ["query_id", "present", "event_timestamp"]
    assert sorted(told["query_id"].to_pylist()) == sorted(f"q{n}" for n in range(40))
    assert document["queries"]["num_keys"] == 40


@pytest.mark.parametrize(
    ("tables", "wanted", "message"),
    [
        ((items(), None, interactions()), {"item_key": "sku"}, r"has no column `sku` of strings"),
        (
            (items(), None, interactions()),
            {"item_key": "item_id=nothing"},
            r"interactions\.parquet has no column `nothing`",
        ),
        (
            (items(), None, interactions()),
            {"item_key": "item_id=query_id"},
            r"`item_id` of .*items\.parquet has fewer than half of the ids in `query_id` of .*keys",
        ),
        (
            (items().rename_columns(["a"]), None, numbered(interactions())),
            {},
            r"items\.parquet and .*interactions\.parquet have no key in common: .*--item-key",
        ),
        (
            (items(), queries().rename_columns(["item_id"]), interactions().select([1, 1])),
            {},
            r"the columns 'item_id' and 'item_id', which SQL cannot tell apart",
        ),
        (
            (items(), None, interactions().select([1])),
            {},
            r"needs two columns of ids, one of queries and one of items",
        ),
        (
            (items(), None, interactions().set_column(0, "query_id", pa.nulls(200, pa.string()))),
            {"query_key": "query_id"},
            r"has no column `query_id` of strings",
        ),
        (
            (
                items(),
                None,
                interactions().set_column(
                    0, "query_id", pa.array([None] + ["q1"] * 199, pa.string())
                ),
            ),
            {},
            r"column `query_id` of .*interactions\.parquet is missing in 1 of 200 rows",
        ),
        (
            (pa.table({"item_id": ["i1", "i1"], "a": ["x", "y"]}), None, interactions()),
            {"item_key": "item_id"},
            r"fewer than half",
        ),
        (
            (
                pa.table({"item_id": [f"i{n // 2}" for n in range(120)], "a": list(range(120))}),
                None,
                interactions(),
            ),
            {},
            r"60 rows too many: `item_id` = 'i0' is in 2 different rows and no timestamp tells",
        ),
    ],
)
def test_what_does_not_fit_is_named(
    tables: tuple[pa.Table, pa.Table | None, pa.Table],
    wanted: dict[str, str],
    message: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(InputError, match=message) as raised:
        make(tmp_path, *tables, **wanted)
    assert raised.value.exit_code == 2
    assert not (tmp_path / "project").exists()


def test_rows_that_are_there_twice_are_written_once(tmp_path: Path) -> None:
    twice = pa.concat_tables([items(colour=["red"] * 60)] * 2)
    document = make(tmp_path, twice)
    assert written(tmp_path, "items").num_rows == 60
    assert any("repeated rows" in warning for warning in document["warnings"])


def test_interactions_with_unknown_items_are_counted(tmp_path: Path) -> None:
    document = make(tmp_path, items(40))  # items i40 to i43 are unknown: 1 + 2 + 3 + 4 of 200
    assert any(w.startswith("5.0% of the interactions name an item") for w in document["warnings"])
