from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.augmentation.masking_plan import mask_size, masking_plan
from longtail.augmentation.masks import SeedMasks
from longtail.errors import InputError

Overridden = tuple[list[str], np.ndarray, list[str], list[list[str]]]


@pytest.mark.parametrize("num_features", range(2, 13))
def test_a_mask_is_the_seed_and_its_most_correlated_features(num_features: int) -> None:
    generator = np.random.default_rng(num_features)
    matrix = generator.random((num_features, num_features))
    matrix += matrix.T
    names = [f"f{number}" for number in range(num_features)]
    plan = masking_plan(names, matrix)
    assert list(plan.masks) == names
    size = 1 if num_features == 2 else num_features // 2  # beside the seed; see below for two
    for seed, name in enumerate(names):
        others = [index for index in range(num_features) if index != seed]
        if num_features == 2:
            expected = {seed}
        else:
            # The set of that size with the highest sum has the highest members.
            best = max(combinations(others, size), key=lambda some: matrix[seed, list(some)].sum())
            expected = {seed, *best}
        assert {names.index(masked) for masked in plan.masks[name]} == expected
        assert plan.masks[name][0] == name
        assert 0 < len(plan.masks[name]) < num_features  # neither view is empty


def test_ties_go_by_feature_order() -> None:
    plan = masking_plan(["a", "b", "c", "d", "e"], np.ones((5, 5)))
    assert plan.masks == {
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
    assert plan.masks == {"b": ["b", "d"], "c": ["c", "d"], "d": ["d", "c"]}


def test_there_is_no_plan_where_there_are_no_two_views() -> None:
    assert masking_plan(["id"], np.ones((1, 1))).masks == {}
    assert masking_plan(["id", "b"], np.ones((2, 2)), never_mask=["id"]).masks == {}


def test_an_unknown_feature_is_named() -> None:
    with pytest.raises(InputError, match=r"names 'sections'.*choose from id, section"):
        masking_plan(["id", "section"], np.ones((2, 2)), never_mask=["sections"])


@st.composite
def overridden(draw: st.DrawFn) -> Overridden:
    """Draw features, a symmetric matrix with ties, and overrides that can be done."""
    names = [f"f{number}" for number in range(draw(st.integers(2, 12)))]
    generator = np.random.default_rng(draw(st.integers(0, 10_000)))
    matrix = generator.integers(0, draw(st.sampled_from([2, 5, 1000])), (len(names), len(names)))
    # Group 0 is never masked, group 1 is free, the others are masked together.
    labels = draw(st.lists(st.integers(0, 4), min_size=len(names), max_size=len(names)))
    by_label: dict[int, list[str]] = {}
    for name, label in draw(st.permutations(list(zip(names, labels, strict=True)))):
        by_label.setdefault(label, []).append(name)
    never = by_label.get(0, [])
    groups = [
        group
        for label, group in by_label.items()
        if label > 1 and 1 < len(group) < len(names) - len(never)
    ]
    return names, (matrix + matrix.T).astype(float), never, groups


@given(overridden())
def test_what_holds_for_every_plan(given_features: Overridden) -> None:
    names, matrix, never, groups = given_features
    maskable = [name for name in names if name not in never]
    plan = masking_plan(names, matrix, never, groups)
    assert list(plan.masks) == (maskable if len(maskable) > 1 else [])
    units = [set(group) for group in groups]
    units += [{name} for name in maskable if not any(name in unit for unit in units)]
    for seed, masked in plan.masks.items():
        row = matrix[names.index(seed)]
        assert masked[0] == seed
        assert len(set(masked)) == len(masked)
        assert set(masked) < set(maskable)  # the other view masks something, and nothing else
        own = next(unit for unit in units if seed in unit)
        taken = [unit for unit in units if unit <= set(masked) and unit != own]
        left = [unit for unit in units if not unit & set(masked)]
        assert own <= set(masked)
        assert len(taken) + len(left) + 1 == len(units)  # no group is torn apart

        def rank(unit: set[str], row: np.ndarray = row) -> tuple[float, int]:
            return min((-row[names.index(name)], names.index(name)) for name in unit)

        assert max(map(rank, taken), default=(-np.inf, 0)) < min(map(rank, left))
        if len(masked) < mask_size(len(maskable)):
            assert len(left) == 1  # which would have completed the mask to everything
        elif taken:
            assert len(masked) - len(max(taken, key=rank)) < mask_size(len(maskable))
        else:
            assert len(masked) == len(own)


@given(overridden())
def test_training_masks_what_the_plan_says(given_features: Overridden) -> None:
    names, matrix, never, groups = given_features
    plan = masking_plan(names, matrix, never, groups)
    rule = SeedMasks(names, plan)
    for draw, masked in enumerate(plan.masks.values()):
        mask = rule.mask(draw)
        hidden = {name for name, hides in zip(names, mask.first, strict=True) if hides}
        assert hidden == set(masked)
        kept = {name for name, hides in zip(names, mask.second, strict=True) if hides}
        assert kept == set(names) - set(masked) - set(never)


def test_a_group_at_the_cut_is_taken_whole() -> None:
    # From the seed a: b, then e with its group, which the cut (a and two more) runs through.
    matrix = np.zeros((5, 5))
    matrix[0] = matrix[:, 0] = [1.0, 0.9, 0.1, 0.2, 0.8]
    plan = masking_plan(list("abcde"), matrix, always_together=[["c", "e"]])
    assert plan.masks["a"] == ["a", "b", "e", "c"]
    assert plan.masks["c"] == ["c", "e", "a"]
    assert masking_plan(list("abcde"), matrix).masks["a"] == ["a", "b", "e"]


def test_what_would_leave_a_view_empty_is_passed_over() -> None:
    plan = masking_plan(["a", "b", "c"], np.ones((3, 3)), always_together=[["b", "c"]])
    assert plan.masks == {"a": ["a"], "b": ["b", "c"], "c": ["c", "b"]}


@pytest.mark.parametrize(
    ("never", "together", "message"),
    [
        ([], [["b", "sections"]], r"always_together` names 'sections'.*choose from a, b, c, d"),
        (["x", "y"], [], r"never_mask` names 'x', 'y'"),
        ([], [["b", "c"], ["d"]], r"always_together\[1\]` has 1 feature"),
        ([], [[]], r"always_together\[0\]` has 0 feature"),
        ([], [["b", "b"]], r"always_together\[0\]` has 'b'.* more than once"),
        ([], [["a", "b"], ["b", "c"]], r"always_together\[0\]` has 'b'.* more than once"),
        (["c"], [["a", "b"], ["c", "d"]], r"always_together\[1\]` has 'c'.*never_mask` names"),
        ([], [["d", "c", "b", "a"]], r"always_together\[0\]` has all 4 features"),
        (["a"], [["d", "c", "b"]], r"always_together\[0\]` has all 3 features"),
    ],
)
def test_overrides_that_cannot_be_done_are_named(
    never: list[str], together: list[list[str]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        masking_plan(list("abcd"), np.ones((4, 4)), never, together)
