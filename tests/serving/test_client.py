"""Lookups return one version, even if slots and service change meanwhile."""

import sqlite3
import threading
from contextlib import closing

import numpy as np
import pytest

from longtail.config import Config
from longtail.embeddings.publish import publish, rollback
from longtail.embeddings.published_pointer import publication_lock
from longtail.errors import InputError, LongtailError
from longtail.features.feast.embedding_slots import OnlineStore
from longtail.serving import client as client_module
from longtail.serving.client import EmbeddingClient
from tests.publications import DAYS, NEW, REMOVED, Published

FIRST, SECOND, *_ = DAYS


def test_one_client_follows_every_publication(project: Published) -> None:
    client = EmbeddingClient(project.config)
    with pytest.raises(LongtailError, match="nothing is published yet"):
        client.lookup(["item-000"])
    for act, day in (
        (lambda: publish(project.config, FIRST), FIRST),
        (lambda: publish(project.config, SECOND), SECOND),
        (lambda: rollback(project.config), FIRST),
    ):
        act()
        expected = project.vectors(day)
        answer = client.lookup([*expected, "no-such-item", "\0", ""])
        assert answer["version"] == project.versions[day]
        assert list(answer["embeddings"])[-3:] == ["no-such-item", "\0", ""]
        for item, vector in answer["embeddings"].items():
            if item in expected:
                np.testing.assert_array_equal(np.array(vector, np.float32), expected[item])
            else:
                assert vector is None
    assert client.lookup([NEW, REMOVED, NEW])["embeddings"].keys() == {NEW, REMOVED}


def test_more_keys_than_one_read_takes(project: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longtail.features.feast.embedding_slots.READ_ROWS", 7)
    publish(project.config, FIRST)
    expected = project.vectors(FIRST)
    answer = EmbeddingClient(project.config).lookup(list(expected))
    for item, vector in expected.items():
        np.testing.assert_array_equal(np.array(answer["embeddings"][item], np.float32), vector)


def test_lookups_do_not_wait_for_a_writer(project: Published) -> None:
    publish(project.config, FIRST)
    client = EmbeddingClient(project.config)
    file = project.config.home / "feast" / "online_store.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute('DELETE FROM "longtail_item_embeddings_b"')
        assert client.lookup(["item-000"])["embeddings"]["item-000"] is not None
        writer.execute("ROLLBACK")


def test_a_lookup_sees_what_was_committed_before_it_however_many_threads_read(
    project: Published,
) -> None:
    publish(project.config, FIRST)
    client, publisher = EmbeddingClient(project.config), OnlineStore(project.config)
    items, done, vector = list(project.vectors(FIRST)), threading.Event(), np.ones((1, 8), "f4")

    def read() -> None:
        while not done.is_set():
            client.lookup(items)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        unseen = []
        for item in (f"fresh-{number}" for number in range(40)):
            publisher.slot("b").write([item], vector, version=project.versions[FIRST])
            unseen += client.lookup([item])["missing"]
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert unseen == []


@pytest.mark.parametrize("items", [[], "item-000", ["item-000", 7], [None]])
def test_what_is_no_list_of_keys(project: Published, items: list[str]) -> None:
    publish(project.config, FIRST)
    with pytest.raises(InputError, match=r"name at least one item|is not a string"):
        EmbeddingClient(project.config).lookup(items)


def test_a_service_that_names_another_slot_is_repaired(project: Published) -> None:
    publish(project.config, FIRST)
    publish(project.config, SECOND)
    online = OnlineStore(project.config)
    online.point_service("b")
    answer = EmbeddingClient(project.config).lookup([NEW, REMOVED])
    assert answer["version"] == project.versions[SECOND]
    np.testing.assert_array_equal(
        np.array(answer["embeddings"][NEW], np.float32), project.vectors(SECOND)[NEW]
    )
    assert online.service_slot() == "c"


def test_rows_of_another_version_are_never_returned(project: Published) -> None:
    publish(project.config, FIRST)
    client = EmbeddingClient(project.config)
    assert client.lookup(["item-003"])["embeddings"]["item-003"] is not None
    stranger = np.ones((1, 8), np.float32)
    OnlineStore(project.config).slot("b").write(["item-003"], stranger, version="20200101-00000000")
    with pytest.raises(LongtailError, match="slot b has rows of 20200101-00000000"):
        client.lookup(["item-002", "item-003"])


def test_a_lookup_does_not_wait_forever_for_a_publisher(
    project: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publisher that holds the lock repairs the service itself; this one never does."""
    publish(project.config, FIRST)
    OnlineStore(project.config).point_service("a")
    client = EmbeddingClient(project.config)
    with monkeypatch.context() as patch, publication_lock(project.config):
        patch.setattr(client_module, "SETTLE_SECONDS", 0.2)
        with pytest.raises(LongtailError, match="the service names slot a, published is slot b"):
            client.lookup(["item-000"])
    assert client.lookup(["item-000"])["embeddings"]["item-000"] is not None


def test_a_publisher_that_is_done_between_refresh_and_repair(
    project: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left to repair then, but the client's registry is older than the repair."""
    publish(project.config, FIRST)
    publish(project.config, SECOND)
    OnlineStore(project.config).point_service("b")
    repairs = []

    def repair(config: Config, online: OnlineStore) -> bool:
        repairs.append(online.service_slot())
        OnlineStore(config).point_service("c")
        return True

    monkeypatch.setattr(client_module, "repair", repair)
    answer = EmbeddingClient(project.config).lookup([NEW])
    assert answer["version"] == project.versions[SECOND]
    np.testing.assert_array_equal(
        np.array(answer["embeddings"][NEW], np.float32), project.vectors(SECOND)[NEW]
    )
    assert repairs == ["b"]
