"""Tests of shared embedding tables: names and words are evidence, numbers and dates are none."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa
import pytest

from longtail.init.shared_vocabularies import SharedVocabularies, Vocabulary, find_shared
from tests.init.raw import feature, interactions, items, make, queries

Side = Literal["query", "item"]


def vocabulary(
    side: Side, name: str, values: range | Sequence[str], stored: type = str, **kind: Any
) -> Vocabulary:
    """Return a vocabulary of the values, which are stored as texts or as numbers."""
    if isinstance(values, range):
        relation = f"(SELECT CAST(range AS VARCHAR) AS v FROM range({values.start}, {values.stop}))"
    else:
        relation = f"(SELECT unnest({list(values)}) AS v)"
    return Vocabulary(side, name, relation, **{"is_text": stored is str, "is_list": False} | kind)


def key(
    side: Side, name: str, values: range | Sequence[str], *called: str, stored: type = str
) -> Vocabulary:
    return vocabulary(side, name, values, stored, is_key=True, called=(name, *called))


@cache
def database() -> duckdb.DuckDBPyConnection:
    """Return one connection for all tests, because opening one takes longer than a test."""
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def shared(*vocabularies: Vocabulary, keys_shared: bool | None = None) -> SharedVocabularies:
    return find_shared(database(), vocabularies, keys_shared=keys_shared)


def are_shared(one: Vocabulary, two: Vocabulary) -> bool:
    """Return whether the two share a table; the order must not matter."""
    found, reverse = shared(one, two).groups, shared(two, one).groups
    assert found == reverse
    return found == [[0, 1]]


def digits(*bounds: int) -> list[str]:
    return [str(number) for number in range(*bounds)]


NOTHING = SharedVocabularies([], [], 0)
CODES = [f"{n:05d}" for n in range(200)]
DATES = [f"2024-{1 + n // 28:02d}-{1 + n % 28:02d}" for n in range(100)]
FILMS = key("item", "movieId", range(1, 3000))


@pytest.mark.parametrize("stored", [str, int])
@pytest.mark.parametrize(
    ("one", "two"),
    [
        (key("item", "item_id", range(1, 3000)), ("query", "year", range(1902, 2019))),
        (key("item", "item_id", range(1, 3000)), ("item", "year", range(1902, 2019))),
        (key("item", "movieId", range(1, 3000)), ("item", "movie_year", range(1902, 2019))),
        (key("item", "movieId", range(1, 3000)), ("query", "num_movies", range(1, 30))),
        (key("item", "id", range(1, 3000), "movie_id"), ("item", "length", range(60, 200))),
        (key("query", "userId", range(1, 600)), ("query", "user_age", range(18, 90))),
        (key("query", "userId", range(1, 600)), ("item", "users", range(1, 500))),
        (key("item", "id", range(1, 300)), ("query", "id", range(1, 200))),
        (
            vocabulary("item", "price", range(10_000, 10_300)),
            ("query", "zip", range(10_000, 10_200)),
        ),
        (vocabulary("item", "floor", range(30)), ("query", "age", range(18, 30))),
    ],
)
def test_numbers_in_one_range_are_no_evidence(
    one: Vocabulary, two: tuple[Side, str, range], stored: type
) -> None:
    side, name, values = two
    for other in (vocabulary(side, name, values, stored), vocabulary(side, name, values)):
        assert shared(replace(one, is_text=stored is str), other) == NOTHING
        assert shared(other, replace(one, is_text=stored is str)) == NOTHING


@pytest.mark.parametrize(
    "values",
    [
        *(CODES, DATES, [f"{date} 10:00:00" for date in DATES], [f"{d}T00:00:00Z" for d in DATES]),
        *([f"{n / 100:.2f}" for n in range(100)], [f"{n}-{n + 10}" for n in range(100)]),
        *([f"1e{n}" for n in range(100)], [f"{n % 24:02d}:{n % 60:02d}" for n in range(100)]),
        [f"{1 + n % 28}-{month}-2024" for n in range(28) for month in ("Jan", "Feb", "sept")],
        *([f"Mar {n}, 2024" for n in range(1, 29)], [f"{n}-Q1" for n in range(1990, 2020)]),
        *([f"2024-W{n:02d}" for n in range(1, 53)], ["+49 170 12" + str(n) for n in range(20)]),
        [*digits(100), "unknown", "none"],
    ],
)
def test_codes_dates_and_amounts_under_two_names_are_no_evidence(values: list[str]) -> None:
    assert not are_shared(
        vocabulary("item", "released", values), vocabulary("query", "joined", values)
    )
    assert not are_shared(key("item", "item_id", values), vocabulary("query", "joined", values))
    assert are_shared(vocabulary("item", "day", values), vocabulary("query", "Day", values))


def test_words_are_evidence() -> None:
    countries = ["de", "fr", "it", "es", "pl", "nl", "be", "at", "ch", "dk", "se"]
    one = vocabulary("item", "ship_to", countries)
    assert are_shared(one, vocabulary("query", "country", countries[:10]))
    assert not are_shared(one, vocabulary("query", "country", countries[:9]))
    assert are_shared(one, vocabulary("query", "ship_to", countries[:3]))
    papers = [f"p{n:05d}" for n in range(80)]
    assert are_shared(key("item", "item_id", papers), vocabulary("item", "cites", papers[:40]))
    assert not are_shared(
        key("item", "item_id", papers),
        vocabulary("item", "cites", [*papers[:20], *countries, *CODES]),
    )


@pytest.mark.parametrize("stored", [str, int])
@pytest.mark.parametrize(
    ("name", "is_list", "side"),
    [
        *(
            ("movie_id", False, "query"),
            ("last_movie", False, "query"),
            ("movie_2", False, "query"),
        ),
        *(
            ("parentMovieId", False, "item"),
            ("movie_next", False, "item"),
            ("movies", True, "query"),
        ),
        *(
            ("liked_movies", True, "query"),
            ("movie_ids", True, "query"),
            ("movieids", True, "query"),
        ),
        *(("items", True, "query"), ("item_bought_last_id", False, "query")),
        *(("similar", True, "item"), ("related_ids", True, "item"), ("also_bought", True, "item")),
    ],
)
def test_a_name_is_evidence(name: str, is_list: bool, side: Side, stored: type) -> None:
    is_item = name != "item_bought_last_id"
    named = vocabulary(side, name, range(10, 60), stored, is_list=is_list)
    assert are_shared(FILMS, named) == is_item
    assert not are_shared(FILMS, vocabulary(side, name, range(2500, 9000), stored))


def test_the_name_in_the_interactions_counts_too() -> None:
    films = key("item", "id", range(100), "movie_id")
    assert are_shared(films, vocabulary("query", "favourite_movie", range(20)))
    assert not are_shared(films, vocabulary("query", "favourite_actor", range(20)))


LIST = {"is_list": True}


@pytest.mark.parametrize("stored", [str, int])
@pytest.mark.parametrize(
    ("name", "values", "likely"),
    [
        ("bought", range(1, 60), [(1, 0)]),
        ("history", range(1, 100), [(1, 0)]),
        ("genres", range(1, 31), [(1, 0)]),
        ("bought", range(1, 10), []),  # too few to say anything
        ("bought", range(50, 130), []),  # many are no ids
        ("num_items", range(1, 60), [(1, 0)]),
    ],
)
def test_lists_of_numbers_are_not_shared_and_may_be_ids(
    name: str, values: range, likely: list[tuple[int, int]], stored: type
) -> None:
    ids = key("item", "item_id", range(1, 101))
    found = shared(ids, vocabulary("query", name, values, stored, **LIST))
    assert found == SharedVocabularies([], likely, 0)
    assert shared(ids, vocabulary("query", name, values, stored)) == NOTHING


@pytest.mark.parametrize("stored", [str, int])
def test_keys_of_numbers_are_one_only_by_their_name(stored: type) -> None:
    def both(one: str, two: str, keys_shared: bool | None = None) -> list[list[int]]:
        numbers = range(1, 81)
        keys = key("query", one, numbers, stored=stored), key("item", two, numbers, stored=stored)
        found = shared(*keys, keys_shared=keys_shared)
        assert (found.likely, found.overlapping) == ([], 0)
        return found.groups

    assert both("user", "item") == both("id", "id") == both("page", "page", False) == []
    assert both("page", "page") == both("user", "item", True) == [[0, 1]]
    pages = key("query", "page", range(1, 81), stored=stored)
    assert are_shared(pages, key("item", "id", range(50, 90), "page", stored=stored))
    assert not are_shared(pages, key("item", "page", range(70, 900), stored=stored))


def test_keys_of_words_are_one_by_their_words() -> None:
    pages = [f"page-{n}" for n in range(40)]
    assert are_shared(key("query", "a", pages), key("item", "b", pages[20:]))
    assert not are_shared(key("query", "a", pages), key("item", "b", pages[-9:]))
    assert not are_shared(key("query", "a", pages), key("item", "b", [f"x{n}" for n in range(40)]))


def test_long_numbers_in_both_keys_are_no_evidence_and_are_said() -> None:
    numbers = [f"978{n:010d}" for n in range(50)]
    assert shared(key("query", "a", numbers), key("item", "b", numbers[10:])) == SharedVocabularies(
        [], [], 40
    )
    assert (
        shared(key("query", "a", numbers), key("item", "b", numbers), keys_shared=False) == NOTHING
    )


def movies(**columns: Any) -> pa.Table:
    """Return the films 1 to 2400, with their ids as texts."""
    return pa.table({"movieId": digits(1, 2401), **columns})


def ratings() -> pa.Table:
    pairs = [
        (user, 1 + (user * 37 + step * 11) % 2400) for user in range(1, 81) for step in range(9)
    ]
    return pa.table(
        {"userId": [str(user) for user, _ in pairs], "movieId": [str(film) for _, film in pairs]}
    )


def test_movielens(tmp_path: Path) -> None:
    """A film of 1995 is not the film 1995, and user 5 is not film 5."""
    document = make(
        tmp_path,
        movies(
            year=[str(1902 + n % 117) for n in range(2400)],
            runtime=[60 + n % 90 for n in range(2400)],
            genres=[[["Drama", "Crime", "War"][n % 3]] for n in range(2400)],
        ),
        pa.table({"userId": digits(1, 81), "zip": [f"{n % 40:05d}" for n in range(80)]}),
        ratings(),
    )
    assert document["items"]["key"] == "movieId"
    assert document["items"]["table"] is document["queries"]["table"] is None
    assert not document["shared_ids"]
    for column in ("year", "runtime", "genres"):
        assert feature(document, column)["table"] is None
        assert feature(document, column)["left_out"] is None
    assert feature(document, "zip", "queries")["table"] is None


def test_citeulike(tmp_path: Path) -> None:
    papers = [f"p{n:05d}" for n in range(90)]
    document = make(
        tmp_path,
        pa.table(
            {
                "item_id": papers,
                "tags": [[f"tag{n % 30}", f"tag{n % 7}"] for n in range(90)],
                "cites": [papers[n : n + 2] for n in range(90)],
            }
        ),
        queries(),
        pa.table(
            {
                "query_id": [f"q{n % 40}" for n in range(360)],
                "item_id": [papers[n % 90] for n in range(360)],
            }
        ),
    )
    assert feature(document, "cites")["table"] == document["items"]["table"] == "item_id"
    assert feature(document, "tags")["table"] is None
    assert not document["shared_ids"]


def numbered(rows: pa.Table) -> pa.Table:
    """Return a table with its ids as numbers."""
    for position, name in enumerate(rows.column_names):
        if name in ("item_id", "query_id"):
            ids = pa.array([int(value[1:]) for value in rows[name].to_pylist()])
            rows = rows.set_column(position, name, ids)
    return rows


def test_the_note_names_a_cure_that_works(tmp_path: Path) -> None:
    tables = numbered(items()), numbered(queries()), numbered(interactions())
    bought = [[n, n + 20] for n in range(40)]
    of_queries = tables[1].append_column("bought", pa.array(bought))
    document = make(tmp_path, tables[0], of_queries, tables[2])
    assert feature(document, "bought", "queries")["table"] is None
    [note] = [note for note in document["warnings"] if "`bought`" in note]
    assert "rename the column to `bought_items`" in note
    assert '{"table": "item_item_id"}, with its values as strings' in note
    renamed = of_queries.rename_columns(["query_id", "bought_items"])
    document = make(tmp_path / "renamed", tables[0], renamed, tables[2])
    assert feature(document, "bought_items", "queries")["table"] == "item_id"


def test_a_shared_table_has_no_name_of_torch(tmp_path: Path) -> None:
    kinds = ["book", "film", "game", "song", "play"]
    document = make(
        tmp_path,
        items(type=[kinds[n % 5] for n in range(60)]),
        queries(type=[kinds[n % 4] for n in range(40)]),
    )
    assert feature(document, "type")["table"] == "type_table"
    assert feature(document, "type", "queries")["table"] == "type_table"
