"""The slots of embeddings in the online store, and the FeatureService that names one of them."""

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta

from feast import FeatureService, FeatureStore, FeatureView
from feast.errors import FeatureServiceNotFoundException, FeatureViewNotFoundException
from feast.infra.online_stores.sqlite import SqliteOnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from longtail.config import Config
from longtail.errors import InputError, LongtailError
from longtail.features.feast.definitions import load_definitions, open_store
from longtail.features.feast.write_online_slot import EmbeddingRows, OnlineSlot, store_failures

OnlineRow = tuple[EntityKey, dict[str, Value], datetime, datetime | None]

SERVICE = "item_embeddings"
READ_ROWS = 10_000
"""Keys in one lookup: below the number of variables that SQLite allows in a statement."""

SQLITE_WAIT_SECONDS = 60


@dataclass(frozen=True)
class _ServedSlot:
    """The slot that the service named when the registry was read."""

    slot: str
    service: FeatureService
    join_key: str


class OnlineStore:
    """All slots of embeddings, and the FeatureService that names the one to serve.

    The slots are identical feature views.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._store = open_online(config)
        self._provider = self._store._get_provider()
        self._served: _ServedSlot | None = None
        self._refreshing = threading.Lock()
        self._one_read = one_read_at_a_time(self._store)
        self._slots: dict[str, OnlineSlot] = {}

    @property
    def cache_ttl(self) -> timedelta:
        """Longest time for which a consumer may go on reading an older registry."""
        return timedelta(seconds=self._store.config.registry.cache_ttl_seconds)

    def refresh(self) -> None:
        """Read the registry again; until then, `lookup` stays with the slot that it found first."""
        with self._refreshing:  # otherwise an older registry could replace a newer one
            self._store.refresh_registry()
            self._served = None

    def service_slot(self) -> str | None:
        """Return the slot that the registered service names; None if the service is not applied."""
        service = find_service(self._store, SERVICE)
        return _slot_of(service) if service else None

    def point_service(self, slot: str) -> None:
        """Make the service name a slot; its description, tags and owner stay."""
        registered = find_service(self._store, SERVICE)
        service = FeatureService(
            name=SERVICE,
            features=[self._view(slot).with_name(SERVICE)],
            description=registered.description if registered else "",
            tags=dict(registered.tags) if registered else {},
            owner=registered.owner if registered else "",
        )
        self._store.apply([service])

    def restore_slots(self, slots: Sequence[str]) -> None:
        """Register every slot that was never applied, or was removed from the registry.

        Raises:
            InputError: the repository does not define one of them.
        """
        registered = {view.name for view in self._store.list_feature_views()}
        missing = {_view_name(slot) for slot in slots} - registered
        if not missing:
            return
        defined = load_definitions(self._config)
        views = [view for view in defined.feature_views if view.name in missing]
        if len(views) != len(missing):
            raise InputError(
                f"{self._config.feature_repo} does not define {', '.join(sorted(missing))}: "
                "restore its item_embeddings.py"
            )
        self._store.apply([*defined.projects, *defined.entities, *views])

    def slot(self, slot: str) -> OnlineSlot:
        """Return the rows of a slot, straight from the online store, without service and cache."""
        if slot not in self._slots:
            store = self._provider.online_store
            self._slots[slot] = OnlineSlot(store, self._store.config, self._view(slot))
        return self._slots[slot]

    def empty_slot(self, slot: str) -> None:
        """Remove every row of a slot from the online store.

        The registry is left alone. Emptying through it would remove the slot and add it again. A
        consumer that read the registry in between would not know the slot until its cache is
        refreshed, and would fail if the slot is served before that.
        """
        self.slot(slot).empty()

    def lookup(self, items: Sequence[str]) -> tuple[str, EmbeddingRows]:
        """Read embeddings as every Feast consumer does: through the service and a cached registry.

        Args:
            items: `[n]` keys, any number.

        Returns:
            the slot that the service named, and the rows.

        Raises:
            LongtailError: the service is not applied, or the store cannot be read.
        """
        served = self._served
        if served is None:
            with self._refreshing:
                served = self._served = self._find_served_slot()
        vectors: list[list[float] | None] = []
        versions: list[str | None] = []
        for start in range(0, len(items), READ_ROWS):
            keys = list(items[start : start + READ_ROWS])
            with store_failures(), self._one_read:
                response = self._store.get_online_features(
                    features=served.service, entity_rows={served.join_key: keys}
                )
            # This returns what `to_dict` does, in a seventh of its time.
            names = response.proto.metadata.feature_names.val
            columns = dict(zip(names, response.proto.results, strict=True))
            vectors += [
                value.float_list_val.val[:] or None for value in columns["embedding"].values
            ]
            versions += [value.string_val or None for value in columns["model_version"].values]
        return served.slot, EmbeddingRows(vectors, versions)

    def _find_served_slot(self) -> "_ServedSlot":
        service = required_service(self._store, SERVICE)
        slot = _slot_of(service)
        return _ServedSlot(slot, service, self._view(slot).join_keys[0])

    def _view(self, slot: str) -> FeatureView:
        try:
            return self._store.get_feature_view(_view_name(slot))
        except FeatureViewNotFoundException as error:
            raise LongtailError(
                f"feature view {_view_name(slot)} is not applied: publish again, or run `feast "
                f"apply` in {self._config.feature_repo}"
            ) from error


def open_online(config: Config) -> FeatureStore:
    """Open the project's Feast store for online reads and writes.

    The embedded store is one SQLite file. With a write-ahead log its readers never wait for a
    writer. Two writers (of embeddings, and of query features) wait for each other.
    """
    store = open_store(config)
    online = store._get_provider().online_store
    if isinstance(online, SqliteOnlineStore):
        connection = online._get_conn(store.config)
        connection.execute(f"PRAGMA busy_timeout = {1000 * SQLITE_WAIT_SECONDS}")
        connection.execute("PRAGMA journal_mode = WAL")
    return store


def one_read_at_a_time(store: FeatureStore) -> AbstractContextManager[object]:
    """Return the lock that a thread must hold while it reads, so that it sees the newest state.

    Feast's SQLite store has one connection. Its reads see one state of the file until none is
    under way: while threads take turns without a pause, they do not see what was committed since.
    Other stores need no lock.
    """
    online = store._get_provider().online_store
    return threading.Lock() if isinstance(online, SqliteOnlineStore) else nullcontext()


def find_service(store: FeatureStore, name: str, *, cached: bool = False) -> FeatureService | None:
    """Return a registered FeatureService; None if it is not applied."""
    try:
        return store.get_feature_service(name, allow_cache=cached)
    except FeatureServiceNotFoundException:
        return None


def required_service(store: FeatureStore, name: str) -> FeatureService:
    """Return a registered FeatureService, from the cached registry if that has it.

    Raises:
        LongtailError: it is not applied.
    """
    service = find_service(store, name, cached=True) or find_service(store, name)
    if service is None:
        raise LongtailError(
            f"the Feast service {name!r} is not applied: run `longtail run`, or `feast apply`"
        )
    return service


def entity_keys(view: FeatureView, keys: Sequence[str]) -> list[EntityKey]:
    """Return the protos of `[n]` keys; ids are strings everywhere."""
    join_keys = [view.join_keys[0]]
    return [EntityKey(join_keys=join_keys, entity_values=[Value(string_val=key)]) for key in keys]


def _view_name(slot: str) -> str:
    return f"{SERVICE}_{slot}"


def _slot_of(service: FeatureService) -> str:
    return service.feature_view_projections[0].name.removeprefix(f"{SERVICE}_")
