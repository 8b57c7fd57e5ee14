"""The slots of embeddings in the online store, and the FeatureService that names one of them."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from feast import FeatureService, FeatureStore, FeatureView
from feast.errors import FeatureViewNotFoundException
from feast.infra.registry.base_registry import BaseRegistry
from feast.online_response import OnlineResponse
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from longtail.config import Config
from longtail.errors import InputError, LongtailError
from longtail.features.feast.definitions import load_definitions
from longtail.features.feast.online_connection import (
    OnlineConnection,
    OpenStore,
    find_service,
    required_service,
)
from longtail.features.feast.row_format import BIAS
from longtail.features.feast.write_online_slot import EmbeddingRows, OnlineSlot

OnlineRow = tuple[EntityKey, dict[str, Value], datetime, datetime | None]

SERVICE = "item_embeddings"
READ_ROWS = 10_000
"""Keys in one lookup: below the number of variables that SQLite allows in a statement."""


@dataclass(frozen=True)
class _ServedSlot:
    """The slot that the service named when the registry was read."""

    slot: str
    service: FeatureService
    join_key: str
    registry: BaseRegistry


class OnlineStore:
    """All slots of embeddings, and the FeatureService that names the one to serve.

    The slots are identical feature views.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._connection = OnlineConnection(config)
        self._served: _ServedSlot | None = None
        self._refreshing = threading.Lock()
        self._slots: WeakKeyDictionary[OpenStore, dict[str, OnlineSlot]] = WeakKeyDictionary()

    @property
    def cache_ttl(self) -> timedelta:
        """Longest time for which a consumer may go on reading an older registry."""
        return timedelta(seconds=self._connection.config.registry.cache_ttl_seconds)

    def refresh(self) -> None:
        """Read the registry again; until then, `lookup` stays with the slot that it found first."""
        with self._refreshing:  # otherwise an older registry could replace a newer one
            self._connection.call("registry", lambda opened: opened.store.refresh_registry())
            self._served = None

    def service_slot(self) -> str | None:
        """Return the slot that the registered service names; None if the service is not applied."""
        service = self._connection.call(
            "registry", lambda opened: find_service(opened.store, SERVICE)
        )
        return _slot_of(service) if service else None

    def point_service(self, slot: str) -> None:
        """Make the service name a slot; its description, tags and owner stay."""
        self._connection.call("registry", lambda opened: self._point_service(opened.store, slot))

    def _point_service(self, store: FeatureStore, slot: str) -> None:
        registered = find_service(store, SERVICE)
        service = FeatureService(
            name=SERVICE,
            features=[self._view(store, slot).with_name(SERVICE)],
            description=registered.description if registered else "",
            tags=dict(registered.tags) if registered else {},
            owner=registered.owner if registered else "",
        )
        store.apply([service])

    def restore_slots(self, slots: Sequence[str]) -> None:
        """Register every slot that was never applied, or was removed from the registry.

        Raises:
            InputError: the repository does not define one of them.
        """
        self._connection.call("registry", lambda opened: self._restore_slots(opened.store, slots))

    def _restore_slots(self, store: FeatureStore, slots: Sequence[str]) -> None:
        registered = {view.name for view in store.list_feature_views()}
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
        store.apply([*defined.projects, *defined.entities, *views])

    def slot(self, slot: str) -> OnlineSlot:
        """Return the rows of a slot, straight from the online store, without service and cache."""
        return self._connection.call("online store", lambda opened: self._slot(opened, slot))

    def _slot(self, opened: OpenStore, slot: str) -> OnlineSlot:
        slots = self._slots.setdefault(opened, {})
        if slot not in slots:
            online, view = opened.provider.online_store, self._view(opened.store, slot)
            slots[slot] = OnlineSlot(online, opened.store.config, view)
        return slots[slot]

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
        slot = self._connection.call("registry", self._served_slot).slot
        vectors: list[list[float] | None] = []
        versions: list[str | None] = []
        biases: list[float | None] = []
        for start in range(0, len(items), READ_ROWS):
            read, rows = self._read(items[start : start + READ_ROWS])
            if read != slot:  # another thread read the registry again meanwhile
                return self.lookup(items)
            vectors += rows.vectors
            versions += rows.versions
            biases += rows.biases
        return slot, EmbeddingRows(vectors, versions, biases)

    def _read(self, items: Sequence[str]) -> tuple[str, EmbeddingRows]:
        def read(opened: OpenStore) -> tuple[str, OnlineResponse]:
            served = self._served_slot(opened)
            with opened.one_read:
                return served.slot, opened.store.get_online_features(
                    features=served.service, entity_rows={served.join_key: list(items)}
                )

        slot, response = self._connection.call("online store", read)
        # This returns what `to_dict` does, in a seventh of its time.
        names = response.proto.metadata.feature_names.val
        columns = dict(zip(names, response.proto.results, strict=True))
        biases: list[float | None] = [None] * len(items)
        if BIAS in columns:  # not in the views of projects of older releases
            biases = [
                value.float_val if value.WhichOneof("val") else None
                for value in columns[BIAS].values
            ]
        return slot, EmbeddingRows(
            [value.float_list_val.val[:] or None for value in columns["embedding"].values],
            [value.string_val or None for value in columns["model_version"].values],
            biases,
        )

    def _served_slot(self, opened: OpenStore) -> _ServedSlot:
        """Return the slot that the service named when this registry was first asked."""
        served, registry = self._served, opened.store.registry
        # Feast warns of a service that it did not read from the same registry.
        if served is None or served.registry is not registry:
            with self._refreshing:
                service = required_service(opened.store, SERVICE)
                slot = _slot_of(service)
                join_key = self._view(opened.store, slot).join_keys[0]
                served = self._served = _ServedSlot(slot, service, join_key, registry)
        return served

    def _view(self, store: FeatureStore, slot: str) -> FeatureView:
        try:
            return store.get_feature_view(_view_name(slot))
        except FeatureViewNotFoundException as error:
            raise LongtailError(
                f"feature view {_view_name(slot)} is not applied: publish again, or run `feast "
                f"apply` in {self._config.feature_repo}"
            ) from error


def entity_keys(view: FeatureView, keys: Sequence[str]) -> list[EntityKey]:
    """Return the protos of `[n]` keys; ids are strings everywhere."""
    join_keys = [view.join_keys[0]]
    return [EntityKey(join_keys=join_keys, entity_values=[Value(string_val=key)]) for key in keys]


def _view_name(slot: str) -> str:
    return f"{SERVICE}_{slot}"


def _slot_of(service: FeatureService) -> str:
    return service.feature_view_projections[0].name.removeprefix(f"{SERVICE}_")
