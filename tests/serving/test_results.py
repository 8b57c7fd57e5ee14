"""The declared types of results have the keys of what is returned, and `longtail.serving` has them.

mypy compares the code with these types; what is read from JSON it takes on trust.
"""

from collections.abc import Mapping
from typing import Any, Literal

import pytest

import longtail.serving
from longtail.embeddings import results as stages
from longtail.embeddings.publish import publish, publish_query_features, rollback, status
from longtail.embeddings.versions import list_versions, read_manifest
from longtail.serving import EmbeddingClient, Neighbours, QueryEncoder, Recommender, results
from tests.publications import DAYS, Published

FIRST, SECOND, *_ = DAYS


def assert_is(document: Mapping[str, Any], declared: Any) -> None:
    """Check that a document has every required key of a TypedDict, and no unknown one."""
    assert declared.__required_keys__ <= document.keys()
    assert document.keys() <= declared.__required_keys__ | declared.__optional_keys__


def test_what_the_stages_return_has_the_declared_keys(project: Published) -> None:
    config = project.config
    assert_is(status(config), stages.NothingServed)
    assert_is(publish(config, FIRST), stages.Published)
    assert_is(publish(config, FIRST), stages.NotPublished)
    assert_is(publish_query_features(config, FIRST), stages.QueryFeaturesPublished)
    assert_is(publish_query_features(config, FIRST), stages.QueryFeaturesNotPublished)
    publish(config, SECOND)
    assert_is(rollback(config), stages.Published)
    assert_is(status(config), stages.ServedStatus)
    manifest = read_manifest(config, project.versions[FIRST])
    assert_is(manifest, stages.Manifest)
    # Only a calibrated version has a weight of popularity.
    assert manifest.keys() == stages.Manifest.__annotations__.keys() - {"beta"}
    assert_is(manifest["index"] or {}, stages.IndexRecord)
    for entry in list_versions(config):
        assert_is(entry, stages.VersionEntry)
        assert entry["state"] in Literal["served", "previous", "kept"].__args__


def test_what_serving_returns_has_the_declared_keys(served: Published) -> None:
    config = served.config
    publish_query_features(config, FIRST)
    neighbours, recommender = Neighbours(config), Recommender(config)
    assert_is(EmbeddingClient(config).lookup(["item-000", "none"]), results.LookupResult)
    assert_is(neighbours.of_item("item-000", 2), results.RankedItems)
    assert_is(recommender.recommend("item-000", 2), results.RankedItems)
    assert_is(neighbours.of_items(["item-000"], 2), results.RankedItemsByKey)
    assert_is(recommender.recommend_many(["item-000"], 2), results.RankedItemsByKey)
    assert_is(recommender.recommend_to({}, 2), results.RankedItemsByRow)
    assert_is(recommender.similar_to({}, 2), results.RankedItemsByRow)
    encoded = QueryEncoder(config).encode({})
    assert isinstance(encoded, longtail.serving.EncodedVectors)
    for item in neighbours.of_vector(encoded.version, encoded.vectors[0], 2):
        assert_is(item, results.ScoredItem)


@pytest.mark.parametrize("name", longtail.serving.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(longtail.serving, name).__name__ == name


def test_no_other_name_is() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'NoSuchName'"):
        longtail.serving.NoSuchName  # noqa: B018
