"""The rows of a few values, compared with the rows that encoding a whole column finds."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.artifacts import RunPaths
from longtail.features.vocabulary import Vocabulary, load_vocabularies
from longtail.serving import vocabulary_rows as value_rows
from longtail.serving.vocabulary_rows import (
    ServedVocabulary,
    SortedValues,
    load_served_vocabularies,
)
from tests.publications import DAYS, Published

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
INTEGER = st.integers(-(2**63), 2**63 - 1)


@settings(deadline=None)
@given(st.one_of(st.lists(TEXT, unique=True), st.lists(INTEGER, unique=True)), st.data())
def test_a_value_is_found_where_it_stands(
    values: list[str] | list[int], data: st.DataObject
) -> None:
    """The values may be in any order, sorted, or a slice of a longer array."""
    kind = pa.string() if not values or isinstance(values[0], str) else pa.int64()
    others = data.draw(st.lists(TEXT if kind == pa.string() else INTEGER, max_size=5))
    for listed in (values, sorted(values)):
        array = pa.array(listed, kind)
        for rows in (
            SortedValues(array),
            SortedValues(pa.concat_arrays([array, array])[: len(array)]),
        ):
            for value in [*values, *others]:
                expected = listed.index(value) if value in listed else -1
                assert rows.find(value) == expected
        if len(listed) > 1:
            assert SortedValues(array[1:]).find(listed[1]) == 0
            assert SortedValues(array[1:]).find(listed[0]) == -1


@settings(max_examples=15, deadline=None)  # DuckDB starts for each
@given(st.lists(st.one_of(TEXT, st.none()), max_size=6), st.integers(1, 2**31 - 1))
def test_hashed_values_share_the_rows_of_training(values: list[str | None], buckets: int) -> None:
    array = pa.array(values, pa.string())
    nothing = pa.nulls(0, pa.int64())
    expected = Vocabulary("t", pa.nulls(0, pa.string()), nothing, buckets).encode(array)
    served = ServedVocabulary.hashed("t", buckets)
    np.testing.assert_array_equal(served.encode(array), expected)
    assert [served.row_of(value) for value in values if value is not None] == [
        row for row in expected.tolist() if row >= 0
    ]


def test_integers_hash_as_their_text() -> None:
    expected = Vocabulary("t", pa.nulls(0, pa.int64()), pa.nulls(0, pa.int64()), 97)
    values = pa.array([0, -5, 2**62, 7])
    served = ServedVocabulary.hashed("t", 97)
    assert [served.row_of(value) for value in values.to_pylist()] == expected.encode(
        values
    ).tolist()


@pytest.mark.parametrize("values_a_search", [1, 10**9])
def test_few_and_many_values_are_encoded_alike(
    monkeypatch: pytest.MonkeyPatch, values_a_search: int
) -> None:
    """Values are encoded one by one or through a hash table, with the same result."""
    random = np.random.default_rng(0)
    listed = pa.array([f"v{number}" for number in random.permutation(500)])
    asked = pa.array([None if n % 7 == 0 else f"v{n}" for n in random.integers(700, size=60)])
    plain = Vocabulary("t", listed, pa.nulls(0, pa.int64()))
    monkeypatch.setattr(value_rows, "VALUES_A_SEARCH", values_a_search)
    found = ServedVocabulary.exact("t", listed).encode(asked)
    np.testing.assert_array_equal(found, plain.encode(asked))
    assert {-1} < set(found.tolist())


def test_a_version_s_vocabularies_are_the_ones_of_training(prepared: Published) -> None:
    folder = RunPaths(prepared.config, DAYS[0]).vocabularies
    expected = load_vocabularies(folder)
    served = load_served_vocabularies(folder)
    assert served.keys() == expected.keys()
    for table, vocabulary in served.items():
        assert vocabulary.num_rows == expected[table].num_rows
        values = expected[table].values
        for row in (0, len(values) // 2, len(values) - 1):
            assert vocabulary.row_of(values[row].as_py()) == row
