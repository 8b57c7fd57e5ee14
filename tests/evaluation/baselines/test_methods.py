"""Each method against loops over single queries and items, that share no code with it."""

from dataclasses import replace

import numpy as np
import pytest

from longtail.config import HistoryConfig
from longtail.dataset.training_set import TrainingSet
from longtail.evaluation.baselines import ease
from longtail.evaluation.baselines.ease import EASE
from longtail.evaluation.baselines.feature_cosine import (
    TfidfCosine,
    TfidfProfile,
    shared_groups,
)
from longtail.evaluation.baselines.item_knn import ItemKNN
from longtail.evaluation.baselines.query_knn import QueryKNN
from longtail.features.history_feature import with_history
from tests.evaluation.baselines.plain import (
    Plain,
    dot,
    prepared,
    scores_of,
    small_training_set,
    tf_idf,
    unit,
)


@pytest.fixture(scope="module")
def training_set(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    return small_training_set(tmp_path_factory.mktemp("home"))


def test_no_method_takes_a_history_for_a_feature(training_set: TrainingSet) -> None:
    """A history is the training links over again, and its items are not shown."""
    schema = with_history(training_set.schema, HistoryConfig(length=5))
    plain = shared_groups(training_set.schema)
    assert shared_groups(schema) == ([*plain[0], None], plain[1])
    with_items = replace(training_set, schema=schema).with_histories(5)
    for method in (QueryKNN, TfidfCosine):
        found = []
        for data in (training_set, with_items):
            known, held_out, _ = prepared(data)
            settings = {name: values[0] for name, values in method(known).axes().items()}
            found.append(scores_of(method(known), settings, held_out))
        assert np.array_equal(found[0], found[1])


def similar_items(
    plain: Plain, popularity: float, k: int, by_tf_idf: bool
) -> list[dict[int, float]]:
    """Return for each item its k most similar others."""
    linked_by = plain.linked_by
    weight = dict.fromkeys(range(len(plain.links)), 1.0)
    if by_tf_idf:
        weight |= dict.fromkeys(weight, 0.0) | tf_idf(linked_by)  # type: ignore[arg-type]

    def shared(one: int, other: int) -> float:
        return sum(weight[query] ** 2 for query in linked_by[one] & linked_by[other])

    found = []
    for one in range(plain.num_items):
        similar = {
            other: shared(one, other)
            / (shared(one, one) ** (1 - popularity) * shared(other, other) ** popularity)
            for other in range(plain.num_items)
            if other != one and shared(one, other) > 0
        }
        best = sorted(similar, key=lambda other: (-similar[other], other))[:k]
        found.append({other: similar[other] for other in best})
    return found


@pytest.mark.parametrize("weights", ["links", "tf-idf"])
@pytest.mark.parametrize(("popularity", "k"), [(0.5, 100), (0.2, 100), (0.0, 7), (0.3, 7)])
def test_item_knn(training_set: TrainingSet, weights: str, popularity: float, k: int) -> None:
    known, held_out, plain = prepared(training_set)
    settings = {"popularity": popularity, "weights": weights, "k": k}
    found = scores_of(ItemKNN(known), settings, held_out)
    similar = similar_items(plain, popularity, k, weights == "tf-idf")
    for row, query in enumerate(held_out.query):
        expected = [0.0] * plain.num_items
        for item in plain.links[query]:
            for other, value in similar[item].items():
                expected[other] += value
        if k > plain.num_items:
            assert found[row] == pytest.approx(expected, abs=1e-5)
        else:  # among nearly equal similarities, the k-th may be another
            assert sum(found[row]) == pytest.approx(sum(expected), rel=1e-4)


@pytest.mark.parametrize("feature_share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(("max_share", "k", "power"), [(1.0, 100, 1), (0.25, 100, 2), (1.0, 1, 2)])
def test_query_knn(
    training_set: TrainingSet, feature_share: float, max_share: float, k: int, power: int
) -> None:
    known, held_out, plain = prepared(training_set)
    settings = {"feature_share": feature_share, "max_share": max_share, "k": k, "power": power}
    found = scores_of(QueryKNN(known), settings, held_out)
    of_features = tf_idf(plain.query_features, max_share)
    of_links = tf_idf(plain.links, max_share)
    features = [unit(each, of_features) for each in plain.query_features]
    links = [unit(each, of_links) for each in plain.links]
    for row, query in enumerate(held_out.query):
        similarity = {
            other: feature_share * dot(features[query], features[other])
            + (1 - feature_share) * dot(links[query], links[other])
            for other in range(len(plain.links))
            if other != query and plain.links[other]
        }
        expected = [0.0] * plain.num_items
        nearest = sorted(similarity, key=lambda other: (-similarity[other], other))[:k]
        for other in nearest:
            for item in plain.links[other]:
                expected[item] += similarity[other] ** power
        if k > 1:
            assert found[row] == pytest.approx(expected, abs=1e-5)
        elif similarity[nearest[0]] > 0:
            assert max(found[row]) == pytest.approx(max(expected), abs=1e-5)
    # Voters are known by their links: without them, a query has no vote.
    assert {0.0} != set(found.ravel())


def test_ease_is_a_ridge_regression_of_each_item_on_the_others(training_set: TrainingSet) -> None:
    known, held_out, plain = prepared(training_set)
    matrix = np.zeros((len(plain.links), plain.num_items))
    for query, items in enumerate(plain.links):
        matrix[query, list(items)] = 1.0
    regularization = 3.0
    weights = np.zeros((plain.num_items, plain.num_items))
    for item in range(plain.num_items):
        others = np.delete(np.arange(plain.num_items), item)
        x = matrix[:, others]
        penalty = regularization * np.eye(len(others))
        weights[others, item] = np.linalg.solve(x.T @ x + penalty, x.T @ matrix[:, item])
    found = scores_of(EASE(known), {"regularization": regularization}, held_out)
    assert found == pytest.approx(matrix[held_out.query] @ weights, abs=1e-4)


def test_ease_on_the_most_interacted_items_alone(
    training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, held_out, plain = prepared(training_set)
    monkeypatch.setattr(ease, "MAX_ITEMS", 11)
    method = EASE(known)
    count = [len(queries) for queries in plain.linked_by]
    most = sorted(range(plain.num_items), key=lambda item: (-count[item], item))[:11]
    found = scores_of(method, {"regularization": 3.0}, held_out)
    assert set(np.flatnonzero(found.any(axis=0))) <= set(most)
    matrix = np.array([[float(item in items) for item in most] for items in plain.links])
    inverse = np.linalg.inv(matrix.T @ matrix + 3.0 * np.eye(11))
    weights = np.eye(11) - inverse / np.diag(inverse)  # I - P diag(1 / diag P)
    assert found[:, most] == pytest.approx(matrix[held_out.query] @ weights, abs=1e-4)
    (note,) = method.notes()
    assert note.startswith(f"on the 11 most interacted of {sum(c > 0 for c in count)} trained")
    monkeypatch.setattr(ease, "MAX_ITEMS", 1_000)
    assert method.notes() == []


@pytest.mark.parametrize("max_share", [1.0, 0.3])
def test_tfidf_cosine(training_set: TrainingSet, max_share: float) -> None:
    """Of the features, only `section` is on both sides."""
    known, held_out, plain = prepared(training_set)
    found = scores_of(TfidfCosine(known), {"max_share": max_share}, held_out)
    items = [{each for each in item if each[0] == "section"} for item in plain.item_features]
    weights = tf_idf(items, max_share)
    for row, query in enumerate(held_out.query):
        asked = unit(plain.query_features[query], weights)
        assert found[row] == pytest.approx([dot(asked, unit(i, weights)) for i in items], abs=1e-5)
    assert found.max() > 0 or max_share < 1


@pytest.mark.parametrize("max_share", [1.0, 0.2])
def test_tfidf_profile(training_set: TrainingSet, max_share: float) -> None:
    known, held_out, plain = prepared(training_set)
    found = scores_of(TfidfProfile(known), {"max_share": max_share}, held_out)
    weights = tf_idf(plain.item_features, max_share)
    vectors = [unit(item, weights) for item in plain.item_features]
    for row, query in enumerate(held_out.query):
        own = [vectors[item] for item in plain.links[query]]
        profile = {
            term: sum(vector.get(term, 0.0) for vector in own) / len(own)
            for term in set().union(*own)
        }
        cosines = np.array([dot(profile, vector) for vector in vectors])
        # The scores of a query may have any positive scale.
        if cosines.max(initial=0.0) > 0:
            assert found[row] / found[row].max() == pytest.approx(cosines / cosines.max(), abs=1e-5)
        else:
            assert not found[row].any()
