from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.features.encoding import EncodedRows, encode_table, ranges
from longtail.features.hashing import stable_hash
from longtail.features.schema import Feature
from longtail.features.vocabulary import Vocabulary, count_values

SECTION = Feature("section", "item", "single", "string", "section", 4)
TAGS = Feature("tags", "item", "multi", "string", "tags", 4)
SIZE = Feature("size", "item", "single", "integer", "size", 4)


def vocabulary(table: str, values: list[Any], kind: pa.DataType) -> Vocabulary:
    return Vocabulary(table, pa.array(values, kind), pa.array([1] * len(values), pa.int64()))


VOCABULARIES = {
    "section": vocabulary("section", ["web", "net"], pa.string()),
    "tags": vocabulary("tags", ["x", "y", "z"], pa.string()),
    "size": vocabulary("size", [10, 20], pa.int64()),
}


def cells(rows: EncodedRows) -> list[list[list[int]]]:
    """Return the rows as nested lists, by the definition in the docstring of `EncodedRows`."""
    f = rows.num_features
    return [
        [
            rows.values[rows.offsets[r * f + j] : rows.offsets[r * f + j + 1]].tolist()
            for j in range(f)
        ]
        for r in range(rows.num_rows)
    ]


def test_nulls_and_unknown_values_are_left_out() -> None:
    table = pa.table(
        {
            "tags": pa.array([["z", "nope", "x"], None, [], ["y", None]], pa.list_(pa.string())),
            "section": pa.array(["net", None, "nope", "web"]),
            "size": pa.array([20, 10, None, 30], pa.int64()),
        }
    )
    rows = encode_table(table, [SECTION, TAGS, SIZE], VOCABULARIES)
    assert cells(rows) == [
        [[1], [2, 0], [1]],
        [[], [], [0]],
        [[], [], []],
        [[0], [1], []],
    ]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["web", "net", "other", None]),
            st.none() | st.lists(st.sampled_from(["x", "y", "z", "w", None]), max_size=4),
        ),
        min_size=1,
        max_size=12,
    ),
    st.data(),
)
def test_encoding_taking_and_arrow_agree_with_plain_python(
    content: list[tuple[str | None, list[str | None] | None]], data: st.DataObject
) -> None:
    table = pa.table(
        {
            "section": pa.array([c[0] for c in content], pa.string()),
            "tags": pa.array([c[1] for c in content], pa.list_(pa.string())),
        }
    )
    known = {"web": 0, "net": 1, "x": 0, "y": 1, "z": 2}
    expected = [
        [[known[v] for v in [section] if v in known], [known[v] for v in tags or [] if v in known]]
        for section, tags in content
    ]
    rows = encode_table(table, [SECTION, TAGS], VOCABULARIES)
    assert cells(rows) == expected
    assert cells(EncodedRows.from_arrow(rows.to_arrow())) == expected

    chosen = data.draw(st.lists(st.integers(0, len(content) - 1), max_size=8))
    assert cells(rows.take(np.array(chosen, np.int64))) == [expected[r] for r in chosen]
    values, lengths = rows.columns(np.array(chosen, np.int64))
    assert lengths.tolist() == [[len(expected[r][f]) for r in chosen] for f in range(2)]
    assert values.tolist() == [v for f in range(2) for r in chosen for v in expected[r][f]]


def test_a_feature_left_out_is_one_that_nobody_knows() -> None:
    columns = {
        "section": pa.array(["net", None, "web"]),
        "tags": pa.array([["z", "x"], ["y"], None], pa.list_(pa.string())),
        "size": pa.array([20, 10, None], pa.int64()),
    }
    features = [SECTION, TAGS, SIZE]
    rows = encode_table(pa.table(columns), features, VOCABULARIES)
    for position, feature in enumerate(features):
        unknown = pa.nulls(3, columns[feature.name].type)
        expected = encode_table(
            pa.table({**columns, feature.name: unknown}), features, VOCABULARIES
        )
        assert cells(rows.without(position)) == cells(expected)
    # Also rows that were read from Arrow, and no rows at all.
    again = EncodedRows.from_arrow(rows.to_arrow()).without(1)
    assert cells(again) == [[[1], [], [1]], [[], [], [0]], [[0], [], []]]
    assert cells(rows.take(np.empty(0, np.int64)).without(1)) == []


def test_ranges() -> None:
    assert ranges(np.array([5, 1, 7]), np.array([2, 0, 3])).tolist() == [5, 6, 7, 8, 9]


def test_a_hashed_vocabulary_uses_the_stable_hash() -> None:
    hashed = Vocabulary("t", pa.array([], pa.string()), pa.array([], pa.int64()), buckets=7)
    values = pa.array(["a", None, "b", "a"])
    expected = (stable_hash(pa.array(["a", "b"])) % np.uint64(7)).tolist()
    assert hashed.encode(values).tolist() == [expected[0], -1, expected[1], expected[0]]
    assert hashed.num_rows == 7


@pytest.mark.parametrize(("min_count", "expected"), [(1, ["b", "a", "c"]), (2, ["b", "a"])])
def test_values_are_counted_over_columns_most_frequent_first(
    min_count: int, expected: list[str]
) -> None:
    single = pa.chunked_array([["a", "b", None], ["b"]])
    multi = pa.chunked_array([pa.array([["b", "a"], None, ["c"]], pa.list_(pa.string()))])
    made = count_values([single, multi], table="t", value_type=pa.string(), min_count=min_count)
    assert made.values.to_pylist() == expected
    assert made.counts.to_pylist() == [3, 2, 1][: len(expected)]
    assert made.encode(pa.array(["c", "b"])).tolist() == [2 if min_count == 1 else -1, 0]
