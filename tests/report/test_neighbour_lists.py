"""Neighbours, and what stayed of them, against a comparison of every pair in plain Python."""

import itertools

import numpy as np
import pytest

from longtail.report.neighbour_lists import before_and_after, measure_stability, neighbours_of
from longtail.report.sources import VersionSources
from tests.report.drawn_versions import Drawn


@pytest.fixture
def both(drawn: Drawn) -> tuple[VersionSources, VersionSources]:
    return VersionSources(drawn.config, drawn.second), VersionSources(drawn.config, drawn.first)


def nearest(sources: VersionSources) -> dict[str, list[tuple[str, float]]]:
    """The ten nearest of every item by brute force, in float64."""
    assert sources.embeddings is not None
    items = sources.embeddings[0].to_pylist()
    vectors = sources.embeddings[1].astype(np.float64)
    scores = vectors @ vectors.T
    return {
        item: sorted(
            ((items[o], float(scores[row, o])) for o in range(len(items)) if o != row),
            key=lambda pair: -pair[1],
        )[:10]
        for row, item in enumerate(items)
    }


def test_every_item_has_its_ten_nearest(
    drawn: Drawn, both: tuple[VersionSources, VersionSources]
) -> None:
    now = both[0]
    assert now.embeddings is not None
    items = now.embeddings[0].to_pylist()
    lists = neighbours_of(drawn.config, now, np.arange(len(items)))
    expected = nearest(now)
    for row, item in enumerate(items):
        assert [items[other] for other in lists.rows[row]] == [o for o, _ in expected[item]]
        assert lists.scores[row] == pytest.approx([s for _, s in expected[item]], abs=1e-5)


def test_what_stayed(drawn: Drawn, both: tuple[VersionSources, VersionSources]) -> None:
    new, old = nearest(both[0]), nearest(both[1])
    common = new.keys() & old.keys()
    found = measure_stability(drawn.config, *both)
    assert (found.num_common, found.num_sampled) == (235, 235) == (len(common), len(common))
    kept = [len({o for o, _ in new[item]} & {o for o, _ in old[item]}) / 10 for item in common]
    assert found.kept == pytest.approx(sum(kept) / len(kept))
    vectors = [
        dict(zip(one.embeddings[0].to_pylist(), one.embeddings[1], strict=True))
        for one in both if one.embeddings
    ]  # fmt: skip
    cosines = [float(np.dot(vectors[0][item], vectors[1][item])) for item in common]
    assert found.cosine == pytest.approx(sum(cosines) / len(cosines), abs=1e-5)


def test_the_same_version_keeps_everything(
    drawn: Drawn, both: tuple[VersionSources, VersionSources]
) -> None:
    found = measure_stability(drawn.config, both[0], both[0])
    assert (found.kept, found.cosine) == (1.0, pytest.approx(1.0, abs=1e-6))


def test_ten_items_from_the_most_popular_to_the_rarest(
    drawn: Drawn, both: tuple[VersionSources, VersionSources]
) -> None:
    shown = before_and_after(drawn.config, *both)
    new, old = nearest(both[0]), nearest(both[1])
    counts = dict.fromkeys(new, 0)
    assert both[0].pairs is not None
    for item in both[0].pairs["item_id"].to_pylist():
        counts[item] += 1
    common = sorted((counts[item] for item in new.keys() & old.keys()), reverse=True)
    found = [one["interactions"] for one in shown]
    assert len(shown) == 10
    assert found[:4] == common[:4]
    assert all(a >= b for a, b in itertools.pairwise(found))
    assert found[-1] == common[-1] == 0
    for one in shown:
        assert one["interactions"] == counts[one["item"]]
        for lists, other, key in ((new, old, "after"), (old, new, "before")):
            assert [each["item"] for each in one[key]] == [o for o, _ in lists[one["item"]]]
            there = {o for o, _ in other[one["item"]]}
            assert [each["kept"] for each in one[key]] == [
                each["item"] in there for each in one[key]
            ]
