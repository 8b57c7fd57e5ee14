from itertools import combinations

import numpy as np
import pytest

from longtail.correlation.masking_plan import masking_plan
from longtail.errors import InputError


@pytest.mark.parametrize("num_features", range(2, 13))
def test_a_mask_is_the_seed_and_its_most_correlated_features(num_features: int) -> None:
    generator = np.random.default_rng(num_features)
    matrix = generator.random((num_features, num_features))
    matrix += matrix.T
    names = [f"f{number}" for number in range(num_features)]
    plan = masking_plan(names, matrix)
    assert list(plan) == names
    size = 1 if num_features == 2 else num_features // 2  # beside the seed; see below for two
    for seed, name in enumerate(names):
        others = [index for index in range(num_features) if index != seed]
        if num_features == 2:
            expected = {seed}
        else:
            # Of all sets of that size, the one with the highest sum has the highest members.
            best = max(combinations(others, size), key=lambda some: matrix[seed, list(some)].sum())
            expected = {seed, *best}
        assert {names.index(masked) for masked in plan[name]} == expected
        assert plan[name][0] == name
        assert 0 < len(plan[name]) < num_features  # neither view is empty


def test_ties_go_by_feature_order() -> None:
    plan = masking_plan(["a", "b", "c", "d", "e"], np.ones((5, 5)))
    assert plan == {
        "a": ["a", "b", "c"],
        "b": ["b", "a", "c"],
        "c": ["c", "a", "b"],
        "d": ["d", "a", "b"],
        "e": ["e", "a", "b"],
    }


def test_some_features_are_never_masked() -> None:
    matrix = np.array(
        [[1, 0.9, 0.1, 0.2], [0.9, 1, 0.3, 0.4], [0.1, 0.3, 1, 0.5], [0.2, 0.4, 0.5, 1]]
    )
    plan = masking_plan(["id", "b", "c", "d"], matrix, never_mask=["id"])
    assert plan == {"b": ["b", "d"], "c": ["c", "d"], "d": ["d", "c"]}


def test_there_is_no_plan_where_there_are_no_two_views() -> None:
    assert masking_plan(["id"], np.ones((1, 1))) == {}
    assert masking_plan(["id", "b"], np.ones((2, 2)), never_mask=["id"]) == {}


def test_an_unknown_feature_is_named() -> None:
    with pytest.raises(InputError, match=r"names 'sections'.*choose from id, section"):
        masking_plan(["id", "section"], np.ones((2, 2)), never_mask=["sections"])
