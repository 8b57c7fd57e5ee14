"""The value pairs that make two features correlate."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from math import log

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from longtail.correlation.associations import (
    MAX_CHARACTERS,
    NUM_VALUE_PAIRS,
    associations,
    is_near_unique,
    strongest_value_pairs,
)
from longtail.correlation.mutual_information import joint_weights
from longtail.correlation.sample import sampled

Catalogue = Callable[..., ibis.Table]
values = st.sampled_from(["", "a", "NUL \0", "emoji 🐍", "\x1b[31m", None])


@pytest.fixture(scope="module")
def catalogue() -> Iterator[Catalogue]:
    """A function that makes a table of columns, on a connection that is closed at the end."""
    connection = ibis.duckdb.connect()

    def make(**columns: pa.Array) -> ibis.Table:
        connection.con.register("catalogue", pa.table(columns))
        return connection.table("catalogue")

    yield make
    connection.disconnect()


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.tuples(values, st.integers(0, 3)), min_size=1, max_size=60))
def test_the_terms_of_single_valued_features_are_those_of_the_definition(
    catalogue: Catalogue, rows: list[tuple[str | None, int]]
) -> None:
    left, right = zip(*rows, strict=True)
    table = catalogue(left=pa.array(left, pa.string()), right=pa.array(right, pa.int64()))
    found = strongest_value_pairs(joint_weights(table, ("left", "right"), "value"), limit=1000)
    num_left, num_right = Counter(left), Counter(right)
    expected = {
        (x, y): (count, count * len(rows) / (num_left[x] * num_right[y]))
        for (x, y), count in Counter(rows).items()
    }
    above_zero = {pair for pair, (_, lift) in expected.items() if lift > 1.0}
    assert {tuple(each["values"]) for each in found} == above_zero
    for each in found:
        count, lift = expected[tuple(each["values"])]
        assert each["items"] == count
        assert each["lift"] == pytest.approx(lift, abs=1e-6)
        assert each["information"] == pytest.approx(count / len(rows) * log(lift), abs=1e-9)
    below = sum(c / len(rows) * log(lift) for c, lift in expected.values() if lift < 1.0)
    total = sum(each["information"] for each in found) + below
    assert total == pytest.approx(mutual_info_score([repr(x) for x in left], right), abs=1e-8)
    # The largest terms come first; equal terms are ordered by value, missing values last.
    order = [
        (-each["information"], x is None, x or "", y) for each in found for x, y in [each["values"]]
    ]
    assert order == sorted(order)


def test_a_case_by_hand_with_several_values(catalogue: Catalogue) -> None:
    # Item 1: {x, y} x {1}: 1/2 each. Item 2: {x} x {1, 2}: 1/2 each. Item 3: {y} x {2}: 1.
    # So (x, 1) and (y, 2) each weigh 1 of 3. The marginals weigh 3/2 of 3 each, which gives 3/4.
    table = catalogue(
        tags=pa.array([["x", "y"], ["x"], ["y"]]), colours=pa.array([[1], [1, 2], [2]])
    )
    found = strongest_value_pairs(joint_weights(table, ("tags", "colours"), "value"))
    assert [each["values"] for each in found] == [["x", 1], ["y", 2]]  # a tie, in value order
    for each in found:
        assert each["items"] == 1.0
        assert each["lift"] == pytest.approx(4 / 3, abs=1e-6)
        assert each["information"] == pytest.approx(log(4 / 3) / 3, abs=1e-9)


def test_the_strongest_few_are_kept(catalogue: Catalogue) -> None:
    sections = [f"s{number}" for number in range(8) for _ in range(2 + number)]
    table = catalogue(left=pa.array(sections), right=pa.array([name.upper() for name in sections]))
    (pair,) = associations(table, ["left", "right"], "value")
    assert len(pair["value_pairs"]) == NUM_VALUE_PAIRS
    assert pair["value_pairs"][0]["values"] == ["s7", "S7"]
    assert pair["value_pairs"][0]["items"] == 9
    assert pair["value_pairs"][0]["lift"] == pytest.approx(len(sections) / 9, abs=1e-6)


def test_every_pair_has_an_entry_and_ids_say_what_they_are(catalogue: Catalogue) -> None:
    num_items = 60
    table = catalogue(
        item_id=pa.array([f"item {number}" for number in range(num_items)]),
        section=pa.array(["net", "web", None] * (num_items // 3)),
        kind=pa.array(["wire", "page", None] * (num_items // 3)),
        constant=pa.array(["same"] * num_items),
        absent=pa.array([None] * num_items, pa.string()),
        long=pa.array([[str(n) for n in range(10_000)]] + [["1", "\0", "🐍"]] * (num_items - 1)),
    )
    names = ["item_id", "section", "kind", "constant", "absent", "long"]
    for missing in ("value", "leave_out"):
        found = associations(table, names, missing)
        json.dumps(found, allow_nan=False)
        assert [tuple(each["features"]) for each in found] == [
            (left, right) for i, left in enumerate(names) for right in names[i + 1 :]
        ]
        by_pair = {tuple(each["features"]): each for each in found}
        for (left, right), each in by_pair.items():
            assert each["near_unique"] == (["item_id"] if left == "item_id" else [])
            if left == "item_id" or {left, right} & {"constant", "absent"}:
                assert each["value_pairs"] == []
        sections = [each["values"] for each in by_pair["section", "kind"]["value_pairs"]]
        expected = [["net", "wire"], ["web", "page"]]
        assert sections == (expected if missing == "leave_out" else [*expected, [None, None]])


def test_near_unique_means_fewer_than_two_items_a_value(catalogue: Catalogue) -> None:
    table = catalogue(
        alone=pa.array(range(40)),
        twins=pa.array([number // 2 for number in range(40)]),
        skewed=pa.array([*range(38), 37, 37]),  # exp(entropy) = 40 / exp(3 ln 3 / 40)
        lists=pa.array([[number, number + 1] for number in range(40)]),
    )
    assert [is_near_unique(table, name, "value") for name in table.columns] == [
        True,
        False,
        True,
        True,
    ]


def test_of_a_long_value_the_beginning_is_kept(catalogue: Catalogue) -> None:
    texts = ["x" * 1_000_000, "y"] * 3
    table = catalogue(left=pa.array(texts), right=pa.array([1, 2] * 3))
    (pair,) = associations(table, ["left", "right"], "value")
    value = pair["value_pairs"][0]["values"][0]
    assert value == "x" * (MAX_CHARACTERS - 1) + "…"


def test_of_a_large_catalogue_a_sample_is_read(catalogue: Catalogue) -> None:
    generator = np.random.default_rng(0)
    sections = generator.choice(["net", "web", "doc"], 8_000, p=[0.5, 0.3, 0.2])
    tags = np.where(generator.random(8_000) < 0.9, sections, "other")
    table = catalogue(
        item_id=pa.array(range(8_000)), section=pa.array(sections), tag=pa.array(tags)
    )
    names = ["item_id", "section", "tag"]
    whole = associations(table, names, "value")[2]["value_pairs"]
    part = associations(table, names, "value", max_items=3_000)[2]["value_pairs"]  # a quarter
    assert [each["values"] for each in part[:3]] == [each["values"] for each in whole[:3]]
    for estimated, exact in zip(part[:3], whole[:3], strict=True):
        assert estimated["items"] != exact["items"]
        assert estimated["items"] == pytest.approx(exact["items"], rel=0.15)
        assert estimated["lift"] == pytest.approx(exact["lift"], rel=0.15)
    # A table that is a sample already is halved further, from where its own halvings ended.
    quarter = sampled(table, "item_id", 2)
    again = associations(quarter, names, "value", halvings=2, max_items=3_000)[2]["value_pairs"]
    assert again == part
    eighth = associations(quarter, names, "value", halvings=2, max_items=1_200)[2]["value_pairs"]
    assert eighth[0]["items"] == pytest.approx(whole[0]["items"], rel=0.15)
    assert eighth[0]["items"] != part[0]["items"]
