"""Neighbours against a brute-force ranking of the version's Parquet."""

import hashlib
from datetime import date

import numpy as np
import numpy.typing as npt
import pytest

from longtail.artifacts import VersionPaths, read_json, write_json
from longtail.embeddings.publish import publish
from longtail.errors import InputError, LongtailError
from longtail.serving.catalogue_index import load_index
from longtail.serving.neighbours import Neighbours
from tests.publications import DAYS, NEW, REMOVED, Published

FIRST, SECOND, *_ = DAYS


def ranking(
    project: Published, day: date, vector: npt.NDArray[np.float32]
) -> list[tuple[str, float]]:
    """All items by their inner product with a vector, best first."""
    scores = {
        item: float(vector.astype(np.float64) @ other.astype(np.float64))
        for item, other in project.vectors(day).items()
    }
    return sorted(scores.items(), key=lambda pair: -pair[1])


def test_neighbours_are_the_nearest_others_of_the_served_version(project: Published) -> None:
    neighbours = Neighbours(project.config)
    with pytest.raises(LongtailError, match="nothing is published yet"):
        neighbours.of_item("item-000")
    for day, item in ((FIRST, REMOVED), (SECOND, NEW)):
        publish(project.config, day)
        answer = neighbours.of_item(item, 5)
        expected = [
            pair for pair in ranking(project, day, project.vectors(day)[item]) if pair[0] != item
        ]
        assert (answer["version"], answer["query"]) == (project.versions[day], item)
        assert [r["item"] for r in answer["results"]] == [name for name, _ in expected[:5]]
        np.testing.assert_allclose(
            [r["score"] for r in answer["results"]], [score for _, score in expected[:5]], atol=1e-6
        )
    with pytest.raises(LongtailError, match=f"'{REMOVED}' is not in the served version"):
        neighbours.of_item(REMOVED)


def test_more_neighbours_than_items(project: Published) -> None:
    publish(project.config, FIRST)
    neighbours = Neighbours(project.config)
    everything = neighbours.of_item("item-000", 1000)["results"]
    assert len(everything) == 59
    scores = [result["score"] for result in everything]
    assert scores == sorted(scores, reverse=True)
    with pytest.raises(InputError, match="ask for at least one"):
        neighbours.of_item("item-000", 0)


def test_excluded_items_make_room_for_others(project: Published) -> None:
    index = load_index(project.config, project.versions[FIRST])
    vector = project.vectors(FIRST)["item-010"]
    best = [name for name, _ in ranking(project, FIRST, vector)]
    found = index.search(vector[None], 4, exclude=[best[0], best[2], "no-such-item"])[0]
    assert [result["item"] for result in found] == [best[1], *best[3:6]]


def test_a_vector_of_another_version_is_not_compared(project: Published) -> None:
    publish(project.config, FIRST)
    neighbours = Neighbours(project.config)
    version, vector = project.versions[FIRST], project.vectors(FIRST)["item-010"]
    assert neighbours.of_vector(version, vector, 1)[0]["item"] == "item-010"
    with pytest.raises(LongtailError, match="the vector has 3 values"):
        neighbours.of_vector(version, vector[:3], 1)
    publish(project.config, SECOND)
    with pytest.raises(LongtailError, match="the two cannot be compared"):
        neighbours.of_vector(version, vector, 1)


def test_a_damaged_index_is_one_clear_error(project: Published) -> None:
    publish(project.config, FIRST)
    paths = VersionPaths(project.config, project.versions[FIRST])
    content = paths.index.read_bytes()
    paths.index.write_bytes(content[: len(content) // 2])
    with pytest.raises(LongtailError, match=r"items\.faiss is not the file that was committed"):
        Neighbours(project.config).of_item("item-000")
    # Even one that its manifest vouches for.
    manifest = read_json(paths.manifest)
    manifest["files"]["items.faiss"] = hashlib.sha256(paths.index.read_bytes()).hexdigest()
    write_json(paths.manifest, manifest)
    with pytest.raises(LongtailError, match=r"items\.faiss cannot be read"):
        Neighbours(project.config).of_item("item-000")
