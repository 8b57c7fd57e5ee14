"""Tests of everything that publication and lookups rely on, for every store in `STORES`."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import yaml
from feast import FeatureStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import FloatList, Value

from longtail.embeddings import fill_slot as slots
from longtail.embeddings.publish import publish, publish_query_features, rollback, status
from longtail.errors import LongtailError
from longtail.features.feast.definitions import open_store
from longtail.features.feast.embedding_slots import OnlineStore
from longtail.features.feast.repository import FeatureRepository
from longtail.features.feast.slot_storage import FeastStorage
from longtail.serving.client import EmbeddingClient
from tests.embeddings.stores import STORES
from tests.publications import DAYS, NEW, REMOVED, Published

FIRST, SECOND, THIRD, _ = DAYS
# Keys that careless code mistreats: NUL, emoji, the wildcards of globs and SQL, long ones, "".
KEYS = ["plain", "nul\0inside", "\0", "\N{PILE OF POO}", "a*b?[c]\\", "'; --", "é" * 3_000, " ", ""]
VERSION = "20240101-00000000"
# The cluster differs from plain Redis by its client only, and Postgres is written by Feast's own
# code, as `other` is: both are tested less often.
LESS_OFTEN = ("redis_cluster", "postgres")
PARAMS = [pytest.param(n, marks=pytest.mark.slow if n in LESS_OFTEN else ()) for n in STORES]


@pytest.fixture(params=PARAMS)
def stored(
    request: pytest.FixtureRequest, project: Published, tmp_path: Path
) -> Iterator[Published]:
    """The project of tests/publications.py with one of the stores, which is empty."""
    text = (project.config.feature_repo / "feature_store.yaml").read_text("utf-8")
    settings = yaml.safe_load(text)
    with STORES[request.param](tmp_path / "store") as online_store:
        file = tmp_path / "feature_store.yaml"
        file.write_text(yaml.safe_dump({**settings, "online_store": online_store}))
        config = project.config.model_copy(update={"feature_store": file})
        FeatureRepository(config).apply()
        yield Published(config, project.versions)


def vectors(seed: int, count: int = len(KEYS)) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 6)).astype(np.float32)


def as_lists(matrix: np.ndarray) -> list[list[float]]:
    return [[float(value) for value in row] for row in matrix]


def by_feast(project: Published, items: list[str]) -> dict[str, list[float] | None]:
    """Return what a consumer gets who uses Feast alone."""
    store = open_store(project.config)
    answer = store.get_online_features(
        features=store.get_feature_service("item_embeddings"),
        entity_rows=[{"item_id": item} for item in items],
    ).to_dict()
    return dict(zip(answer["item_id"], answer["embedding"], strict=True))


def raw_store(project: Published, slot: str) -> tuple[FeatureStore, FeastStorage]:
    """Open Feast's own reads and writes of a slot."""
    store = open_store(project.config)
    view = store.get_feature_view(f"item_embeddings_{slot}")
    return store, FeastStorage(store._get_provider().online_store, store.config, view)


def test_rows_come_back_as_written_in_the_order_asked_for(stored: Published) -> None:
    online = OnlineStore(stored.config)
    written = vectors(0)
    online.slot("a").write(KEYS, written, version=VERSION)
    asked = [*reversed(KEYS), "missing", "\0missing", KEYS[0]]
    rows = online.slot("a").read(asked)
    expected = [*reversed(as_lists(written)), None, None, as_lists(written)[0]]
    assert rows.vectors == expected
    assert rows.versions == [None if vector is None else VERSION for vector in expected]
    # The service names slot a before the first publication.
    served = by_feast(stored, asked[:-1])
    assert list(served.values()) == expected[:-1]
    slot, looked_up = online.lookup(asked)
    assert (slot, looked_up.vectors, looked_up.versions) == ("a", expected, rows.versions)


def test_rows_are_written_over_and_the_other_slots_stay(stored: Published) -> None:
    online = OnlineStore(stored.config)
    first, second = vectors(1), vectors(2)
    for slot in "abc":
        online.slot(slot).write(KEYS, first, version=VERSION)
    online.slot("b").write(KEYS[:4], second[:4], version="20240102-00000000")
    assert online.slot("b").read(KEYS).vectors == as_lists(np.concatenate([second[:4], first[4:]]))
    assert online.slot("b").read(KEYS).versions == ["20240102-00000000"] * 4 + [VERSION] * 5
    for slot in "ac":
        assert online.slot(slot).read(KEYS).vectors == as_lists(first)


def test_an_emptied_slot_is_empty_and_nothing_else_is(stored: Published) -> None:
    online = OnlineStore(stored.config)
    publish_query_features(stored.config, FIRST)
    many = [f"item-{number}" for number in range(6_000)]  # more than one page of a scan
    for slot in "abc":
        online.slot(slot).write(many, vectors(3, len(many)), version=VERSION)
        online.slot(slot).write(KEYS, vectors(3), version=VERSION)
    online.empty_slot("b")
    assert set(online.slot("b").read([*many, *KEYS]).vectors) == {None}
    assert online.slot("b").num_rows() in (0, None)
    for slot in "ac":
        assert online.slot(slot).read(KEYS).vectors == as_lists(vectors(3))
        assert online.slot(slot).read(many).vectors == as_lists(vectors(3, len(many)))
    store = open_store(stored.config)
    queries = store.get_online_features(
        features=store.get_feature_service("query_features"), entity_rows=[{"query_id": "item-000"}]
    ).to_dict()
    assert queries["section"] != [None]
    online.empty_slot("b")  # it is empty already
    online.slot("b").write(KEYS, vectors(4), version=VERSION)
    assert online.slot("b").read(KEYS).vectors == as_lists(vectors(4))


def test_what_is_written_is_what_feast_would_have_written(stored: Published) -> None:
    """Feast's own write of the same rows is read as equal, and its own read returns our rows."""
    online, written = OnlineStore(stored.config), vectors(5)
    online.slot("a").write(KEYS, written, version=VERSION)
    store, _ = raw_store(stored, "a")
    view, feast_store = store.get_feature_view("item_embeddings_b"), store._get_provider()
    rows = [
        (
            EntityKey(join_keys=["item_id"], entity_values=[Value(string_val=key)]),
            {
                "embedding": Value(float_list_val=FloatList(val=vector.tolist())),
                "model_version": Value(string_val=VERSION),
            },
            datetime.now(UTC),
            None,
        )
        for key, vector in zip(KEYS, written, strict=True)
    ]
    # Slot a holds our rows, slot b Feast's. First our read of Feast's rows.
    feast_store.online_write_batch(store.config, view, rows, None)
    assert online.slot("b").read_back(KEYS, written, version=VERSION).problem is None
    # Then Feast's read of both: equal values, and a timestamp that differs by seconds only.
    keys = [key for key, *_ in rows]
    features = ["embedding", "model_version"]
    read = [
        feast_store.online_read(
            store.config, store.get_feature_view(f"item_embeddings_{slot}"), keys, list(features)
        )
        for slot in "ab"
    ]
    assert [values for _, values in read[0]] == [values for _, values in read[1]]
    ours, theirs = ([moment for moment, _ in found] for found in read)
    for moment, other in zip(ours, theirs, strict=True):
        assert moment is not None
        assert other is not None
        assert abs((moment - other).total_seconds()) < 60


def test_a_read_back_names_what_differs(stored: Published) -> None:
    slot, written = OnlineStore(stored.config).slot("a"), vectors(6)
    slot.write(KEYS, written, version=VERSION)
    found = slot.read_back(KEYS, written, version=VERSION)
    assert found.problem is None
    assert found.content == b"".join(
        len(key.encode()).to_bytes(4, "little") + key.encode() + vector.tobytes()
        for key, vector in zip(KEYS, written, strict=True)
    )
    changed = written.copy()
    changed[1, 2] = np.nextafter(changed[1, 2], np.float32(9))
    for items, matrix, version, problem in [
        (["plain", "none"], written[:2], VERSION, "item 'none' has no row"),
        (KEYS, changed, VERSION, r"item 'nul\x00inside' has another vector"),
        (KEYS, written[:, :5], VERSION, "item 'plain' has 6 values"),
        (KEYS, written, "x", f"item 'plain' carries version '{VERSION}'"),
    ]:
        assert slot.read_back(items, matrix, version=version).problem == problem


def test_a_flip_of_the_service_and_every_apply_keep_both_slots(stored: Published) -> None:
    online = OnlineStore(stored.config)
    for slot, seed in (("b", 7), ("c", 8)):
        online.slot(slot).write(KEYS, vectors(seed), version=VERSION)
    for slot, seed in (("b", 7), ("c", 8), ("b", 7)):
        online.point_service(slot)
        assert list(by_feast(stored, KEYS).values()) == as_lists(vectors(seed))
    FeatureRepository(stored.config).apply()  # nothing is published: the definitions name slot a
    online.point_service("c")
    for slot, seed in (("b", 7), ("c", 8)):
        assert online.slot(slot).read(KEYS).vectors == as_lists(vectors(seed))
    assert list(by_feast(stored, KEYS).values()) == as_lists(vectors(8))


def assert_served(project: Published, day: object) -> None:
    """Check that Feast and the client read all of a day's items, bit by bit, and no other."""
    expected = project.vectors(day)  # type: ignore[arg-type]
    asked = sorted({*expected, REMOVED, NEW, "nothing"})
    client = EmbeddingClient(project.config).lookup(asked)
    assert client["version"] == project.versions[day]  # type: ignore[index]
    for answer in (client["embeddings"], by_feast(project, asked)):
        for item in asked:
            wanted = expected.get(item)
            if wanted is None:
                assert answer[item] is None
            else:
                np.testing.assert_array_equal(np.array(answer[item], np.float32), wanted)


def test_publication_refresh_and_rollback(stored: Published) -> None:
    assert publish(stored.config, FIRST)["published"]
    assert_served(stored, FIRST)
    assert publish(stored.config, SECOND)["published"]
    assert_served(stored, SECOND)
    assert REMOVED not in stored.vectors(SECOND)
    assert rollback(stored.config)["version"] == stored.versions[FIRST]
    assert_served(stored, FIRST)
    # The third day takes the free slot, so slot c still holds the second day.
    assert publish(stored.config, THIRD)["slot"] == "a"
    assert_served(stored, THIRD)
    assert rollback(stored.config, stored.versions[SECOND])["slot"] == "c"
    assert_served(stored, SECOND)
    assert status(stored.config)["previous"] == stored.versions[THIRD]


def test_a_store_that_lost_everything_is_filled_again(stored: Published) -> None:
    """A Redis without persistence loses everything at a restart; another store has nothing yet."""
    for write in (publish, publish_query_features):
        assert write(stored.config, FIRST)["published"]
        assert not write(stored.config, FIRST)["published"]
    online = OnlineStore(stored.config)
    for slot in "abc":
        online.empty_slot(slot)
    store = open_store(stored.config)
    FeastStorage(
        store._get_provider().online_store, store.config, store.get_feature_view("queries")
    ).clear()
    for write in (publish, publish_query_features):
        assert write(stored.config, FIRST)["published"]
    assert_served(stored, FIRST)


@pytest.mark.parametrize("batch_rows", [7, 1_000])
def test_a_wrong_row_is_never_served(
    project: Published, monkeypatch: pytest.MonkeyPatch, batch_rows: int
) -> None:
    """A publication notices rows that changed, appeared or vanished between write and read."""
    publication = project.config.publication.model_copy(update={"batch_rows": batch_rows})
    config = project.config.model_copy(update={"publication": publication})
    publish(config, FIRST)

    for damage, problem in [
        (lambda o: o.slot("c").write(["item-050"], vectors(0, 1), version=VERSION), "has 6 values"),
        (lambda o: o.slot("c").write(["other"], vectors(0, 1), version=VERSION), "61 rows, not 60"),
        (lambda o: o.empty_slot("c"), "has no row"),
    ]:

        def enter(step: slots.Step, damage: Callable[[OnlineStore], None] = damage) -> None:
            if step is slots.Step.READ_BACK:
                damage(OnlineStore(config))

        monkeypatch.setattr(slots, "enter", enter)
        with pytest.raises(LongtailError, match=rf"slot c was not published: .*{problem}"):
            publish(config, SECOND)
        assert status(config)["version"] == project.versions[FIRST]
