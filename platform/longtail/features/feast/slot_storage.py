"""Clears, writes and reads the rows of a slot in each kind of online store.

A store without a class here is written and read through Feast's own interface; a class is worth
its lines where that is slow. To add a store, write its class, and enter it in `_STORAGES` and in
tests/embeddings/stores.py.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple, Protocol

from feast import FeatureView, RepoConfig
from feast.infra.key_encoding_utils import deserialize_entity_key
from feast.infra.online_stores.online_store import OnlineStore as FeastOnlineStore
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.infra.online_stores.sqlite import SqliteOnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from longtail.features.feast.row_format import (
    BIAS,
    EMBEDDING,
    FEATURES,
    MODEL_VERSION,
    RedisFormat,
    RowFormat,
    SqliteFormat,
)


class Stored(NamedTuple):
    """The serialized features of one key; None where there is none."""

    embedding: bytes | None
    model_version: bytes | None
    bias: bytes | None


SQLITE_WAIT_SECONDS = 60

KEYS_AT_A_TIME = 5_000
"""Keys in one statement or pipeline: far below the variables that SQLite allows in a statement."""


class SlotStorage(Protocol):
    """The rows of one slot; keys and values are bytes, as Feast serializes them."""

    @property
    def parallel(self) -> bool:
        """Whether several threads may put and get at once, and are faster for it."""

    def clear(self) -> None:
        """Remove every row."""

    def put(
        self,
        keys: Sequence[bytes],
        vectors: Sequence[bytes],
        version: str,
        bias: Sequence[bytes] | None = None,
    ) -> None:
        """Write rows; they replace the rows of the same keys."""

    def get(self, keys: Sequence[bytes]) -> list[Stored]:
        """Read rows, in the order of the keys."""

    def num_rows(self) -> int | None:
        """Count the keys that have a row; None if the store cannot count at a bearable cost."""


def open_storage(store: FeastOnlineStore, config: RepoConfig, view: FeatureView) -> SlotStorage:
    """Return the fastest storage for a view in the online store that a Feast repository uses."""
    for kind, storage in _STORAGES.items():
        if isinstance(store, kind) and storage.fits(config):
            fitting: SlotStorage = storage(store, config, view)
            return fitting
    return FeastStorage(store, config, view)


class FeastStorage:
    """Storage in any online store, through the interface that all stores have."""

    parallel: ClassVar[bool] = False  # two threads may not share the client of every store

    def __init__(self, store: FeastOnlineStore, config: RepoConfig, view: FeatureView) -> None:
        self._store, self._config, self._view = store, config, view
        # The store may have been lost while the registry, kept elsewhere, still has the view.
        self._update(delete=[], keep=[view])

    def clear(self) -> None:
        """Drop the view from the store, rows and all, and add it again, empty."""
        self._update(delete=[self._view], keep=[])
        self._update(delete=[], keep=[self._view])

    def put(
        self,
        keys: Sequence[bytes],
        vectors: Sequence[bytes],
        version: str,
        bias: Sequence[bytes] | None = None,
    ) -> None:
        """See `SlotStorage`."""
        now, model_version = datetime.now(UTC), Value(string_val=version)
        rows: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]] = [
            (key, {EMBEDDING: Value.FromString(vector), MODEL_VERSION: model_version}, now, None)
            for key, vector in zip(self._protos(keys), vectors, strict=True)
        ]
        for (_, values, _, _), number in zip(rows, bias or (), strict=bias is not None):
            values[BIAS] = Value.FromString(number)
        self._store.online_write_batch(self._config, self._view, rows, None)

    def get(self, keys: Sequence[bytes]) -> list[Stored]:
        """See `SlotStorage`. An empty value is none: some stores return it for a missing row."""
        defined = {field.name for field in self._view.features}
        found = self._store.online_read(
            self._config,
            self._view,
            self._protos(keys),
            [name for name in FEATURES if name in defined],
        )
        none: dict[str, Value] = {}
        return [
            Stored(*(_serialized((row or none).get(name)) for name in FEATURES)) for _, row in found
        ]

    def num_rows(self) -> int | None:
        """Return None: Feast has no call that counts."""
        return None

    def _protos(self, keys: Sequence[bytes]) -> list[EntityKey]:
        version = self._config.entity_key_serialization_version
        return [deserialize_entity_key(key, version) for key in keys]

    def _update(self, *, delete: list[FeatureView], keep: list[FeatureView]) -> None:
        self._store.update(self._config, delete, keep, [], [], partial=True)


class SqliteStorage(FeastStorage):
    """Storage in Feast's embedded store: over its connection, many rows in one statement."""

    @staticmethod
    def fits(config: RepoConfig) -> bool:
        """Return whether vector search is off: only Feast writes its second copy of each vector."""
        return not config.online_store.vector_enabled

    def __init__(self, store: SqliteOnlineStore, config: RepoConfig, view: FeatureView) -> None:
        super().__init__(store, config, view)
        self._connection = store._get_conn(config)
        self._format = SqliteFormat(config, view)

    def put(
        self,
        keys: Sequence[bytes],
        vectors: Sequence[bytes],
        version: str,
        bias: Sequence[bytes] | None = None,
    ) -> None:
        """See `SlotStorage`. All rows are written in one transaction."""
        moment = self._format.timestamp(datetime.now(UTC))
        model_version = RowFormat.text(version)

        def rows() -> Iterator[tuple[bytes, str, bytes, str | None, int]]:
            for key, vector in zip(keys, vectors, strict=True):
                yield key, EMBEDDING, vector, None, moment
                yield key, MODEL_VERSION, model_version, version, moment
            for key, number in zip(keys, bias or (), strict=bias is not None):
                yield key, BIAS, number, None, moment

        with self._connection:
            self._connection.executemany(self._format.upsert, rows())

    def get(self, keys: Sequence[bytes]) -> list[Stored]:
        """See `SlotStorage`."""
        found: dict[tuple[bytes, str], bytes] = {}
        for start in range(0, len(keys), KEYS_AT_A_TIME):
            asked = keys[start : start + KEYS_AT_A_TIME]
            statement = (
                f"SELECT entity_key, feature_name, value FROM {self._format.table} "
                f"WHERE entity_key IN ({', '.join('?' * len(asked))})"
            )
            for key, name, value in self._connection.execute(statement, asked):
                found[key, name] = value
        return [Stored(*(found.get((key, name)) for name in FEATURES)) for key in keys]

    def num_rows(self) -> int | None:
        """See `SlotStorage`."""
        statement = f"SELECT count(DISTINCT entity_key) FROM {self._format.table}"
        return int(self._connection.execute(statement).fetchone()[0])


class RedisStorage(FeastStorage):
    """Storage in Redis, with the client that Feast opens: one server, a cluster, or sentinels."""

    parallel: ClassVar[bool] = True

    @staticmethod
    def fits(config: RepoConfig) -> bool:
        """Return True: every Redis that Feast can use fits."""
        return True

    def __init__(self, store: RedisOnlineStore, config: RepoConfig, view: FeatureView) -> None:
        super().__init__(store, config, view)
        self._client = store._get_client(config.online_store)
        self._keys, self._format = RowFormat(config, view), RedisFormat(config, view)
        self._key_ttl = config.online_store.key_ttl_seconds

    def clear(self) -> None:
        """Remove the view's fields from every hash of the entity; Redis drops empty hashes.

        Feast's own deletion lists all keys and all their fields in memory first, does nothing if
        `full_scan_for_deletion` is off, and also clears a project with a name that ends in the
        name of this one.
        """
        fields = [self._format.timestamp_field, *self._format.fields]
        # Lengths inside the key may be any byte, also one that a pattern takes for a wildcard.
        start = re.sub(rb"([*?\[\]^\\-])", rb"\\\1", self._keys.key_start)
        found = self._client.scan_iter(start + b"*", count=KEYS_AT_A_TIME)
        while page := list(itertools.islice(found, KEYS_AT_A_TIME)):
            with self._client.pipeline(transaction=False) as pipeline:
                # The pattern also finds other projects' keys, and keys that only begin alike.
                for key in page:
                    length = self._keys.key_length(key)
                    if length is not None and key[length:] == self._format.project:
                        pipeline.hdel(key, *fields)
                pipeline.execute()

    def put(
        self,
        keys: Sequence[bytes],
        vectors: Sequence[bytes],
        version: str,
        bias: Sequence[bytes] | None = None,
    ) -> None:
        """See `SlotStorage`."""
        project, (embedding, named, number) = self._format.project, self._format.fields
        head = (self._format.timestamp_field, self._format.timestamp(datetime.now(UTC)))
        tail = (named, RowFormat.text(version))
        ends = [tail] * len(keys) if bias is None else [(*tail, number, each) for each in bias]
        with self._client.pipeline(transaction=False) as pipeline:
            for key, vector, end in zip(keys, vectors, ends, strict=True):
                pipeline.execute_command("HSET", key + project, *head, embedding, vector, *end)
                if self._key_ttl:
                    pipeline.expire(key + project, self._key_ttl)
            pipeline.execute()

    def get(self, keys: Sequence[bytes]) -> list[Stored]:
        """See `SlotStorage`."""
        rows: list[Stored] = []
        for start in range(0, len(keys), KEYS_AT_A_TIME):
            with self._client.pipeline(transaction=False) as pipeline:
                for key in keys[start : start + KEYS_AT_A_TIME]:
                    pipeline.hmget(key + self._format.project, self._format.fields)
                rows += [Stored(*values) for values in pipeline.execute()]
        return rows


_STORAGES: dict[type[FeastOnlineStore], Any] = {
    SqliteOnlineStore: SqliteStorage,
    RedisOnlineStore: RedisStorage,
}


def prepare(store: FeastOnlineStore, config: RepoConfig) -> None:
    """Set up the connection of the embedded store; other stores need nothing.

    It is one SQLite file. With a write-ahead log its readers never wait for a writer. Two writers
    (of embeddings, and of query features) wait for each other.
    """
    if isinstance(store, SqliteOnlineStore):
        connection = store._get_conn(config)
        connection.execute(f"PRAGMA busy_timeout = {1000 * SQLITE_WAIT_SECONDS}")
        connection.execute("PRAGMA journal_mode = WAL")


def _serialized(value: Value | None) -> bytes | None:
    return value.SerializeToString() if value is not None and value.WhichOneof("val") else None
