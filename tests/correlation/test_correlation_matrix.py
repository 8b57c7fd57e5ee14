from collections.abc import Callable
from math import log

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    adjusted_mutual_info_score,
    mutual_info_score,
    normalized_mutual_info_score,
)

from longtail.augmentation.masking_plan import masking_plan
from longtail.correlation.correlation_matrix import correlation_matrix
from longtail.correlation.measures import Measure, Missing
from tests.correlation.by_hand import adjusted, information

Catalogue = Callable[..., ibis.Table]

MEASURES: tuple[Measure, ...] = ("mutual_information", "normalized", "adjusted")
# Counted as codes in memory, or by a query of the engine.
WAYS = pytest.mark.parametrize("codes_gib", [1.0, 0.0], ids=["codes", "expression"])
text = st.sampled_from(["", "a", "b", "NUL \0", "emoji 🐍", "c", None])


@WAYS
@settings(max_examples=8, deadline=None)
@given(rows=st.lists(st.tuples(text, st.integers(-2, 2)), min_size=2, max_size=60))
def test_random_tables_equal_scikit_learn(
    catalogue: Catalogue, codes_gib: float, rows: list[tuple[str | None, int]]
) -> None:
    left, right = zip(*rows, strict=True)
    names = ["item_id", "left", "right"]
    table = catalogue(
        item_id=pa.array([f"item {number}" for number in range(len(rows))]),
        left=pa.array(left, pa.string()),
        right=pa.array(right, pa.int64()),
    )
    raw, share, score = (
        correlation_matrix(table, names, measure, "value", codes_gib=codes_gib)
        for measure in MEASURES
    )
    labels = [repr(value) for value in left]  # a missing value is a value of its own
    assert raw[1, 2] == pytest.approx(mutual_info_score(labels, right), abs=1e-6)
    distinct = len(set(labels)), len(set(right))
    if min(distinct) > 1:
        expected = normalized_mutual_info_score(labels, right, average_method="min")
        assert share[1, 2] == pytest.approx(expected, abs=1e-6)
        if sum(distinct) < 2 * len(rows):
            expected = adjusted_mutual_info_score(labels, right)
            assert score[1, 2] == pytest.approx(expected, abs=1e-6)
    assert raw[0, 1] == pytest.approx(raw[1, 1], abs=1e-9)  # the id tells everything
    assert score[0, 1:] == pytest.approx(0.0, abs=1e-9)  # and so would any other id


lists = st.lists(st.sampled_from(["x", "y", "z", None]), max_size=3)


@settings(max_examples=5, deadline=None)
@given(
    rows=st.lists(st.tuples(st.none() | lists, lists, text), min_size=1, max_size=12),
    missing=st.sampled_from(["value", "leave_out"]),
)
def test_multi_valued_features_equal_the_definition(
    catalogue: Catalogue, rows: list[tuple[list[str] | None, list[str], str]], missing: Missing
) -> None:
    tags, colours, name = (list(column) for column in zip(*rows, strict=True))
    ids = [f"item {number:02d}" for number in range(len(rows))]
    columns = {"item_id": ids, "tags": tags, "colours": colours, "name": name}
    types = {"tags": pa.list_(pa.string()), "colours": pa.list_(pa.string())}
    table = catalogue(
        **{key: pa.array(column, types.get(key, pa.string())) for key, column in columns.items()}
    )
    names = list(columns)
    raw = correlation_matrix(table, names, "mutual_information", missing)
    score = correlation_matrix(table, names, "adjusted", missing, num_shuffles=2)
    for i, j in [(0, 1), (1, 2), (1, 3), (2, 3)]:
        left, right = columns[names[i]], columns[names[j]]
        assert raw[i, j] == pytest.approx(information(left, right, missing)[0], abs=1e-9)
        expected = adjusted(ids, left, right, missing, num_shuffles=2)
        assert score[i, j] == pytest.approx(expected, abs=1e-6), (names[i], names[j])


def test_a_list_of_nulls_is_a_missing_value(catalogue: Catalogue) -> None:
    ids = [f"item {number}" for number in range(8)]
    tags = [["z", "y"], ["x", "x", "x"], None, ["x", None], [None, None], [None], [], ["y", None]]
    name = ["a", None, None, "b", "a", "", None, "a"]
    table = catalogue(item_id=ids, tags=pa.array(tags, pa.list_(pa.string())), name=name)
    names = ["item_id", "tags", "name"]
    score = correlation_matrix(table, names, "adjusted", "leave_out", num_shuffles=2)
    assert score[1, 2] == pytest.approx(adjusted(ids, tags, name, "leave_out", 2), abs=1e-6)


def test_chance_takes_identifiers_out_of_the_plan(catalogue: Catalogue) -> None:
    generator = np.random.default_rng(0)
    num_items = 2_000
    section = generator.integers(0, 8, num_items)
    price_band = (section // 2 + (generator.random(num_items) < 0.2)) % 4
    tags = [
        list({f"t{s}", f"u{extra}"})
        for s, extra in zip(section, generator.integers(0, 50, num_items), strict=True)
    ]
    table = catalogue(
        item_id=pa.array([f"item {number}" for number in range(num_items)]),
        title=pa.array([f"title {number}" for number in generator.integers(0, 10**6, num_items)]),
        section=pa.array(section),
        price_band=pa.array(price_band),
        tags=pa.array(tags),
    )
    names = ["item_id", "title", "section", "price_band", "tags"]
    raw = correlation_matrix(table, names, "mutual_information", "value")
    score = correlation_matrix(table, names, "adjusted", "value")
    assert masking_plan(names, raw).masks["section"][1] == "item_id"
    assert masking_plan(names, score).masks["section"] == ["section", "price_band", "tags"]
    assert np.abs(score[:2, 2:]).max() < 0.01
    assert score[2, 3] > 0.3


@pytest.mark.parametrize("missing", ["value", "leave_out"])
@WAYS
def test_both_ways_agree_on_hard_values(
    catalogue: Catalogue, codes_gib: float, missing: Missing
) -> None:
    # Values that engines treat differently: empty strings, NUL, composed and decomposed letters.
    generator = np.random.default_rng(1)
    num_items = 300
    kinds = np.array(["", "NUL \0", "NUL", "emoji 🐍", "a", "ä", "a\u0308"], dtype=object)
    columns = {
        "item_id": [f"{number:03d}" for number in range(num_items)],
        "kind": [None if u < 0.2 else k for u, k in _drawn(generator, kinds, num_items)],
        "number": [
            None if u < 0.1 else int(k) for u, k in _drawn(generator, [-5, 0, 7], num_items)
        ],
        "constant": ["same"] * num_items,
        "absent": [None] * num_items,
        "half_unique": [None if number % 2 else f"u{number}" for number in range(num_items)],
    }
    types = {"number": pa.int64()}
    table = catalogue(
        **{name: pa.array(column, types.get(name, pa.string())) for name, column in columns.items()}
    )
    names = list(columns)
    for measure in MEASURES:
        found = correlation_matrix(table, names, measure, missing, codes_gib=codes_gib)
        assert np.isfinite(found).all()
        assert (found == found.T).all()
        for i, left in enumerate(names):
            for j in range(i + 1, len(names)):
                expected = _expected(measure, columns[left], columns[names[j]], missing)
                assert found[i, j] == pytest.approx(expected, abs=1e-6), (left, names[j], measure)
        if measure == "mutual_information":
            assert found[3, 3] == found[4, 4] == 0.0
        else:
            assert found.diagonal().tolist() == [1.0] * len(names)
        plan = masking_plan(names, found).masks
        assert all(len(masked) == 4 for masked in plan.values())


def _drawn(generator: np.random.Generator, kinds: object, size: int) -> zip:
    return zip(generator.random(size), generator.choice(kinds, size), strict=True)


def _expected(measure: Measure, left: list, right: list, missing: Missing) -> float:
    rows = [
        (repr(x), repr(y))
        for x, y in zip(left, right, strict=True)
        if missing == "value" or (x is not None and y is not None)
    ]
    if not rows:
        return 0.0
    xs, ys = zip(*rows, strict=True)
    if measure == "mutual_information":
        return float(mutual_info_score(xs, ys))
    distinct = len(set(xs)), len(set(ys))
    if min(distinct) == 1:
        return 0.0  # scikit-learn calls two constants a perfect match
    if measure == "normalized":
        return float(normalized_mutual_info_score(xs, ys, average_method="min"))
    if distinct == (len(xs), len(xs)):
        return 0.0  # and two identifiers
    return float(adjusted_mutual_info_score(xs, ys))


def test_ties_go_by_feature_order(catalogue: Catalogue) -> None:
    names = ["item_id", "b", "a", "c"]
    table = catalogue(
        item_id=pa.array(list("pqrs")), **{name: pa.array([1, 1, 2, 2]) for name in names[1:]}
    )
    for measure in MEASURES:
        matrix = correlation_matrix(table, names, measure, "value")
        assert matrix[1, 2] == matrix[1, 3] == matrix[2, 3]
        # The id determines the others too, but no better than chance would.
        first = "b" if measure == "adjusted" else "item_id"
        assert masking_plan(names, matrix).masks["c"][1] == first


def test_ten_thousand_values_in_one_list(catalogue: Catalogue) -> None:
    num_items = 40
    table = catalogue(
        item_id=pa.array([f"item {number}" for number in range(num_items)]),
        long=pa.array([list(range(10_000))] + [[1]] * (num_items - 1)),
        colour=pa.array([f"c{number % 4}" for number in range(num_items)]),
    )
    names = ["item_id", "long", "colour"]
    raw = correlation_matrix(table, names, "mutual_information", "value")
    assert raw[0, 1] == pytest.approx(raw[1, 1] - log(10_000) / num_items, abs=1e-9)
    score = correlation_matrix(table, names, "adjusted", "value")
    assert np.isfinite(score).all()
    # An id tells equally much about the long list, whichever item has it.
    assert score[0, 1] == pytest.approx(0.0, abs=1e-9)


def test_no_items_and_one_item(catalogue: Catalogue) -> None:
    for ids, tags in (([], []), (["a"], [["x", "y"]])):
        table = catalogue(
            item_id=pa.array(ids, pa.string()),
            section=pa.array(ids, pa.string()),
            tags=pa.array(tags, pa.list_(pa.string())),
        )
        for codes_gib in (0.0, 1.0):
            found = correlation_matrix(
                table,
                ["item_id", "section", "tags"],
                "adjusted",
                "value",
                num_shuffles=1,
                codes_gib=codes_gib,
            )
            assert np.isfinite(found).all()
            assert found[0, 1] == found[0, 2] == found[1, 2] == 0.0
