"""Query features that leave the definitions while a version that reads them is served."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from longtail.artifacts import read_json, write_json
from longtail.embeddings.publish import publish, publish_query_features
from longtail.errors import LongtailError
from longtail.features.feast.catalogue import build_catalogue
from longtail.features.feast.repository import FeatureRepository
from longtail.serving import Recommender
from tests.publications import DAYS, Published
from tests.serving.test_recommend import assert_ranked, expected_scores

FIRST, SECOND, *_ = DAYS
QUERY = "item-005"


@pytest.fixture
def own(project: Published, tmp_path: Path) -> Published:
    """Return the project with definitions of its own, and its first day served."""
    repository = tmp_path / "feature_repo"
    shutil.copytree(project.config.feature_repo, repository)
    config = project.config.model_copy(update={"feature_repo": repository})
    publish(config, FIRST)
    publish_query_features(config, FIRST)
    return Published(config, project.versions)


def edit(published: Published, file: str, old: str, new: str) -> None:
    """Change a definition, and apply it: that is what a refresh does first of all."""
    path = published.config.feature_repo / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    FeatureRepository(published.config).apply()


def drop_section(published: Published) -> None:
    without = '*(f for f in package_features if f.name != "section")'
    edit(published, "queries.py", "*package_features", without)


@pytest.mark.parametrize("recorded", [True, False])
def test_a_dropped_feature_is_read_until_the_version_is_replaced(
    recorded: bool, own: Published
) -> None:
    record = own.config.home / "online_queries.json"
    if not recorded:  # as an earlier release wrote it
        write_json(record, {k: v for k, v in read_json(record).items() if k != "views"})
    before = Recommender(own.config).recommend(QUERY, 10)
    drop_section(own)
    after = Recommender(own.config).recommend(QUERY, 10)
    assert after == before
    scores = expected_scores(own, FIRST, FIRST, QUERY)
    del scores[QUERY]
    assert_ranked(after, scores, 10)


def test_the_features_that_stay_are_published_again_beside_it(own: Published) -> None:
    drop_section(own)
    build_catalogue(own.config, SECOND)
    assert publish_query_features(own.config, SECOND)["published"]
    # The query that changed on the second day has its new features, and its old section.
    answer = Recommender(own.config).recommend_many([QUERY, "item-002"], 10)
    scores = expected_scores(own, FIRST, FIRST, QUERY)
    del scores[QUERY]
    assert_ranked({"results": answer["results"][QUERY]}, scores, 10)
    changed = expected_scores(own, FIRST, FIRST, "item-002")
    found = {each["item"]: each["score"] for each in answer["results"]["item-002"]}
    assert max(abs(score - changed[item]) for item, score in found.items()) > 0.01
    assert read_json(own.config.home / "online_queries.json")["views"]["section"] == "queries"


def test_a_view_that_is_gone_is_read_until_another_holds_the_rows(own: Published) -> None:
    before = Recommender(own.config).recommend(QUERY, 10)
    edit(own, "queries.py", 'name="queries"', 'name="visitors"')
    assert Recommender(own.config).recommend(QUERY, 10) == before
    with pytest.raises(LongtailError, match="query 'nobody' has no online features"):
        Recommender(own.config).recommend("nobody", 10)
    build_catalogue(own.config, FIRST)
    write_json(
        own.config.home / "online_queries.json",
        {**read_json(own.config.home / "online_queries.json"), "complete": False},
    )
    assert publish_query_features(own.config, FIRST)["published"]
    views = read_json(own.config.home / "online_queries.json")["views"]
    assert set(views.values()) == {"visitors"}
    after = Recommender(own.config).recommend(QUERY, 10)
    assert [each["item"] for each in after["results"]] == [
        each["item"] for each in before["results"]
    ]
    np.testing.assert_allclose(
        [each["score"] for each in after["results"]],
        [each["score"] for each in before["results"]],
    )
    # Nobody reads the old view any more.
    FeatureRepository(own.config).apply()
    names = {view.name for view in FeatureRepository(own.config).store.list_feature_views()}
    assert "queries" not in names
