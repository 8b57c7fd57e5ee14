"""The project's Feast repository as a whole: its tables, histories and point-in-time features.

All other code sees Arrow tables with normalised columns: ids are `string`, single categories
`string` or `int64`, several categories lists of these, numbers `float64`, vectors lists of
`float32`, and timestamps `timestamp[us, UTC]` in a column `event_timestamp`. Missing is null.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView, Project
from feast.data_source import DataSource
from feast.errors import FeastError, FeastObjectNotFoundException
from feast.repo_operations import extract_objects_for_apply_delete
from feast.types import Bool

from longtail.config import Config
from longtail.errors import InputError, LongtailError
from longtail.features.dense import dense_findings
from longtail.features.feast.definitions import load_definitions, open_store
from longtail.features.feast.history import (
    ACTIVE,
    WEIGHT,
    known_history,
    known_pairs,
    latest_rows,
)
from longtail.features.feast.history_view import add_history_view
from longtail.features.feast.left_behind import without_those_in_use
from longtail.features.feast.refused_rows import TIMESTAMP, Admitted, admit
from longtail.features.feast.registry_schema import derive_schema, side_view
from longtail.features.feast.sources import (
    column_names,
    describe,
    duckdb_session,
    normalised,
    raise_findings,
    read_source,
)
from longtail.features.feast.store_errors import store_failures
from longtail.features.feast.table_validation import (
    ARROW_TYPES,
    Column,
    feature_column,
    require_within_limit,
)
from longtail.features.finding import TableName
from longtail.features.history_feature import with_history
from longtail.features.schema import Schema, Side

ROW = "longtail_row"
# Keys of one join. Feast takes the keys as a data frame and joins it in memory, so a chunk bounds
# the memory that a join needs.
POINT_IN_TIME_CHUNK = 500_000


class FeatureRepository:
    """The project's Feast repository: the data of its queries, items and interactions."""

    def __init__(self, config: Config) -> None:
        """Open the repository.

        Raises:
            InputError: `feature_store.yaml` is missing or wrong.
        """
        self.config = config
        self.store = open_store(config)
        self._schema: Schema | None = None

    def apply(self) -> None:
        """Bring the registry in line with the definitions, as `feast apply` does.

        Objects that are no longer defined are removed, but for the views of query features that are
        online. The published slot stays, because its definition reads the pointer in `config.home`.
        The view of the queries' histories is added where something reads it (see
        `add_history_view`).

        Raises:
            InputError: a definition cannot be imported or contradicts another.
        """
        contents = load_definitions(self.config)
        add_history_view(contents, self.config)
        if not contents.projects:
            contents.projects.append(Project(name=self.store.project))
        try:
            with store_failures(self.store.config, "registry"):
                to_apply, to_delete, _, _ = extract_objects_for_apply_delete(
                    self.store.project, self.store.registry, contents
                )
                deleted = without_those_in_use(self.config, to_delete)
                self.store.apply(to_apply, deleted, partial=False)
            self._schema = None
        except (FeastError, ValueError) as error:
            raise InputError(
                f"Feast refuses the definitions in {self.config.feature_repo}: {error}"
            ) from error

    def schema(self) -> Schema:
        """Return the model's schema, derived from the two FeatureServices, with the history.

        Raises:
            InputError: see `registry_schema.derive_schema` and `with_history`.
        """
        if self._schema is None:  # kept: Feast parses and checks the definitions at every call
            derived = derive_schema(self.store, self.config.features)
            self._schema = with_history(derived, self.config.history)
        return self._schema

    def admitted(self, table: TableName) -> Admitted:
        """Read one of the three tables whole, and split off the rows that are refused.

        Returns:
            the table. Items and queries have the key, its features and `event_timestamp`, sorted by
            key, then timestamp. Items also have `active` (true where the source has no such column
            or null). Interactions have `query_id`, `item_id` (under these names whatever the keys
            are called), `event_timestamp`, and `weight` if the source has weights.

        Raises:
            InputError: the table is missing, empty, or lacks a column, or a dense feature has a
                value that is not finite or of another length.
        """
        return self.admission(table)()

    def admission(self, table: TableName) -> Callable[[], Admitted]:
        """Read one of the three tables, and return a function that admits its rows.

        Feast reads one table at a time, but the function may run on any thread meanwhile. The
        result and the errors are those of `admitted`.
        """
        source, columns = self.source(table)
        rows = read_source(self.store, source, columns, table)
        # An error, not refused rows: Feast's join reads the source itself, with these rows.
        dense = [column.name for column in columns if column.form in ("decimal", "vector")]
        raise_findings(dense_findings(rows, dense, columns[0].name, table, describe(source)))
        ids = [column.name for column in columns if column.form == "id"]
        if table == "interactions":
            names = dict(zip(ids, ("query_id", "item_id"), strict=True))
            rows = rows.rename_columns([names.get(name, name) for name in rows.column_names])
            ids = list(names.values())
        elif table == "items":
            active = rows[ACTIVE] if ACTIVE in rows.column_names else pa.nulls(rows.num_rows)
            rows = rows.drop_columns(ACTIVE) if ACTIVE in rows.column_names else rows
            rows = rows.append_column(ACTIVE, pc.coalesce(active.cast(pa.bool_()), True))
        return partial(
            admit,
            rows,
            table=table,
            source=describe(source),
            ids=ids,
            now=datetime.now(UTC),
            unique=() if table == "interactions" else (ids[0], TIMESTAMP),
            weight=WEIGHT if table == "interactions" and WEIGHT in rows.column_names else None,
        )

    def source(self, table: TableName) -> tuple[DataSource, list[Column]]:
        """Return the data source of one of the three tables, and the columns to read, ids first.

        Raises:
            InputError: the source is not defined, or its file does not exist.
        """
        schema = self.schema()
        if table == "interactions":
            name = self.config.features.interactions
            try:
                with store_failures(self.store.config, "registry"):
                    source = self.store.get_data_source(name)
            except FeastObjectNotFoundException as error:
                raise InputError(
                    f"data source `{name}` is not defined in the feature repository: define it, or "
                    "correct `features.interactions` in the configuration"
                ) from error
            columns = [Column(schema.query_key, "id"), Column(schema.item_key, "id")]
            if WEIGHT in column_names(self.store, source):
                columns.append(Column(WEIGHT, "number"))
            return source, columns
        side: Side = "item" if table == "items" else "query"
        view = self._view(side)
        columns = [feature_column(feature) for feature in schema.sourced(side)]
        if side == "item" and _has_tombstone(view):
            columns.append(Column(ACTIVE, "boolean"))
        assert view.batch_source is not None
        return view.batch_source, columns

    def within_limit(self, table: TableName) -> Admitted:
        """Return a table as `admitted` does, if not too many of its rows are refused.

        Raises:
            InputError: as `admitted`; or a larger share of the rows is refused than
                `checks.max_refused_share`.
        """
        admitted = self.admitted(table)
        require_within_limit([admitted], self.config.checks)
        return admitted

    def interactions(self, as_of: date) -> pa.Table:
        """Return all interactions up to the end of a day: each pair once, at its earliest moment.

        `features.repeated_weights` decides the weight of a pair with several rows.

        Returns:
            columns `query_id`, `item_id` (always under these names), `event_timestamp`, `weight`
            (float32), sorted by query and item.

        Raises:
            InputError: the table is missing, wrong or empty.
        """
        admitted = self.within_limit("interactions")
        repeated = self.config.features.repeated_weights
        return known_pairs(admitted.rows, as_of, admitted.source, repeated)

    def history(self, side: Side, as_of: date) -> pa.Table:
        """Return all rows of one side up to the end of a day.

        Returns:
            columns: the key, its features, `event_timestamp`, and for items `active` (true where
            the source has no such column or null); sorted by key, then timestamp.

        Raises:
            InputError: the table is missing, wrong or empty.
        """
        admitted = self.within_limit("items" if side == "item" else "queries")
        return known_history(admitted.rows, as_of, admitted.source)

    def latest(self, side: Side, as_of: date) -> pa.Table:
        """Return the newest row of each key up to the end of a day, sorted by key.

        Columns and errors are those of `history`; rows with `active` false are included.
        """
        history = self.history(side, as_of)
        return latest_rows(history, history.column_names[0])

    def time_to_live(self, side: Side) -> timedelta | None:
        """Return the time for which a row of a side holds if no other follows; None: for good."""
        return self._view(side).ttl or None

    def point_in_time(self, side: Side, keys: pa.Table) -> pa.Table:
        """Return all of `point_in_time_chunks` in one table."""
        return pa.concat_tables(self.point_in_time_chunks(side, keys))

    def point_in_time_chunks(self, side: Side, keys: pa.Table) -> Iterator[pa.Table]:
        """Yield the features of each key as they were at its moment, through Feast's own join.

        A row that is valid from exactly that moment on counts.

        Args:
            keys: `[num_rows]` with the columns of the side's key (string) and `event_timestamp`
                (UTC). Pass distinct rows: the cost of the join grows with their number.

        Yields:
            tables of the key, `event_timestamp` and the features, each for the next
            `POINT_IN_TIME_CHUNK` rows of `keys`, in their order. Features are null where the key
            has no row by then. If `keys` is empty, one empty table.

        Raises:
            LongtailError: Feast lost or repeated rows.
        """
        schema = self.schema()
        features = schema.sourced(side)
        key = features[0].name
        columns = [feature_column(feature) for feature in features]
        if not keys.num_rows:
            yield pa.schema(
                [(key, pa.string()), (TIMESTAMP, ARROW_TYPES["timestamp"])]
                + [(column.name, ARROW_TYPES[column.form]) for column in columns[1:]]
            ).empty_table()
        for start in range(0, keys.num_rows, POINT_IN_TIME_CHUNK):
            chunk = keys.select([key, TIMESTAMP]).slice(start, POINT_IN_TIME_CHUNK)
            # Feast returns the rows in any order. Their numbers restore it, and show lost rows.
            numbered = chunk.append_column(ROW, pa.array(np.arange(chunk.num_rows)))
            with duckdb_session(), store_failures(self.store.config, "offline store"):
                service = self.store.get_feature_service(self._service(side))
                joined = self.store.get_historical_features(
                    entity_df=numbered.to_pandas(), features=service
                ).to_arrow()
            order = np.argsort(joined[ROW].to_numpy(), kind="stable")
            if not np.array_equal(joined[ROW].to_numpy()[order], np.arange(chunk.num_rows)):
                raise LongtailError(
                    f"Feast's point-in-time join returned {joined.num_rows} rows for "
                    f"{chunk.num_rows} keys of `{self._service(side)}`: use the duckdb offline "
                    "store (`offline_store: {type: duckdb}` in feature_store.yaml)"
                )
            values = joined.select([feature.name for feature in features[1:]]).combine_chunks()
            values = values.take(pa.array(order))
            del joined  # before the next copy is made: a chunk of vectors takes gigabytes
            values = values.add_column(0, TIMESTAMP, chunk[TIMESTAMP])
            yield normalised(values.add_column(0, key, chunk[key]), columns)

    def _service(self, side: Side) -> str:
        features = self.config.features
        return features.query_service if side == "query" else features.item_service

    def _view(self, side: Side) -> FeatureView:
        return side_view(self.store, self._service(side))


def _has_tombstone(view: FeatureView) -> bool:
    for field in view.features:
        if field.name == ACTIVE:
            if field.dtype != Bool:
                raise InputError(
                    f"feature `{ACTIVE}` of view `{view.name}` is {field.dtype}: the tombstone "
                    "must be Bool, and any other feature needs another name"
                )
            return True
    return False
