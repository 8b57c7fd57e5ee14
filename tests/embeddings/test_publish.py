"""Publication into real Feast stores (SQLite), one version after another, and rollback."""

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from longtail.artifacts import VersionPaths, published_pointer, read_json
from longtail.embeddings.fill_slot import choose_slot
from longtail.embeddings.publish import publish, publish_query_features, rollback, status
from longtail.embeddings.published_pointer import Slot, publication_lock, read_pointer
from longtail.embeddings.refresh.withdrawn import approve
from longtail.embeddings.step_names import Step
from longtail.embeddings.versions import list_versions
from longtail.errors import InputError, LongtailError
from longtail.features.feast.definitions import open_store
from longtail.features.feast.embedding_slots import OnlineStore
from longtail.features.feast.repository import FeatureRepository
from tests.publications import CACHE_TTL, DAYS, NEW, REMOVED, Published

FIRST, SECOND, THIRD, FOURTH = DAYS


def read_by_feast(project: Published, items: Iterable[str]) -> dict[str, list[float] | None]:
    """Return what a consumer gets who uses Feast and nothing of longtail."""
    store = open_store(project.config)
    answer = store.get_online_features(
        features=store.get_feature_service("item_embeddings"),
        entity_rows=[{"item_id": item} for item in items],
    ).to_dict()
    return dict(zip(answer["item_id"], answer["embedding"], strict=True))


def assert_served(project: Published, day: date) -> None:
    """Check that every vector of the day's Parquet is served, bit by bit, and no other item."""
    expected = project.vectors(day)
    served = read_by_feast(project, [*expected, REMOVED, NEW])
    for item, vector in expected.items():
        np.testing.assert_array_equal(np.array(served.pop(item), np.float32), vector)
    assert set(served.values()) <= {None}
    assert status(project.config)["version"] == project.versions[day]


def test_each_publication_replaces_the_one_before(
    project: Published, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "longtail")
    assert status(project.config) == {"version": None}
    assert set(read_by_feast(project, ["item-000"]).values()) == {None}

    # Each publication takes the next free slot, and none has to wait for one.
    first = publish(project.config, FIRST)
    assert first["published"]
    assert_served(project, FIRST)
    assert REMOVED in project.vectors(FIRST)
    second = publish(project.config, SECOND)
    assert_served(project, SECOND)
    assert REMOVED not in project.vectors(SECOND)
    assert NEW in project.vectors(SECOND)
    assert "waiting" not in caplog.text
    third = publish(project.config, THIRD)
    assert_served(project, THIRD)
    assert [first["slot"], second["slot"], third["slot"]] == ["b", "c", "a"]
    assert third == {
        "published": True,
        "version": project.versions[THIRD],
        "as_of": "2024-03-10",
        "published_at": third["published_at"],
        "num_items": 60,
        "slot": "a",
        "newest_row": "2024-02-10T00:00:00+00:00",
        "previous": project.versions[SECOND],
    }
    assert status(project.config) == {k: v for k, v in third.items() if k != "published"}


def test_a_publication_says_its_steps_in_order(
    project: Published, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "longtail.embeddings.step_names")

    def said(act: Callable[[], object]) -> list[Step]:
        caplog.clear()
        act()
        return [record.step for record in caplog.records if hasattr(record, "step")]

    # Every step is entered, even those that have nothing to do.
    assert said(lambda: publish(project.config, FIRST)) == list(Step)
    assert said(lambda: publish(project.config, SECOND)) == list(Step)
    flip = [Step.RESTORE_SLOTS, Step.VALIDATE, Step.COMMIT, Step.POINT_SERVICE, Step.RECORD_LEFT]
    assert said(lambda: rollback(project.config)) == flip
    assert said(lambda: publish(project.config, FIRST)) == [Step.RESTORE_SLOTS]


def test_a_slot_is_not_reused_while_consumers_may_read_it(
    project: Published, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "longtail")
    publish(project.config, FIRST)
    publish(project.config, SECOND)
    online, pointer = OnlineStore(project.config), read_pointer(project.config)
    assert online.cache_ttl == timedelta(seconds=CACHE_TTL)
    assert pointer is not None
    left = datetime.now(UTC)
    chosen = choose_slot(online, pointer.with_slot("a", Slot(served_until=left.isoformat())))
    assert chosen == "a"
    assert datetime.now(UTC) - left >= online.cache_ttl
    assert "slot a was served a moment ago: waiting" in caplog.text
    caplog.clear()
    long_ago = (left - timedelta(hours=1)).isoformat()
    assert choose_slot(online, pointer.with_slot("a", Slot(served_until=long_ago))) == "a"
    # A clock that was set back must not block publications for longer than the cache lives.
    future = Slot(served_until=(left + timedelta(days=1)).isoformat())
    assert future.free_in(online.cache_ttl, left) == online.cache_ttl
    assert "waiting" not in caplog.text


def test_an_older_day_and_the_same_version_change_nothing(project: Published) -> None:
    publish(project.config, SECOND)
    pointer = published_pointer(project.config).read_bytes()
    older = publish(project.config, FIRST)
    assert (older["published"], older["version"]) == (False, project.versions[SECOND])
    assert older["reason"] == "2024-02-10 is served, which is newer than 2024-01-10"
    again = publish(project.config, SECOND)
    assert not again["published"]
    assert again["reason"] == f"version {project.versions[SECOND]} is served already"
    assert published_pointer(project.config).read_bytes() == pointer


def test_rollback_goes_back_and_forth(project: Published, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "longtail")
    for day in (FIRST, SECOND):
        publish(project.config, day)
    caplog.clear()
    back = rollback(project.config)
    assert (back["published"], back["as_of"], back["slot"]) == (True, "2024-01-10", "b")
    assert_served(project, FIRST)
    assert "wrote" not in caplog.text
    assert rollback(project.config, project.versions[SECOND])["published"]
    assert_served(project, SECOND)
    states = {entry["version"]: entry["state"] for entry in list_versions(project.config)}
    assert [states[project.versions[day]] for day in DAYS] == ["previous", "served", "kept", "kept"]

    # A version that no slot holds is written again. Then the schedule goes on from there.
    publish(project.config, FOURTH)
    assert rollback(project.config, project.versions[FIRST])["previous"] == project.versions[FOURTH]
    assert_served(project, FIRST)
    assert "slot b: wrote 60 of 60 rows" not in caplog.text  # it was still there
    assert rollback(project.config, project.versions[THIRD])["as_of"] == "2024-03-10"
    assert_served(project, THIRD)
    assert not rollback(project.config, project.versions[THIRD])["published"]
    # The fourth was rolled back, so a refresh of its day serves it only once it is approved.
    assert not publish(project.config, FOURTH)["published"]
    approve(project.config, project.versions[FOURTH])
    assert publish(project.config, FOURTH)["published"]
    assert_served(project, FOURTH)


def test_rollback_needs_somewhere_to_go(project: Published) -> None:
    with pytest.raises(LongtailError, match="nothing is published yet"):
        rollback(project.config)
    publish(project.config, FIRST)
    with pytest.raises(LongtailError, match=f"on disk: {project.versions[FOURTH]}"):
        rollback(project.config)
    with pytest.raises(InputError, match="there is no version '20240101-ffffffff'"):
        rollback(project.config, "20240101-ffffffff")
    assert_served(project, FIRST)


def test_applying_the_definitions_keeps_the_published_slot(project: Published) -> None:
    for day in (FIRST, SECOND):
        publish(project.config, day)
        FeatureRepository(project.config).apply()
        assert_served(project, day)


def test_a_service_that_was_turned_away_is_turned_back(project: Published) -> None:
    """This happens if `feast apply` reads the pointer just before a publication replaces it."""
    for day in (FIRST, SECOND):
        publish(project.config, day)
    OnlineStore(project.config).point_service("b")
    assert not publish(project.config, SECOND)["published"]
    assert_served(project, SECOND)
    pointer = read_pointer(project.config)
    assert pointer is not None
    assert pointer.leaving is None
    # Consumers may read the slot that the service named, so the next publication avoids it.
    assert pointer.slots["b"].served_until > pointer.served.published_at


def test_a_served_slot_that_lost_its_rows_is_written_again(project: Published) -> None:
    publish(project.config, FIRST)
    publish(project.config, SECOND)
    OnlineStore(project.config).empty_slot("c")
    assert publish(project.config, SECOND) | {"published_at": None} == {
        "published": True,
        "version": project.versions[SECOND],
        "as_of": "2024-02-10",
        "published_at": None,
        "num_items": 60,
        "slot": "a",
        "newest_row": "2024-02-10T00:00:00+00:00",
        "previous": project.versions[FIRST],
    }
    assert_served(project, SECOND)


def test_emptying_a_slot_leaves_everything_else(project: Published) -> None:
    """The rows of one slot are removed; the other slots and the queries' features stay."""
    publish(project.config, FIRST)
    publish_query_features(project.config, FIRST)
    online = OnlineStore(project.config)
    items = list(project.vectors(FIRST))
    online.slot("c").write(items, np.ones((len(items), 8), np.float32), version="x")
    before = online.slot("b").read(items)
    queries = read_queries(project)
    assert None not in queries["section"][2:]
    online.empty_slot("c")
    assert set(online.slot("c").read(items).vectors) == {None}
    assert online.slot("b").read(items) == before
    assert read_queries(project) == queries
    names = {view.name for view in open_store(project.config).list_feature_views()}
    assert names == {"items", "queries", *(f"item_embeddings_{slot}" for slot in "abc")}


def read_queries(project: Published) -> dict[str, list[object]]:
    store = open_store(project.config)
    answer: dict[str, list[object]] = store.get_online_features(
        features=store.get_feature_service("query_features"),
        entity_rows=[{"query_id": f"item-{number:03d}"} for number in range(60)],
    ).to_dict()
    return answer


def test_query_features_are_written_once_and_never_go_back(project: Published) -> None:
    assert publish_query_features(project.config, FIRST) == {
        "published": True,
        "as_of": "2024-01-10",
        "num_queries": 60,
    }
    first = read_queries(project)
    assert not publish_query_features(project.config, FIRST)["published"]
    assert publish_query_features(project.config, SECOND)["published"]
    second = read_queries(project)
    changed = [row for row in range(60) if first["words"][row] != second["words"][row]]
    assert changed == [2]  # this query has other features from the second day on
    older = publish_query_features(project.config, FIRST)
    assert older == {
        "published": False,
        "reason": "query features of 2024-02-10 are online, newer than 2024-01-10",
        "as_of": "2024-02-10",
        "num_queries": 60,
    }
    assert read_queries(project) == second


def test_only_one_publisher_at_a_time(project: Published) -> None:
    publish(project.config, FIRST)
    with publication_lock(project.config):
        for act in (lambda: publish(project.config, SECOND), lambda: rollback(project.config)):
            with pytest.raises(LongtailError, match=r"another publication is running \(process"):
                act()
    assert_served(project, FIRST)
    assert publish(project.config, SECOND)["published"]


def test_a_damaged_version_is_refused_and_nothing_changes(project: Published) -> None:
    publish(project.config, FIRST)
    pointer = published_pointer(project.config).read_bytes()
    file = VersionPaths(project.config, project.versions[SECOND]).embeddings
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(LongtailError, match="is not the file that was committed"):
        publish(project.config, SECOND)
    file.unlink()
    with pytest.raises(LongtailError, match="is missing"):
        publish(project.config, SECOND)
    VersionPaths(project.config, project.versions[SECOND]).manifest.unlink()
    with pytest.raises(LongtailError, match="is not committed"):
        publish(project.config, SECOND)
    assert published_pointer(project.config).read_bytes() == pointer
    assert_served(project, FIRST)


def test_no_approval_no_publication(project: Published) -> None:
    with pytest.raises(LongtailError, match="approved"):
        publish(project.config, date(2020, 1, 1))
    assert not published_pointer(project.config).exists()


def test_a_damaged_pointer_is_an_error(project: Published) -> None:
    publish(project.config, FIRST)
    file = published_pointer(project.config)
    assert read_json(file)["version"] == project.versions[FIRST]
    for content in ('{"version": "20240110-0"}', "[]", "{"):
        file.write_text(content)
        with pytest.raises(LongtailError, match="delete it and"):
            status(project.config)


def test_a_slot_that_was_dropped_and_not_made_anew_comes_back(project: Published) -> None:
    """A person who uses Feast alone can drop the view of a slot."""
    publish(project.config, FIRST)
    store = open_store(project.config)
    store.apply([], objects_to_delete=[store.get_feature_view("item_embeddings_c")], partial=False)
    assert_served(project, FIRST)
    assert publish(project.config, SECOND)["slot"] == "c"
    assert_served(project, SECOND)
