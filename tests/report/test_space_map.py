"""The map: its plane, and the feature that colours it."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from longtail.errors import InputError
from longtail.report.space_map import agreement, choose_colouring, grouped, project
from tests.report.drawn_versions import NUM_TOPICS, SCHEMA, topic_vectors


def test_codes_follow_frequency() -> None:
    codes, values = grouped(pa.chunked_array([pa.array(["b", "a", None, "c", "a", "b", "a"])]))
    assert values == ["a", "b", "c"]
    assert codes.tolist() == [1, 0, -1, 2, 0, 1, 0]


def test_agreement_is_the_excess_over_chance() -> None:
    codes = np.array([0, 0, 0, 1, 1, -1])
    neighbours = np.array([[1, 3], [0, 5], [4, -1]])
    rows = np.array([0, 1, 2])
    # Pairs where both have a value: 0-1 yes, 0-3 no, 1-0 yes, 2-4 no. Chance: .6^2 + .4^2.
    assert agreement(codes, neighbours, rows) == pytest.approx((0.5 - 0.52) / (1 - 0.52))
    assert agreement(np.zeros(6, np.int64), neighbours, rows) is None
    assert agreement(np.full(6, -1), neighbours, rows) is None


def catalogue() -> tuple[pa.Table, np.ndarray]:
    """40 items whose neighbours share the topic; each has another colour than its neighbours."""
    topics = [f"topic {row // 10}" for row in range(40)]
    table = pa.table(
        {
            "sku": [str(row) for row in range(40)],
            "topic": topics,
            "colour": ["red" if row % 2 else "blue" for row in range(40)],
            "words": pa.array([["w"]] * 40),
        }
    )
    rows = np.arange(40)
    neighbours = np.stack([rows // 10 * 10 + (rows + 1) % 10, rows // 10 * 10 + (rows + 3) % 10], 1)
    return table, neighbours


def test_the_colour_is_what_neighbours_share() -> None:
    table, neighbours = catalogue()
    found = choose_colouring(table, SCHEMA.item, neighbours, np.arange(40), None)
    assert found is not None
    assert (found.feature, found.agreement) == ("topic", pytest.approx(1.0))
    assert found.groups == ["topic 0", "topic 1", "topic 2", "topic 3"]
    assert found.group.tolist() == [row // 10 for row in range(40)]


def test_a_feature_of_many_rare_values_does_not_colour() -> None:
    table, neighbours = catalogue()
    rare = table.set_column(1, "topic", pa.array([f"topic {row // 2}" for row in range(40)]))
    pairs = (np.arange(40) ^ 1)[:, None]  # its neighbour is the only other item of the value
    found = choose_colouring(rare, SCHEMA.item, np.repeat(pairs, 2, 1), np.arange(40), None)
    # Twelve values cover 24 of 40 items, more than half; of ten times as many they would not.
    assert found is not None
    assert found.feature == "topic"
    rarer = rare.set_column(1, "topic", pa.array([f"topic {row}" for row in range(40)]))
    found = choose_colouring(rarer, SCHEMA.item, neighbours, np.arange(40), None)
    assert found is not None
    assert found.feature == "colour"


def test_the_configured_feature_wins() -> None:
    table, neighbours = catalogue()
    found = choose_colouring(table, SCHEMA.item, neighbours, np.arange(40), "colour")
    assert found is not None
    assert found.feature == "colour"
    assert found.agreement == pytest.approx((0.0 - 0.5) / 0.5)
    for name in ("words", "sku", "size"):
        with pytest.raises(InputError, match=f"report.color_by: '{name}' is no single-valued"):
            choose_colouring(table, SCHEMA.item, neighbours, np.arange(40), name)


def test_the_plane_keeps_neighbours_and_is_the_same_again() -> None:
    topic = np.arange(200) % NUM_TOPICS
    vectors = topic_vectors(topic, np.random.default_rng(3))
    rows = np.arange(200)
    plane = project(vectors, rows)
    assert plane["method"] == "t-SNE"
    assert plane["points"].shape == (200, 2)
    assert plane["points"].min(axis=0).tolist() == [0.0, 0.0]
    assert plane["points"].max(axis=0).tolist() == [1.0, 1.0]
    assert trustworthiness(vectors, plane["points"], n_neighbors=5) > 0.9
    assert np.array_equal(project(vectors, rows)["points"], plane["points"])


def test_few_items_are_shown_by_their_principal_components() -> None:
    vectors = topic_vectors(np.arange(50) % NUM_TOPICS, np.random.default_rng(4))
    plane = project(vectors, np.arange(30))
    assert plane["method"] == "the first two principal components"
    scores = PCA(2).fit_transform(vectors[:30].astype(np.float64))
    for axis in range(2):
        correlation = np.corrcoef(plane["points"][:, axis], scores[:, axis])[0, 1]
        assert abs(correlation) == pytest.approx(1.0)
    assert project(vectors, np.arange(1))["points"].shape == (1, 2)
