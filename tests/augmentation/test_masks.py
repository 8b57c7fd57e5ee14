"""Masks against the paper's rule by counting, and against the shares that chance gives."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.augmentation.masking_plan import MaskingPlan, masking_plan
from longtail.augmentation.masks import (
    DrawnMasks,
    EmptyMasks,
    Mask,
    RandomMasks,
    SeedMasks,
)
from longtail.config import SelfSupervisionConfig
from longtail.dataset.sampler import mask_draws
from longtail.errors import InputError

# 99.9% points of chi-square by degrees of freedom.
CHI_SQUARE = {3: 16.27, 4: 18.47, 5: 20.52, 6: 22.46, 15: 37.70}


def names(count: int) -> list[str]:
    return [f"f{number}" for number in range(count)]


def size_of_mask(num_features: int) -> int:
    """Return the size of a mask: the seed and floor(k/2) more, but never all features."""
    size = 1
    while size < 1 + num_features // 2 and size < num_features - 1:
        size += 1
    return size


def masked_by_rule(correlations: np.ndarray, seed: int) -> set[int]:
    """Return the seed, and every feature that fewer than floor(k/2) others precede.

    A feature precedes another if its correlation with the seed is higher, or equal and its place
    earlier.
    """
    others = [feature for feature in range(len(correlations)) if feature != seed]
    row = correlations[seed]
    masked = {seed}
    for feature in others:
        before = [
            other
            for other in others
            if row[other] > row[feature] or (row[other] == row[feature] and other < feature)
        ]
        if len(before) < size_of_mask(len(correlations)) - 1:
            masked.add(feature)
    return masked


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("num_features", range(2, 13))
def test_correlated_masks_are_those_of_the_rule(num_features: int, ties: bool) -> None:
    rng = np.random.default_rng(num_features)
    for _ in range(10):
        shape = (num_features, num_features)
        values = rng.integers(0, 3, shape) if ties else rng.random(shape)
        correlations = np.triu(values) + np.triu(values, 1).T
        plan = masking_plan(names(num_features), correlations.astype(float))
        rule = SeedMasks(names(num_features), plan)
        assert len(rule.masks) == num_features
        for seed in range(num_features):
            first = {feature for feature, hidden in enumerate(rule.masks[seed].first) if hidden}
            second = {feature for feature, hidden in enumerate(rule.masks[seed].second) if hidden}
            assert first == masked_by_rule(correlations, seed)
            assert seed in first
            assert len(first) == (1 if num_features == 2 else 1 + num_features // 2)
            assert second == set(range(num_features)) - first
            assert first  # no view is empty
            assert second
            assert rule.masks[seed].is_complementary


def test_every_seed_is_drawn_equally_often() -> None:
    ring = np.roll(np.eye(5), 1, axis=0) + np.roll(np.eye(5), -1, axis=0)
    rule = SeedMasks(names(5), masking_plan(names(5), ring))
    assert len(set(rule.masks)) == 5  # the seed and its two neighbours
    draws = [mask_draws(7, step, 1)[0] for step in range(5000)]
    counts = Counter(rule.masks.index(rule.mask(draw)) for draw in draws)
    assert sum((counts[seed] - 1000) ** 2 / 1000 for seed in range(5)) < CHI_SQUARE[4]


def test_masks_follow_the_plan() -> None:
    plan = {"a": ["a", "c"], "b": ["b"], "c": ["c", "b"]}
    assert SeedMasks(["a", "b", "c"], MaskingPlan(plan, {})).masks == [
        Mask((True, False, True), (False, True, False)),
        Mask((False, True, False), (True, False, True)),
        Mask((False, True, True), (True, False, False)),
    ]


@settings(max_examples=60, deadline=None)
@given(
    augmentation=st.sampled_from(["correlated_masking", "random_masking", "independent_masking"]),
    maskable=st.lists(st.booleans(), min_size=2, max_size=9).filter(lambda flags: sum(flags) > 1),
    draw=st.integers(0, 2**31 - 1),
    matrix_seed=st.integers(0, 100),
)
def test_every_masking_keeps_what_holds_for_all(
    augmentation: str, maskable: list[bool], draw: int, matrix_seed: int
) -> None:
    features = names(len(maskable))
    never = [name for name, may in zip(features, maskable, strict=True) if not may]
    correlations = np.random.default_rng(matrix_seed).random((len(features), len(features)))
    plan = masking_plan(features, correlations, never)
    rule = SelfSupervisionConfig(augmentation=augmentation).augmenter.masks(features, plan)
    mask = rule.mask(draw)
    assert mask == rule.mask(draw)
    k = sum(maskable)
    for hidden in (mask.first, mask.second):
        assert len(hidden) == len(features)
        assert not any(h and not may for h, may in zip(hidden, maskable, strict=True))
        assert 0 < sum(hidden) < k  # a view that is masked, and not empty
    assert sum(mask.first) == size_of_mask(k)
    if augmentation == "independent_masking":
        assert sum(mask.second) == size_of_mask(k)
    else:
        assert sum(mask.second) == k - size_of_mask(k)
        assert mask.is_complementary


@pytest.mark.parametrize(("num_features", "never"), [(4, 0), (7, 0), (6, 2)])
def test_random_masks_hide_every_feature_equally_often(num_features: int, never: int) -> None:
    features = names(num_features)
    rule = RandomMasks(features, features[never:], complementary=True)
    k, num_draws = num_features - never, 4000
    size = size_of_mask(k)
    first = np.array([rule.mask(draw).first for draw in range(num_draws)])
    second = np.array([rule.mask(draw).second for draw in range(num_draws)])
    assert not first[:, :never].any()
    assert not second[:, :never].any()
    assert np.all(first[:, never:] ^ second[:, never:])
    for masks, hidden in ((first, size), (second, k - size)):
        assert np.all(masks.sum(axis=1) == hidden)
        expected = num_draws * hidden / k
        # Without replacement the statistic shrinks by (1 - hidden/k) k / (k - 1).
        shrunk = (1 - hidden / k) * k / (k - 1)
        statistic = ((masks[:, never:].sum(axis=0) - expected) ** 2 / expected).sum() / shrunk
        assert statistic < CHI_SQUARE[k - 1]


def test_random_masks_take_every_set_equally_often() -> None:
    rule = RandomMasks(names(4), names(4), complementary=True)
    counts = Counter(rule.mask(draw).first for draw in range(4000))
    sets = [tuple(i != shown for i in range(4)) for shown in range(4)]  # three of four hidden
    assert sum((counts[one] - 1000) ** 2 / 1000 for one in sets) < CHI_SQUARE[3]


def test_independent_masks_do_not_know_of_each_other() -> None:
    rule = RandomMasks(names(4), names(4), complementary=False)
    masks = [rule.mask(draw) for draw in range(8000)]
    counts = Counter((mask.first, mask.second) for mask in masks)
    sets = [tuple(i != shown for i in range(4)) for shown in range(4)]
    pairs = list(itertools.product(sets, sets))
    assert set(counts) <= set(pairs)
    # All 16 pairs of masks are equally likely, those that overlap wholly included.
    assert sum((counts[pair] - 500) ** 2 / 500 for pair in pairs) < CHI_SQUARE[15]


def test_what_the_plan_never_masks_is_hidden_in_neither_view() -> None:
    plan = MaskingPlan({"a": ["a"], "b": ["b"]}, {})
    assert SeedMasks(["kept", "a", "b"], plan).masks == [
        Mask((False, True, False), (False, False, True)),
        Mask((False, False, True), (False, True, False)),
    ]


@pytest.mark.parametrize("augmentation", ["none", "dropout_only", "spread_out", "feature_dropout"])
def test_the_other_augmentations_mask_nothing(augmentation: str) -> None:
    plan = masking_plan(names(3), np.eye(3))
    for plan_or_none in (plan, MaskingPlan({}, {})):
        rule = SelfSupervisionConfig(augmentation=augmentation).augmenter.masks(
            names(3), plan_or_none
        )
        assert isinstance(rule, EmptyMasks)
        assert rule.mask(5) == Mask((False,) * 3, (False,) * 3)


@pytest.mark.parametrize(
    "augmentation", ["correlated_masking", "random_masking", "independent_masking"]
)
def test_a_mask_needs_two_features_that_may_be_masked(augmentation: str) -> None:
    with pytest.raises(InputError, match=r"two item features that may be masked"):
        SelfSupervisionConfig(augmentation=augmentation).augmenter.masks(
            ["id"], MaskingPlan({}, {})
        )


def drawn(plan: MaskingPlan, features: list[str], sharpness: float) -> DrawnMasks:
    config = SelfSupervisionConfig(mask_sharpness=sharpness)
    rule = config.augmenter.masks(features, plan)
    assert isinstance(rule, DrawnMasks)
    return rule


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.0])
def test_drawn_masks_come_as_often_as_drawing_one_by_one_would_bring_them(sharpness: float) -> None:
    features = names(5)
    weights = np.random.default_rng(2).uniform(0.05, 1.0, (5, 5))
    expected: Counter[frozenset[int]] = Counter()
    for seed in range(5):
        others = [feature for feature in range(5) if feature != seed]
        for second, third in itertools.permutations(others, 2):
            left = {feature: weights[seed, feature] ** sharpness for feature in others}
            share = left[second] / sum(left.values())
            del left[second]
            share *= left[third] / sum(left.values())
            expected[frozenset({seed, second, third})] += share / 5
    rule = drawn(masking_plan(features, weights), features, sharpness)
    counts: Counter[frozenset[int]] = Counter()
    num_draws = 5000
    for step in range(num_draws):
        mask = rule.mask(*mask_draws(7, step, 1))
        counts[frozenset(feature for feature, hidden in enumerate(mask.first) if hidden)] += 1
    assert len(expected) == 10
    assert sum(expected.values()) == pytest.approx(1)
    chi_square = sum(
        (counts[mask] - num_draws * share) ** 2 / (num_draws * share)
        for mask, share in expected.items()
    )
    assert chi_square < 27.88  # 99.9%, nine degrees of freedom


def test_very_sharp_drawn_masks_are_those_of_the_rule() -> None:
    features = names(6)
    weights = np.random.default_rng(1).permutation(36).reshape(6, 6) / 36
    plan = masking_plan(features, weights)
    fixed, rule = SeedMasks(features, plan), drawn(plan, features, 3000.0)
    assert {rule.mask(draw) for draw in range(200)} == set(fixed.masks)


def test_what_does_not_correlate_at_all_is_drawn_last() -> None:
    weights = np.eye(5)
    weights[:2, :2] = weights[2:, 2:] = 0.5
    rule = drawn(masking_plan(names(5), weights), names(5), 1.0)
    firsts = {rule.mask(draw).first for draw in range(300)}
    assert all(first[0] == first[1] for first in firsts if sum(first[2:]) < 3)
    assert (False, False, True, True, True) in firsts


@settings(max_examples=60, deadline=None)
@given(draw=st.integers(0, 2**31 - 1), seed=st.integers(0, 99), sharpness=st.floats(0.1, 50))
def test_drawn_masks_keep_what_holds_for_all(draw: int, seed: int, sharpness: float) -> None:
    features, group = names(7), {"f1", "f4"}
    correlations = np.random.default_rng(seed).random((7, 7))
    plan = masking_plan(features, correlations, ["f6"], [sorted(group)])
    rule = drawn(plan, features, sharpness)
    mask = rule.mask(draw)
    assert mask == rule.mask(draw)
    first, second = (
        {name for name, hidden in zip(features, flags, strict=True) if hidden}
        for flags in (mask.first, mask.second)
    )
    assert first | second == set(features) - {"f6"}
    assert not first & second
    assert first
    assert second
    assert group <= first or group <= second
