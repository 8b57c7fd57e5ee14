"""Tests of features: left out, shared, renamed, split into words, or hashed."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from longtail.init import embedding_tables
from longtail.init.safe_names import feature_names, project_name
from tests.init.raw import (
    NUM_ITEMS,
    feature,
    interactions,
    items,
    make,
    queries,
    written,
)


def test_a_near_unique_column_is_kept_in_the_table_and_out_of_the_model(tmp_path: Path) -> None:
    codes = [f"code-{n}" for n in range(NUM_ITEMS)]
    colours = ["red", "blue"] * 30
    document = make(tmp_path, items(code=codes, colour=colours))
    assert feature(document, "code")["left_out"].startswith(
        "near-unique, 60 different values among 60"
    )
    assert feature(document, "colour")["left_out"] is None
    services = (tmp_path / "project/feature_repo/services.py").read_text()
    assert "# - code of items: near-unique" in services
    assert 'items[["colour"]]' in services
    assert written(tmp_path, "items")["code"].to_pylist() == codes


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (list(range(NUM_ITEMS)), "if it is a quantity, write it as a float"),
        (
            [[f"a{n}", f"b{n}"] for n in range(NUM_ITEMS)],
            "near-unique, 120 different values among 120",
        ),
        (["same"] * NUM_ITEMS, "the same value everywhere"),
    ],
)
def test_what_tells_nothing_is_left_out(column: list[Any], reason: str, tmp_path: Path) -> None:
    assert reason in feature(make(tmp_path, items(column=column)), "column")["left_out"]


@pytest.mark.parametrize(
    "column",
    [
        [f"of two {n // 2}" for n in range(NUM_ITEMS)],
        ["same"] * 59 + [None],  # known or missing: that says something
        [f"v{n}" if n < 15 else None for n in range(NUM_ITEMS)],  # few values, each once
    ],
)
def test_what_tells_something_stays(column: list[Any], tmp_path: Path) -> None:
    assert feature(make(tmp_path, items(column=column)), "column")["left_out"] is None


def test_near_uniqueness_is_counted_by_item_where_rows_are_a_history(tmp_path: Path) -> None:
    """Every value is in ten rows, all of the same item."""
    rows = pa.table(
        {
            "item_id": [f"i{n // 10}" for n in range(600)],
            "code": [f"code-{n // 10}" for n in range(600)],
            "event_timestamp": pa.array(
                [1_700_000_000 + n % 10 for n in range(600)], pa.timestamp("s", "UTC")
            ),
        }
    )
    document = make(tmp_path, rows, None, interactions(time=pa.array([1_800_000_000] * 200)))
    assert "near-unique" in feature(document, "code")["left_out"]


def test_prose_becomes_its_words(tmp_path: Path) -> None:
    titles = [f"The {['cat', 'Dog'][n % 2]} of No. {n}, returned" for n in range(NUM_ITEMS)]
    document = make(tmp_path, items(title=titles))
    assert feature(document, "title")["kind"] == "multi"
    assert "split into its words" in feature(document, "title")["note"]
    words = written(tmp_path, "items")["title"].to_pylist()
    assert sorted(words[1]) == ["dog", "returned", "the"]


def test_a_query_s_and_an_item_s_feature_of_the_same_values_share_a_table(tmp_path: Path) -> None:
    words = [f"w{n}" for n in range(20)]
    document = make(
        tmp_path,
        items(tags=[[words[n % 20], words[(n + 7) % 20]] for n in range(60)]),
        queries(likes=[words[n % 20] for n in range(40)], plan=["free", "paid"] * 20),
    )
    assert feature(document, "tags")["table"] == "tags"
    assert feature(document, "likes", "queries")["table"] == "tags"
    assert feature(document, "plan", "queries")["table"] is None


def test_values_of_one_name_share_a_table_however_few_they_are(tmp_path: Path) -> None:
    colours = ["red", "blue"]
    document = make(tmp_path, items(colour=colours * 30), queries(colour=colours * 20))
    assert feature(document, "colour")["table"] == "colour"
    assert feature(document, "colour", "queries")["table"] == "colour"
    other = make(tmp_path / "other", items(colour=colours * 30), queries(mood=colours * 20))
    assert feature(other, "colour")["table"] is None


def test_a_list_of_ids_shares_the_ids_table_and_is_never_near_unique(tmp_path: Path) -> None:
    cites = [[f"i{(n + 1) % 60}"] for n in range(60)]
    document = make(tmp_path, items(cites=cites))
    assert feature(document, "cites")["table"] == document["items"]["table"] == "item_id"
    assert feature(document, "cites")["left_out"] is None
    assert '"table": "item_id"' in (tmp_path / "project/feature_repo/entities.py").read_text()


def test_a_copy_of_the_id_is_left_out(tmp_path: Path) -> None:
    document = make(tmp_path, items(slug=[f"i{n}" for n in range(60)]))
    assert feature(document, "slug")["left_out"] == "it repeats the id"


def test_numbers_share_a_table_only_where_that_is_no_accident(tmp_path: Path) -> None:
    """Ids are 0 to 59. Lists of ids share their table, and so does `item_next` by its name.

    A floor from 0 to 19 does not.
    """
    numbers = pa.array(range(60))
    rows = pa.table(
        {
            "item_id": numbers,
            "similar": [[(n + 1) % 60, (n + 2) % 60] for n in range(60)],
            "floor": [n % 20 for n in range(60)],
            "item_next": [(n + 5) % 60 for n in range(60)],
        }
    )
    chosen = pa.table(
        {
            "query_id": [int(q[1:]) for q in interactions()["query_id"].to_pylist()],
            "item_id": [int(i[1:]) for i in interactions()["item_id"].to_pylist()],
        }
    )
    document = make(tmp_path, rows, None, chosen, item_key="item_id")
    assert feature(document, "similar")["table"] == "item_id"
    assert feature(document, "floor")["table"] is None
    assert not document["shared_ids"]
    similar = written(tmp_path, "items")["similar"].to_pylist()
    assert similar[0] == ["1", "2"]
    shared = make(tmp_path / "shared", rows, None, chosen, item_key="item_id", shared_ids=True)
    assert shared["shared_ids"]


def test_a_vocabulary_without_bounds_is_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_tables, "_EXACT_VALUES", 20)
    document = make(tmp_path, items(n=[f"v{n % 25}" for n in range(60)], m=["a", "b"] * 30))
    assert feature(document, "n")["buckets"] == 32
    assert feature(document, "m")["buckets"] is None
    text = (tmp_path / "project/feature_repo/items.py").read_text()
    assert '"vocabulary": "hash", "buckets": "32"' in text
    entities = (tmp_path / "project/feature_repo/entities.py").read_text()
    assert entities.count('"vocabulary": "hash", "buckets": "64"') == 2  # 60 items, 40 queries


def test_the_tombstone(tmp_path: Path) -> None:
    document = make(tmp_path, items(active=[True, None] * 30))
    assert document["items"]["tombstone"]
    assert written(tmp_path, "items")["active"].to_pylist()[:2] == [True, None]
    as_numbers = make(tmp_path / "numbers", items(Active=[1, 0] * 30))
    assert as_numbers["items"]["tombstone"]
    assert written(tmp_path / "numbers", "items")["active"].to_pylist()[:2] == [True, False]
    as_words = make(tmp_path / "words", items(is_deleted=["no", "yes"] * 30))
    assert as_words["items"]["tombstone"]
    assert "is_deleted" not in [each["column"] for each in as_words["items"]["features"]]
    assert written(tmp_path / "words", "items")["active"].to_pylist()[:2] == [True, False]
    other = make(tmp_path / "other", items(active=["high", "low"] * 30))
    assert feature(other, "active")["name"] == "active_value"
    assert not other["items"]["tombstone"]


def test_names() -> None:
    assert feature_names(["size", "price_y", "Größe (cm)", "標題", "2nd", "Size", "item_id"]) == {
        "size": "size",
        "price_y": "price_y_value",
        "Größe (cm)": "Groe_cm",
        "標題": "feature",
        "2nd": "feature_2nd",
        "Size": "Size_2",
        "item_id": "item_id_value",
    }
    assert project_name("My shop-2") == "my_shop_2"
    assert project_name("...") == "longtail"


def test_weights(tmp_path: Path) -> None:
    from longtail.errors import InputError

    document = make(tmp_path, None, None, interactions(stars=[1, 5] * 100), weight="stars")
    assert document["interactions"]["weight"] == "stars"
    assert written(tmp_path, "interactions")["weight"].to_pylist()[:2] == [1.0, 5.0]
    with pytest.raises(InputError, match=r"`weight` of .* has the value -1: weights must not be"):
        make(tmp_path / "negative", None, None, interactions(weight=[-1] * 200))
    with pytest.raises(InputError, match="has no column `stars` of numbers"):
        make(tmp_path / "text", None, None, interactions(stars=["*"] * 200), weight="stars")


@pytest.mark.parametrize("name", ["active", "timestamp"])
def test_a_known_name_without_a_value_is_no_more_than_an_empty_column(
    name: str, tmp_path: Path
) -> None:
    empty = pa.nulls(NUM_ITEMS, pa.int64())
    document = make(tmp_path, items(**{name: empty}))
    assert feature(document, name)["left_out"] is not None
