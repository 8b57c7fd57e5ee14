"""The online features of queries: written for all queries, read for those that ask."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
from feast import FeatureService, FeatureView
from feast.online_response import OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.type_map import python_values_to_proto_values

from longtail.config import Config
from longtail.errors import LongtailError
from longtail.features.feast.embedding_slots import OnlineRow, entity_keys
from longtail.features.feast.online_connection import (
    OnlineConnection,
    OpenStore,
    required_service,
)
from longtail.features.schema import Feature, arrow_type


class OnlineQueries:
    """The views of `features.online_query_service` in the online store."""

    def __init__(self, config: Config) -> None:
        self._connection = OnlineConnection(config)
        self._service_name = config.features.online_query_service

    def write(self, table: pa.Table) -> None:
        """Write the latest features of queries, and read every row back.

        Args:
            table: `[n]` rows: the query key (string), the service's features, `event_timestamp`.

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
        """Set the store up for the views again, if it was lost since `feast apply`."""

        def set_up(opened: OpenStore) -> None:
            _, views = self._service(opened)
            opened.provider.update_infra(opened.store.project, [], views, [], [], partial=True)

        self._connection.call("online store", set_up)

    def _service(self, opened: OpenStore) -> tuple[FeatureService, list[FeatureView]]:
        """Return the service and the view of each of its projections, in their order."""
        service = required_service(opened.store, self._service_name)
        names = [projection.name for projection in service.feature_view_projections]
        return service, [opened.store.get_feature_view(name) for name in names]

    def _rows(self, table: pa.Table) -> Iterator[tuple[FeatureView, list[OnlineRow]]]:
        """Yield the rows of each of the service's views, in the form that Feast takes."""
        service, views = self._connection.call("registry", self._service)
        timestamps = table["event_timestamp"].to_pylist()
        for view, projection in zip(views, service.feature_view_projections, strict=True):
            names = [feature.name for feature in projection.features]
            keys = entity_keys(view, table[view.join_keys[0]].to_pylist())
            columns = [
                python_values_to_proto_values(
                    table[feature.name].to_pylist(), feature.dtype.to_value_type()
                )
                for feature in projection.features
            ]
            yield (
                view,
                [
                    (key, dict(zip(names, values, strict=True)), moment, None)
                    for key, moment, *values in zip(keys, timestamps, *columns, strict=True)
                ],
            )

    def _first_difference(self, view: FeatureView, rows: list[OnlineRow]) -> int | None:
        keys, names = [key for key, *_ in rows], list(rows[0][1]) if rows else []
        found = self._connection.call(
            "online store",
            lambda opened: opened.provider.online_read(opened.store.config, view, keys, names),
        )
        return next(
            (
                position
                for position, ((_, returned), (_, written, _, _)) in enumerate(
                    zip(found, rows, strict=True)
                )
                if returned != written
            ),
            None,
        )

    def read(self, queries: Sequence[str], features: Sequence[Feature]) -> pa.Table:
        """Return the online features of queries, in the order of the queries.

        Args:
            queries: `[n]` query keys.
            features: the query features of a version's schema, with its key.

        Returns:
            `[n]` rows, one column per feature.

        Raises:
            LongtailError: a query is unknown, or a feature is not served online.
        """

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
        columns = response.to_dict()
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
            if all(status[row] == FieldStatus.NOT_FOUND for status in statuses):
                raise LongtailError(
                    f"query {query!r} has no online features: check its id; a new query gets them "
                    "with the next `longtail run`"
                )
        return pa.table(
            {
                feature.name: pa.array(columns[feature.name], arrow_type(feature))
                for feature in features
            }
        )
