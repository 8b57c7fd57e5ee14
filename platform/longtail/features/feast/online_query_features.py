"""The online features of queries: written for all queries, read for those that ask.

A query's history is one of them, in a view that the platform defines (`history_view`).
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pyarrow as pa
from feast import FeatureService, FeatureView, ValueType
from feast.errors import FeatureViewNotFoundException
from feast.online_response import OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values

from longtail.config import Config
from longtail.errors import LongtailError
from longtail.features.feast.embedding_slots import OnlineRow, entity_keys
from longtail.features.feast.history_view import (
    HISTORY_VIEW,
    registered_history_view,
    restore_history_view,
)
from longtail.features.feast.left_behind import views_of_features
from longtail.features.feast.online_connection import (
    OnlineConnection,
    OpenStore,
    required_service,
)
from longtail.features.history_feature import HISTORY
from longtail.features.schema import Feature, arrow_type

_Part = tuple[FeatureView, dict[str, ValueType]]
"""A view, and the types of the features that are read from it, by name."""


class OnlineQueries:
    """The views of `features.online_query_service`, and the histories, in the online store."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._connection = OnlineConnection(config)
        self._service_name = config.features.online_query_service

    def write(self, table: pa.Table) -> None:
        """Write the latest features of queries, and read every row back.

        Args:
            table: `[n]` rows: the query key (string), the service's features, `event_timestamp`;
                `history` where the histories' view is registered.

        Raises:
            LongtailError: a row that was read back differs from what was written.
        """
        for view, rows in self._rows(table):
            self._write(view, rows)
            if (wrong := self._first_difference(view, rows)) is not None:
                raise LongtailError(
                    f"the online store returned other features of {view.name} for "
                    f"{rows[wrong][0].entity_values[0]} than were written: publish them again"
                )

    def _write(self, view: FeatureView, rows: list[OnlineRow]) -> None:
        self._connection.call(
            "online store",
            lambda opened: opened.provider.online_write_batch(
                opened.store.config, view, rows, None
            ),
        )

    def holds(self, table: pa.Table) -> bool:
        """Return whether the store has exactly these rows; see `write`."""
        return all(self._first_difference(view, rows) is None for view, rows in self._rows(table))

    def make_room(self) -> None:
        """Set the store up for the views again, if it was lost since `feast apply`.

        The histories' view is registered again, too: a plain `feast apply` removes it.
        """
        self._connection.call(
            "registry", lambda opened: restore_history_view(opened.store, self._config)
        )

        def set_up(opened: OpenStore) -> None:
            views = [view for view, _ in self._parts(opened)]
            opened.provider.update_infra(opened.store.project, [], views, [], [], partial=True)

        self._connection.call("online store", set_up)

    def views(self) -> dict[str, str]:
        """Return the view of each feature that the service offers."""
        service = self._connection.call(
            "registry", lambda opened: required_service(opened.store, self._service_name)
        )
        return _views(service)

    def _parts(self, opened: OpenStore) -> list[_Part]:
        """Return the views of the service's projections, in their order, then the histories'."""
        service = required_service(opened.store, self._service_name)
        parts = [
            (
                opened.store.get_feature_view(projection.name),
                {feature.name: feature.dtype.to_value_type() for feature in projection.features},
            )
            for projection in service.feature_view_projections
        ]
        view = registered_history_view(opened.store)
        return parts if view is None else [*parts, (view, {HISTORY: ValueType.STRING_LIST})]

    def _rows(self, table: pa.Table) -> Iterator[tuple[FeatureView, list[OnlineRow]]]:
        """Yield the rows of each view, in the form that Feast takes."""
        parts = self._connection.call("registry", self._parts)
        timestamps = table["event_timestamp"].to_pylist()
        for view, types in parts:
            if view.name == HISTORY_VIEW:
                if HISTORY not in table.column_names:
                    continue  # nothing reads histories any more
                # A history changes while the query's features, and their time, stay. Redis keeps a
                # row that is as new as the one to write, so a history is as new as its writing.
                timestamps = [datetime.now(UTC)] * table.num_rows
            keys = entity_keys(view, table[view.join_keys[0]].to_pylist())
            columns = [
                python_values_to_proto_values(table[name].to_pylist(), value_type)
                for name, value_type in types.items()
            ]
            yield (
                view,
                [
                    (key, dict(zip(types, values, strict=True)), moment, None)
                    for key, moment, *values in zip(keys, timestamps, *columns, strict=True)
                ],
            )

    def _first_difference(self, view: FeatureView, rows: list[OnlineRow]) -> int | None:
        keys, names = [key for key, *_ in rows], tuple(rows[0][1]) if rows else ()
        # Feast's store for Redis adds names of its own to the list that it is given.
        found = self._connection.call(
            "online store",
            lambda opened: opened.provider.online_read(
                opened.store.config, view, keys, list(names)
            ),
        )
        return next(
            (
                position
                for position, ((_, returned), (_, written, _, _)) in enumerate(
                    zip(found, rows, strict=True)
                )
                # SQLite returns the features that were taken out of the view, too.
                if returned is None or {name: returned.get(name) for name in names} != written
            ),
            None,
        )

    def read(self, queries: Sequence[str], features: Sequence[Feature]) -> pa.Table:
        """Return the online features of queries, in the order of the queries.

        A feature that the service does not offer any more is read from its view. Its values are
        those that were published last.

        Args:
            queries: `[n]` query keys.
            features: the query features of a version's schema, with its key.

        Returns:
            `[n]` rows, one column per feature.

        Raises:
            LongtailError: a query is unknown, or a feature is not served online.
        """
        columns = self._service_columns(queries, [f for f in features if not f.is_history])
        if any(feature.is_history for feature in features):
            columns[HISTORY] = self._histories(queries)
        return pa.table(
            {
                feature.name: pa.array(columns[feature.name], arrow_type(feature))
                for feature in features
            }
        )

    def _service_columns(
        self, queries: Sequence[str], features: Sequence[Feature]
    ) -> dict[str, list[Any]]:
        """Return the columns of the service, after checking that each query has a row."""

        def ask(opened: OpenStore) -> tuple[FeatureService, str, OnlineResponse]:
            service = required_service(opened.store, self._service_name)
            view = opened.store.get_feature_view(
                service.feature_view_projections[0].name, allow_registry_cache=True
            )
            key = view.join_keys[0]
            with opened.one_read:
                found = opened.store.get_online_features(
                    features=service, entity_rows={key: list(queries)}
                )
            return service, key, found

        service, join_key, response = self._connection.call("online store", ask)
        columns: dict[str, list[Any]] = response.to_dict()
        left = self._left_behind(service, queries, features)
        columns |= left
        missing = [feature.name for feature in features if feature.name not in columns]
        if missing:
            raise LongtailError(
                f"the served version reads {', '.join(missing)}, which the Feast service "
                f"{service.name} does not offer: restore these features, or train a new version"
            )
        # The dictionary has None for a missing value and for a missing row; the statuses tell.
        names = response.proto.metadata.feature_names.val
        statuses = [
            result.statuses
            for name, result in zip(names, response.proto.results, strict=True)
            if name != join_key
        ]
        for row, query in enumerate(queries):
            is_known = any(status[row] != FieldStatus.NOT_FOUND for status in statuses)
            if not is_known and all(values[row] is None for values in left.values()):
                raise LongtailError(
                    f"query {query!r} has no online features: check its id; a new query gets them "
                    "with the next `longtail run`"
                )
        return columns

    def _histories(self, queries: Sequence[str]) -> list[list[str]]:
        """Return the published history of each query, the newest item first.

        Raises:
            LongtailError: there is no such view, or it has no row of a query.
        """

        def ask(opened: OpenStore) -> OnlineResponse | None:
            view = registered_history_view(opened.store, cached=True)
            if view is None:
                # The registry that was read may be older than the view.
                opened.store.refresh_registry()
                view = registered_history_view(opened.store, cached=True)
            if view is None:
                return None
            with opened.one_read:
                return opened.store.get_online_features(
                    features=[f"{HISTORY_VIEW}:{HISTORY}"],
                    entity_rows={view.join_keys[0]: list(queries)},
                )

        response = self._connection.call("online store", ask)
        if response is None:
            raise LongtailError(
                f"the served version reads histories, and the Feast view {HISTORY_VIEW} is not "
                "applied, as after a `feast apply`: run `longtail publish`, which writes it again"
            )
        names = list(response.proto.metadata.feature_names.val)
        result = response.proto.results[names.index(HISTORY)]
        missing = [
            query
            for query, status in zip(queries, result.statuses, strict=True)
            if status == FieldStatus.NOT_FOUND
        ]
        if missing:
            raise LongtailError(
                f"query {missing[0]!r} has features online but no history: run `longtail publish`, "
                "which writes the histories"
            )
        return [list(value.string_list_val.val) for value in result.values]

    def _left_behind(
        self, service: FeatureService, queries: Sequence[str], features: Sequence[Feature]
    ) -> dict[str, list[Any]]:
        """Return the values of features that the service lacks, or has in another view by now."""
        offered = _views(service)
        recorded = views_of_features(self._config)
        names = [feature.name for feature in features if not feature.is_id]
        found = {}
        for name in names:
            if name in offered and recorded.get(name, offered[name]) == offered[name]:
                continue
            read = partial(
                _read_left_behind,
                queries=queries,
                name=name,
                recorded=recorded.get(name),
                views=sorted(set(offered.values())),
            )
            values = self._connection.call("online store", read)
            if values is not None:
                found[name] = values
        return found


def _views(service: FeatureService) -> dict[str, str]:
    """Return the view of each feature that a service offers."""
    return {
        feature.name: projection.name
        for projection in service.feature_view_projections
        for feature in projection.features
    }


def _read_left_behind(
    opened: OpenStore,
    *,
    queries: Sequence[str],
    name: str,
    recorded: str | None,
    views: Sequence[str],
) -> list[Any] | None:
    """Return the values of a feature that the service does not offer; None if no view has it.

    Args:
        opened: the open store.
        queries: `[n]` query keys.
        name: the feature.
        recorded: the view that holds it, as the last publication recorded it. A record of an
            earlier release has none.
        views: the views to look in, if there is no such record.

    Returns:
        `[n]` values, None where a query has none.
    """
    for each in views if recorded is None else [recorded]:
        try:
            view = opened.store.get_feature_view(each, allow_registry_cache=True)
        except FeatureViewNotFoundException:
            continue
        keys = entity_keys(view, list(queries))
        with opened.one_read:
            rows = opened.provider.online_read(opened.store.config, view, keys, [name])
        values = [(row or {}).get(name) for _, row in rows]
        if recorded is not None or any(value is not None for value in values):
            return [value and feast_value_type_to_python_type(value) for value in values]
    return None
