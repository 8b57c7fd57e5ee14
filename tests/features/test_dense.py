"""Dense features: refused values, normalised values, and each distinct value kept once."""

import itertools
import re
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.artifacts import RunPaths, read_json
from longtail.errors import InputError
from longtail.features.dense import (
    MOST_DEVIATIONS,
    dense_findings,
    distinct_vectors,
    encode_dense,
    measure_scale,
)
from longtail.features.encoding import concatenated, encode_table
from longtail.features.schema import Feature, Scale, Schema
from longtail.features.vocabulary import Vocabulary, build_vocabularies, load_vocabularies
from tests.features.conftest import interaction_rows, item_rows, query_rows
from tests.projects import write_project, write_tables

VECTORS = pa.list_(pa.float32())
NAN, INFINITE = float("nan"), float("inf")


def vector_feature(length: int, side: str = "item", table: str = "text") -> Feature:
    return Feature("text", side, "dense", "vector", table, 8, scale=Scale(length))  # type: ignore[arg-type]


def number_feature(mean: float = 0.0, deviation: float = 1.0) -> Feature:
    scale = Scale(1, mean, deviation)
    return Feature("price", "item", "dense", "number", "price", 8, scale=scale)


def test_vectors_become_unit_vectors_and_equal_ones_stand_once() -> None:
    rows = [[3.0, 4.0], None, [0.6, 0.8], [0.0, 0.0], [], [-1e30, 0.0], [1e-40, 1e-40], [-7.0, 0.0]]
    codes, vectors = encode_dense(pa.array(rows, VECTORS), vector_feature(2))
    assert codes.tolist() == [0, -1, 0, -1, -1, 1, 2, 1]
    np.testing.assert_allclose(vectors, [[0.6, 0.8], [-1, 0], [0.5**0.5, 0.5**0.5]], rtol=1e-6)
    assert vectors.dtype == np.float32


def test_numbers_are_standardised_by_the_catalogue() -> None:
    catalogue = pa.chunked_array([[1.0, 2.0, None], [6.0]])
    scale = measure_scale([number_feature()], [catalogue], catalogue)
    assert scale == Scale(1, pytest.approx(3.0), pytest.approx(np.std([1.0, 2.0, 6.0])))
    feature = number_feature(3.0, 2.0)
    codes, numbers = encode_dense(pa.array([5.0, None, 3.0, -1e308, 5.0]), feature)
    assert codes.tolist() == [0, -1, 1, 2, 0]
    assert numbers.tolist() == [[1.0], [0.0], [-MOST_DEVIATIONS]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], Scale(1)), ([0.0, 0.0], Scale(1)), ([7.0, 7.0], Scale(1, 7.0, 1.0))],
)
def test_numbers_that_do_not_vary_have_a_deviation(values: list[float], expected: Scale) -> None:
    column = pa.chunked_array([pa.array(values, pa.float64())])
    assert measure_scale([number_feature()], [column], column) == expected


def test_extreme_numbers_have_a_finite_scale() -> None:
    column = pa.chunked_array([[1e308, -1e308, 1e-320]])
    scale = measure_scale([number_feature()], [column], column)
    _, numbers = encode_dense(column, number_feature(scale.mean, scale.deviation))
    assert np.isfinite(numbers).all()
    assert scale.deviation == pytest.approx(1e308 * (2 / 3) ** 0.5)


def test_the_length_is_that_of_the_data_and_of_all_that_share_a_projection() -> None:
    known = pa.chunked_array([pa.array([None, [1.0, 2.0], []], VECTORS)])
    nothing = pa.chunked_array([pa.array([None, []], VECTORS)])
    longer = pa.chunked_array([pa.array([[1.0, 2.0, 3.0]], VECTORS)])
    item, query = vector_feature(0), vector_feature(0, "query")
    assert measure_scale([query, item], [known, known], known) == Scale(2)
    with pytest.raises(InputError, match="item feature `text` has no vector in any row"):
        measure_scale([item], [nothing], nothing)
    with pytest.raises(InputError, match=r"share table `text` .*`query.text` 2, `item.text` 3"):
        measure_scale([query, item], [known, longer], longer)


CASES = [
    ([1.0, NAN, 2.0], "is not finite in 1 of 3 rows, first in row 1 .*`id` = 'b'.*has nan: write"),
    ([INFINITE, None, 2.0], "first in row 0 .*which has inf: write null"),
    ([[1.0, 2.0], None, [1.0, NAN]], "is null or not finite in .* row 2 .* a list of 2 numbers"),
    ([[1.0, None], None, []], "is null or not finite in 1 of 3 rows, first in row 0"),
    (
        [[1.0, 2.0], [1.0], [3.0, 4.0]],
        r"another length than most \(2 numbers\) in 1 .* row 1 .*list of 1 numbers",
    ),
]


@pytest.mark.parametrize(("values", "message"), CASES)
def test_a_value_that_cannot_be_is_named(values: list[object], message: str) -> None:
    kind = VECTORS if any(isinstance(value, list) for value in values) else pa.float64()
    rows = pa.table({"id": ["a", "b", "c"], "text": pa.array(values, kind)})
    (finding,) = dense_findings(rows, ["text"], "id", "items", "items.parquet")
    assert finding.what.startswith("column `text` of items.parquet ")
    assert re.search(message, finding.message)
    assert (finding.table, finding.column, finding.num_rows) == ("items", "text", 1)
    feature = vector_feature(2) if kind == VECTORS else number_feature()
    with pytest.raises(InputError, match=f"feature {feature.name} has .* in row"):
        encode_dense(rows["text"], feature)


def test_null_and_empty_values_are_no_problem() -> None:
    rows = pa.table({"id": ["a", "b"], "text": pa.array([None, []], VECTORS), "price": [None, 1.0]})
    assert dense_findings(rows, ["text", "price"], "id", "items", "items.parquet") == []


@settings(max_examples=30, deadline=None)
@given(choice=st.lists(st.integers(0, 5), max_size=30), length=st.integers(1, 400))
def test_equal_vectors_are_found(choice: list[int], length: int) -> None:
    vectors = np.random.default_rng(length).normal(size=(6, length)).astype(np.float32)
    first, code = distinct_vectors(vectors[choice])
    seen: list[int] = []
    for number in choice:
        if number not in seen:
            seen.append(number)
    assert [choice[position] for position in first] == seen
    assert [seen[position] for position in code] == choice


def test_tables_encoded_in_parts_are_the_table_encoded_whole() -> None:
    vocabulary = {"id": Vocabulary("id", pa.array(["a", "b", "c"]), pa.array([1, 1, 1]))}
    features = [
        Feature("id", "item", "single", "string", "id", 8, is_id=True),
        vector_feature(2),
        number_feature(),
    ]
    table = pa.table(
        {
            "id": ["c", "b", "a", "b"],
            "text": pa.array([[1, 0], None, [0, 2], [4, 0]], VECTORS),
            "price": [2.0, 2.0, None, 2.0],
        }
    )
    # By hand: vectors and numbers are numbered by where they occur first.
    whole = encode_table(table, features, vocabulary)
    assert whole.values.tolist() == [2, 0, 0, 1, 0, 0, 1, 1, 0, 0]
    assert np.diff(whole.offsets).tolist() == [1, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1]
    for cuts in ([0, 4], [0, 1, 4], [0, 2, 2, 3, 4]):
        parts = [
            encode_table(table.slice(a, b - a), features, vocabulary)
            for a, b in itertools.pairwise(cuts)
        ]
        joined = concatenated(parts)
        assert joined.values.tolist() == whole.values.tolist()
        assert joined.offsets.tolist() == whole.offsets.tolist()
        for position in (1, 2):
            assert joined.vectors[position].tolist() == whole.vectors[position].tolist()


def test_a_table_with_a_broken_vector_is_one_error_and_nothing_is_written(tmp_path: Path) -> None:
    """The table is read through Feast, as in a run."""
    from longtail.config import load_config
    from longtail.features.feast.catalogue import build_catalogue

    texts: list[object] = [[1.0, 2.0], None, [], [3.0, NAN], [1.0, 1.0], [0.0, 5.0]]
    items = item_rows().append_column("text", pa.array(texts, VECTORS))
    config = load_config(write_project(tmp_path, items, query_rows(), interaction_rows()))
    message = r"`text` of .*items\.parquet has a number .* row 3 .*`item_id` = 'c'.*: write null"
    with pytest.raises(InputError, match=message):
        build_catalogue(config, date(2024, 1, 9))
    assert not (config.home / "runs").exists()
    texts[3] = [4.0, 3.0]
    fixed = items.set_column(items.column_names.index("text"), "text", pa.array(texts, VECTORS))
    write_tables(tmp_path, items=fixed)
    build_catalogue(config, date(2024, 1, 9))
    build_vocabularies(config, date(2024, 1, 9))
    paths = RunPaths(config, date(2024, 1, 9))
    schema = Schema.from_json(read_json(paths.vocabularies / "schema.json"))
    latest = pq.read_table(paths.catalogue / "items.parquet")
    assert latest["item_id"].to_pylist() == ["a", "c"]
    rows = encode_table(latest, schema.item, load_vocabularies(paths.vocabularies))
    np.testing.assert_allclose(rows.vectors[len(schema.item) - 1], [[0.5**0.5] * 2, [0.8, 0.6]])
