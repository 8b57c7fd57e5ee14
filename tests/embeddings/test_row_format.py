"""Rows as bytes: equal, byte by byte, to those that Feast itself serializes and stores."""

import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import redis
import yaml
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import FloatList, Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from longtail.features.feast.definitions import open_store
from longtail.features.feast.embedding_slots import OnlineStore, entity_keys
from longtail.features.feast.repository import FeatureRepository
from longtail.features.feast.row_format import RowFormat
from longtail.features.feast.slot_storage import FeastStorage
from tests.embeddings.stores import redis_store
from tests.publications import Published

KEYS = ["plain", "nul\0inside", "\N{PILE OF POO}", ""]
VECTORS = np.random.default_rng(0).standard_normal((4, 128)).astype(np.float32)
VERSION = "20240101-00000000"


@settings(max_examples=60, deadline=None)
@given(
    vectors=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.sampled_from([1, 2, 31, 32, 128, 5_000])),
        elements=st.floats(width=32),  # NaN, infinities and -0.0 among them
    ),
    text=st.text(),
)
def test_values_are_serialized_as_protobuf_does(vectors: np.ndarray, text: str) -> None:
    expected = [
        Value(float_list_val=FloatList(val=row)).SerializeToString() for row in vectors.tolist()
    ]
    if not np.isnan(vectors).any():  # Python's floats need not keep the bits of a NaN
        assert RowFormat.vectors(vectors) == expected
        assert [RowFormat.floats(value) for value in expected] == vectors.tolist()
    assert [len(value) for value in RowFormat.vectors(vectors)] == [len(e) for e in expected]
    assert RowFormat.text(text) == Value(string_val=text).SerializeToString()
    assert RowFormat.string(RowFormat.text(text)) == text


def test_slices_and_columns_of_a_matrix_are_its_rows() -> None:
    wide = np.arange(60, dtype=np.float32).reshape(5, 12)
    for part in (wide[1:4], wide[:, 2:7], wide[::2, ::-1], wide.astype(">f4")):
        expected = [
            Value(float_list_val=FloatList(val=row)).SerializeToString() for row in part.tolist()
        ]
        assert RowFormat.vectors(part) == expected


def test_keys_are_serialized_as_feast_does(project: Published) -> None:
    store = open_store(project.config)
    view = store.get_feature_view("item_embeddings_a")
    rows = RowFormat(store.config, view)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.text(max_size=300)))
    def compare(items: list[str]) -> None:
        protos = [
            EntityKey(join_keys=["item_id"], entity_values=[Value(string_val=item)])
            for item in items
        ]
        keys = rows.keys(items)
        assert keys == [serialize_entity_key(proto, 3) for proto in protos]
        assert protos == entity_keys(view, items)
        for key in keys:
            assert rows.key_length(key + b"project") == len(key)
        assert rows.key_length(rows.key_start[:-1]) is None
        assert rows.key_length(b"x" + rows.key_start) is None

    compare()


def write_both(project: Published) -> None:
    """Write the same rows into slot a as publication does, and into slot b as Feast does."""
    OnlineStore(project.config).slot("a").write(KEYS, VECTORS, version=VERSION)
    store = open_store(project.config)
    view = store.get_feature_view("item_embeddings_b")
    rows = RowFormat(store.config, view)
    storage = FeastStorage(store._get_provider().online_store, store.config, view)
    storage.put(rows.keys(KEYS), rows.vectors(VECTORS), VERSION)


def test_sqlite_has_the_rows_that_feast_writes(
    project: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")  # Feast's timestamps depend on it
    time.tzset()
    try:
        write_both(project)
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    with sqlite3.connect(project.config.home / "feast" / "online_store.db") as connection:
        tables = [
            connection.execute(f"SELECT * FROM longtail_item_embeddings_{slot}").fetchall()
            for slot in "ab"
        ]
        columns = connection.execute("PRAGMA table_info(longtail_item_embeddings_a)").fetchall()
    connection.close()
    moment = [name for _, name, *_ in columns].index("event_ts")
    assert len(tables[0]) == 2 * len(KEYS)
    for ours, theirs in zip(*map(sorted, tables), strict=True):
        assert ours[:moment] + ours[moment + 1 :] == theirs[:moment] + theirs[moment + 1 :]
        assert type(ours[moment]) is type(theirs[moment])
        assert abs(ours[moment] - theirs[moment]) < 60


def with_redis(project: Published, file: Path, online_store: dict[str, object]) -> Published:
    settings = yaml.safe_load((project.config.feature_repo / "feature_store.yaml").read_text())
    file.write_text(yaml.safe_dump({**settings, "online_store": online_store}))
    config = project.config.model_copy(update={"feature_store": file})
    FeatureRepository(config).apply()
    return Published(config, project.versions)


def test_redis_has_the_hashes_that_feast_writes(project: Published, tmp_path: Path) -> None:
    with redis_store(tmp_path / "redis") as online_store:
        host, port = str(online_store["connection_string"]).split(":")
        # All slots share a key, so both ways of writing end in one hash, in different fields.
        write_both(with_redis(project, tmp_path / "feature_store.yaml", online_store))
        with redis.Redis(host, int(port)) as client:
            hashes = {key: client.hgetall(key) for key in client.scan_iter()}
    assert len(hashes) == len(KEYS)
    for fields in hashes.values():
        assert len(fields) == 6
        moments = [fields.pop(f"_ts:item_embeddings_{slot}".encode()) for slot in "ab"]
        ours, theirs = (Timestamp.FromString(moment).ToDatetime(UTC) for moment in moments)
        assert abs((ours - theirs).total_seconds()) < 60
        values = sorted(fields.values())
        assert values[0::2] == values[1::2]  # each value twice: ours and Feast's


def test_emptying_redis_is_exact(project: Published, tmp_path: Path) -> None:
    """A project with a longer name of the same ending, and similar keys, are not touched."""
    with redis_store(tmp_path / "redis") as online_store:
        host, port = str(online_store["connection_string"]).split(":")
        stored = with_redis(project, tmp_path / "feature_store.yaml", online_store)
        online = OnlineStore(stored.config)
        online.slot("a").write(KEYS, VECTORS, version=VERSION)
        with redis.Redis(host, int(port)) as client:
            own = list(client.scan_iter())
            fields = client.hgetall(own[0])
            strangers = [own[0].removesuffix(b"longtail") + b"notlongtail", own[0] + b"longtail"]
            strangers += [own[0][:-1], b"x" + own[0]]
            for key in strangers:
                client.hset(key, mapping=fields)
            online.slot("b").write(KEYS[:1], VECTORS[:1], version=VERSION)
            online.empty_slot("a")
            left = {key: client.hgetall(key) for key in client.scan_iter()}
        assert set(left) - set(strangers) == {key for key in own if b"plain" in key}
        assert all(left[key] == fields for key in strangers)
        assert online.slot("b").read(KEYS).vectors[1:] == [None, None, None]


def test_timestamps_are_now(project: Published) -> None:
    before = datetime.now(UTC)
    OnlineStore(project.config).slot("a").write(KEYS, VECTORS, version=VERSION)
    store = open_store(project.config)
    view = store.get_feature_view("item_embeddings_a")
    found = store._get_provider().online_read(
        store.config, view, entity_keys(view, KEYS), ["embedding"]
    )
    for moment, _ in found:
        assert abs((moment - before).total_seconds()) < 60
