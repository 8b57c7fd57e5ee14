"""Many threads read whole versions only, while others are published, rolled back and damaged."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from longtail.artifacts import write_json
from longtail.config import Config
from longtail.embeddings.publish import publish, publish_query_features, rollback
from longtail.errors import LongtailError
from longtail.serving import EmbeddingClient, Neighbours, QueryEncoder, Recommender
from longtail.serving import served_version as following_module
from longtail.serving.served_version import Following, Shared
from tests.publications import DAYS, Published


@dataclass
class Part:
    version: str


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(feature_repo=tmp_path, home=tmp_path)


def point(config: Config, version: str, published_at: str = "2024-01-11T00:00:00") -> None:
    served = {"version": version, "as_of": "2024-01-10", "published_at": published_at}
    served |= {"num_items": 1, "slot": "b", "previous": None, "slots": {}, "leaving": None}
    write_json(config.home / "published.json", served)


def test_a_version_is_loaded_once_and_replaced_when_the_pointer_is(config: Config) -> None:
    loaded = []

    def load(config: Config, version: str) -> Part:
        loaded.append(version)
        return Part(version)

    following = Following(config, load)
    with pytest.raises(LongtailError, match="nothing is published yet"):
        following.current()
    for version in ("v1", "v2", "v1"):
        point(config, version)
        assert {following.current().version for _ in range(5)} == {version}
    assert loaded == ["v1", "v2", "v1"]
    point(config, "v1", "2024-05-01T00:00:00")  # the same name, published again
    following.current()
    assert loaded == ["v1", "v2", "v1", "v1"]


def test_others_go_on_with_the_old_version_while_one_loads(config: Config) -> None:
    loading, may_end = threading.Event(), threading.Event()

    def load(config: Config, version: str) -> Part:
        if version == "v2":
            loading.set()
            assert may_end.wait(10)
        return Part(version)

    following = Following(config, load)
    point(config, "v1")
    old = following.current()
    point(config, "v2")
    with collected(lambda: following.current().version) as first:
        assert loading.wait(10)
        assert following.current() is old
        # A caller with a vector of the new version waits for that version.
        with collected(lambda: following.current("v2").version) as second:
            time.sleep(0.05)
            assert second == []
            may_end.set()
    assert (first, second) == (["v2"], ["v2"])


@contextmanager
def collected(call: Callable[[], str]) -> Iterator[list[str]]:
    """Yield a list that gets the result of a call in another thread, by the end of the block."""
    results: list[str] = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    yield results
    thread.join(10)


def test_a_failure_is_told_to_everybody_and_not_tried_at_each_call(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, tries = True, []

    def load(config: Config, version: str) -> Part:
        tries.append(version)
        if broken and version == "v2":
            raise LongtailError("v2 is damaged")
        return Part(version)

    following = Following(config, load)
    point(config, "v1")
    following.current()
    point(config, "v2")
    monkeypatch.setattr(following_module, "RETRY_SECONDS", 1000.0)
    for _ in range(3):
        with pytest.raises(LongtailError, match="v2 is damaged"):
            following.current()
    assert tries == ["v1", "v2"]
    point(config, "v1", "2024-01-12T00:00:00")  # a rollback works at once
    assert following.current().version == "v1"
    monkeypatch.setattr(following_module, "RETRY_SECONDS", 0.0)
    point(config, "v2")
    with pytest.raises(LongtailError, match="v2 is damaged"):
        following.current()
    broken = False  # repaired in place
    assert following.current().version == "v2"


def test_a_version_that_goes_while_it_is_loaded_is_not_missed(config: Config) -> None:
    def load(config: Config, version: str) -> Part:
        if version == "v1":
            point(config, "v2")
            raise LongtailError("removed")
        return Part(version)

    point(config, "v1")
    assert Following(config, load).current().version == "v2"


def test_a_part_is_shared_as_long_as_somebody_holds_it(config: Config) -> None:
    shared = Shared(lambda config, version: Part(version))
    manifest = config.home / "versions" / "v1" / "manifest.json"
    write_json(manifest, {})
    first = shared(config, "v1")
    assert shared(config, "v1") is first
    write_json(manifest, {"made": "again"})
    assert shared(config, "v1") is not first


# Feast warns if a lookup begins before the flip and reads after it; the client reads again.
@pytest.mark.filterwarnings("ignore:The FeatureService object that has been passed:UserWarning")
def test_threads_never_see_two_versions_in_one_answer(project: Published) -> None:
    """While versions flip, every score is that of the version that the answer names."""
    config, days = project.config, DAYS[:3]
    publish(config, days[0])
    publish_query_features(config, days[0])
    vectors = {project.versions[day]: project.vectors(day) for day in days}
    client, neighbours = EmbeddingClient(config), Neighbours(config)
    recommender, encoder = Recommender(config), QueryEncoder(config)
    # The first vector of a query by a version is what every later one is compared with.
    expected_query: dict[str, np.ndarray] = {}
    seen: set[str] = set()
    problems: list[object] = []
    stop = threading.Event()

    def check_lookup() -> None:
        answer = client.lookup(["item-003", "item-010", "none"])
        assert answer["missing"] == ["none"]
        for item in ("item-003", "item-010"):
            own = vectors[answer["version"]][item]
            np.testing.assert_array_equal(np.float32(answer["embeddings"][item]), own)
        seen.add(answer["version"])

    def check_neighbours() -> None:
        answer = neighbours.of_items(["item-003", "item-010"], 3)
        own = vectors[answer["version"]]
        for item, results in answer["results"].items():
            assert len(results) == 3
            for result in results:
                np.testing.assert_allclose(
                    result["score"], own[item] @ own[result["item"]], atol=1e-5
                )

    def check_recommendations() -> None:
        row = {"query_id": "item-004", "section": "section-1"}
        encoded = encoder.encode(row)
        first = expected_query.setdefault(encoded.version, encoded.vectors[0])
        np.testing.assert_array_equal(encoded.vectors[0], first)
        answer = recommender.recommend_to(row, 4)
        if answer["version"] in expected_query:
            query, own = expected_query[answer["version"]], vectors[answer["version"]]
            for result in answer["results"][0]:
                np.testing.assert_allclose(result["score"], query @ own[result["item"]], atol=1e-5)
        assert recommender.recommend("item-005", 2)["version"] in vectors

    def loop(check: Callable[[], None]) -> None:
        while not stop.is_set():
            try:
                check()
            except Exception as error:
                problems.append(repr(error))
                return

    checks = [check_lookup, check_neighbours, check_recommendations] * 2
    threads = [threading.Thread(target=loop, args=(check,)) for check in checks]
    for thread in threads:
        thread.start()
    try:
        for act in (
            lambda: publish(config, days[1]),
            lambda: rollback(config),
            lambda: publish(config, days[2]),
        ):
            time.sleep(0.3)
            act()
        time.sleep(0.5)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert problems == []
    assert seen == set(vectors)
    assert check_lookup() is None
