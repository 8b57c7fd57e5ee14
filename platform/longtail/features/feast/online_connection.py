"""Feast's store for online reads and writes, opened again after its connection was lost."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from feast import FeatureService, FeatureStore, RepoConfig
from feast.errors import FeatureServiceNotFoundException
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.infra.online_stores.sqlite import SqliteOnlineStore
from feast.infra.provider import Provider
from feast.infra.registry.base_registry import BaseRegistry
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from longtail.config import Config
from longtail.errors import LongtailError
from longtail.features.feast.definitions import open_store
from longtail.features.feast.slot_storage import prepare
from longtail.features.feast.store_errors import StoreError, store_failures
from longtail.features.feast.store_settings import StoreName

_LASTING = (SqliteOnlineStore, RedisOnlineStore)
"""Stores that connect again by themselves, or that have no connection to lose."""

Result = TypeVar("Result")


@dataclass(eq=False)
class OpenStore:
    """An open store.

    Attributes:
        store: Feast's store.
        one_read: the lock that a thread must hold while it reads; see `one_read_at_a_time`.
        worked: the stores that a call has reached. A failure of one of them may mean that its
            connection was lost.
    """

    store: FeatureStore
    one_read: AbstractContextManager[object]
    worked: set[StoreName] = field(default_factory=set)

    @property
    def provider(self) -> Provider:
        """Feast's provider, which has the online store."""
        return self.store._get_provider()


class OnlineConnection:
    """The project's Feast store, opened for online reads and writes. Safe to use from many threads.

    Many of Feast's online stores keep one connection, or a pool of them, and go on using it after
    the server has closed it: every later call fails. So a store that failed is dropped, and the
    next call opens another.
    """

    def __init__(self, config: Config) -> None:
        self._project = config
        self._lock = threading.Lock()
        self._open: OpenStore | None = None
        self._registry: BaseRegistry | None = None
        self.config: RepoConfig = self._current().store.config

    def call(self, store: StoreName, act: Callable[[OpenStore], Result]) -> Result:
        """Do something with the open store, and return the result.

        A connection may have been lost while it was idle, and only a call finds out. So if a
        store fails that was reached before, it is opened again, once, and `act` is repeated.

        Args:
            store: the store that `act` reaches.
            act: reads, or writes what may be written twice.

        Raises:
            StoreError: a store cannot be reached, or refuses.
        """
        opened = self._current()
        try:
            return self._try(store, act, opened)
        except StoreError as error:
            lasting = isinstance(opened.provider.online_store, _LASTING)
            if error.store not in opened.worked or lasting:
                raise
        return self._try(store, act, self._current())

    def _try(
        self, store: StoreName, act: Callable[[OpenStore], Result], opened: OpenStore
    ) -> Result:
        try:
            with store_failures(self.config, store):
                result = act(opened)
        except StoreError as error:
            self._drop(opened, error)
            raise
        opened.worked.add(store)
        return result

    def _current(self) -> OpenStore:
        with self._lock:
            if self._open is None:
                store = open_online(self._project)
                store._registry = self._registry
                self._open = OpenStore(store, one_read_at_a_time(store))
            return self._open

    def _drop(self, failed: OpenStore, error: StoreError) -> None:
        """Let the next call open another store, unless that was done, or this one recovers."""
        online = failed.provider.online_store
        if isinstance(online, _LASTING):
            return
        with self._lock:
            if self._open is failed:
                self._open = None
                # The registry that was read stays, so that it need not answer at this moment, too.
                self._registry = None if error.store == "registry" else failed.store._registry
        # Feast has no call that closes a connection. A pool closes those that it holds.
        connection = getattr(online, "_conn", None)
        with suppress(Exception):
            if connection is not None:
                connection.close()


def open_online(config: Config) -> FeatureStore:
    """Open the project's Feast store for online reads and writes.

    Raises:
        InputError: see `open_store`.
        StoreError: the embedded store's file is damaged, or locked for too long.
    """
    store = open_store(config)
    with store_failures(store.config, "online store"):
        prepare(store._get_provider().online_store, store.config)
    return store


def online_failure(store: FeatureStore) -> StoreError | None:
    """Return why the registry or the online store cannot be read; None if they can.

    The online store is asked for a row that nobody has. SQLite and Redis are not asked: one is a
    file of ours, and the other has a check of its own that does not wait for long.
    """
    try:
        with store_failures(store.config, "registry"):
            views = [view for view in store.list_feature_views() if view.online]
        provider = store._get_provider()
        if not views or isinstance(provider.online_store, _LASTING):
            return None
        view = views[0]
        values = [Value(string_val="")] * len(view.join_keys)
        key = EntityKey(join_keys=view.join_keys, entity_values=values)
        with store_failures(store.config, "online store"):
            provider.update_infra(store.project, [], [view], [], [], partial=True)
            provider.online_read(store.config, view, [key], [view.features[0].name])
    except StoreError as error:
        return error
    return None


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
        with store_failures(store.config, "registry"):
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
