"""The adapter around Feast, offline half: definitions, histories and point-in-time features.

Everything above sees Arrow tables with normalised columns: ids are `string`, single values
`string` or `int64`, multiple ones lists of these, timestamps `timestamp[us, UTC]`, and the
timestamp's column is called `event_timestamp`. Missing is null.
"""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView, Project
from feast.errors import FeastError, FeastObjectNotFoundException
from feast.repo_operations import extract_objects_for_apply_delete
from feast.types import Bool

from longtail.config import Config
from longtail.errors import InputError, LongtailError
from longtail.features.definitions import load_definitions, open_store
from longtail.features.history import before_end_of, first_of_group, latest_rows
from longtail.features.registry_schema import derive_schema, side_view
from longtail.features.schema import Schema, Side
from longtail.features.sources import (
    TIMESTAMP,
    column_names,
    describe,
    duckdb_session,
    normalised,
    raise_problems,
    read_source,
)
from longtail.features.validation import (
    ARROW_TYPES,
    Column,
    duplicate_problems,
    feature_column,
    weight_problems,
)

ACTIVE = "active"
WEIGHT = "weight"
ROW = "longtail_row"
# Feast takes the keys as one data frame, and joins it in memory.
POINT_IN_TIME_CHUNK = 500_000
EPOCH_DAY = date(1970, 1, 1)


class FeatureRepository:
    """What the project's Feast repository says about queries, items and interactions."""

    def __init__(self, config: Config) -> None:
        """Open the repository.

        Raises:
            InputError: its `feature_store.yaml` is missing or wrong.
        """
        self.config = config
        self.store = open_store(config)

    def apply(self) -> None:
        """Bring the registry in line with the definitions, as `feast apply` does.

        Objects that are no longer defined are removed. The published slot stays: its definition
        reads the pointer in `config.home`.

        Raises:
            InputError: a definition cannot be imported or contradicts another.
        """
        contents = load_definitions(self.config)
        if not contents.projects:
            contents.projects.append(Project(name=self.store.project))
        try:
            to_apply, to_delete, _, _ = extract_objects_for_apply_delete(
                self.store.project, self.store.registry, contents
            )
            self.store.apply(to_apply, to_delete, partial=False)
        except (FeastError, ValueError) as error:
            raise InputError(
                f"Feast refuses the definitions in {self.config.feature_repo}: {error}"
            ) from error

    def schema(self) -> Schema:
        """The model's schema, from the two FeatureServices.

        Raises:
            InputError: see `registry_schema.derive_schema`.
        """
        return derive_schema(self.store, self.config.features)

    def resolve_as_of(self, as_of: date | None) -> date:
        """The day to refresh for: `as_of`, or else the day of the newest interaction.

        Where every interaction has the timestamp 1970-01-01, which stands for tables without
        timestamps, it is the last complete UTC day.

        Raises:
            InputError: the interactions cannot be read.
        """
        if as_of is not None:
            return as_of
        newest: date = pc.max(self._all_interactions()[TIMESTAMP]).as_py().date()
        return datetime.now(UTC).date() - timedelta(days=1) if newest == EPOCH_DAY else newest

    def interactions(self, as_of: date) -> pa.Table:
        """All interactions up to the end of a day, each pair once, at its earliest.

        Returns:
            columns `query_id`, `item_id` (always named so), `event_timestamp`, `weight` float32;
            sorted by query and item.

        Raises:
            InputError: the table is missing, wrong or empty.
        """
        rows = self._all_interactions()
        known = before_end_of(rows, as_of)
        if not known.num_rows:
            raise InputError(
                f"no interaction is older than the end of {as_of} (UTC); the oldest is of "
                f"{pc.min(rows[TIMESTAMP]).as_py().isoformat()}: choose a later --as-of"
            )
        known = known.sort_by(
            [
                ("query_id", "ascending"),
                ("item_id", "ascending"),
                (TIMESTAMP, "ascending"),
                (WEIGHT, "descending"),
            ]
        )
        return known.filter(first_of_group(known, ["query_id", "item_id"]))

    def history(self, side: Side, as_of: date) -> pa.Table:
        """All rows of one side up to the end of a day.

        Returns:
            columns: the key, its features, `event_timestamp`, and for items `active` (true where
            the source has none or null); sorted by key, then timestamp.

        Raises:
            InputError: the table is missing, wrong or empty.
        """
        schema = self.schema()
        view = self._view(side)
        key, features = schema.side(side)[0].name, schema.side(side)
        columns = [feature_column(feature) for feature in features]
        if side == "item" and _has_tombstone(view):
            columns.append(Column(ACTIVE, "boolean"))
        assert view.batch_source is not None
        rows = read_source(self.store, view.batch_source, columns)
        table = describe(view.batch_source)
        if side == "item":
            active = rows[ACTIVE] if ACTIVE in rows.column_names else pa.nulls(rows.num_rows)
            active = pc.coalesce(active.cast(pa.bool_()), True)
            rows = rows.drop_columns(ACTIVE) if ACTIVE in rows.column_names else rows
            rows = rows.append_column(ACTIVE, active)
        rows = rows.sort_by([(key, "ascending"), (TIMESTAMP, "ascending")])
        raise_problems(duplicate_problems(rows, key, TIMESTAMP, table))
        known = before_end_of(rows, as_of)
        if not known.num_rows:
            raise InputError(
                f"{table} has no row that is older than the end of {as_of} (UTC): choose a later "
                "--as-of, or correct its timestamps"
            )
        return known

    def latest(self, side: Side, as_of: date) -> pa.Table:
        """The newest row of each key up to the end of a day, sorted by key.

        Same columns and errors as `history`; rows with `active` false are still there.
        """
        history = self.history(side, as_of)
        return latest_rows(history, history.column_names[0])

    def point_in_time(self, side: Side, keys: pa.Table) -> pa.Table:
        """The features of each key as they were at its moment, through Feast's own join.

        A row that is valid from exactly that moment on counts.

        Args:
            keys: columns: the side's key (string) and `event_timestamp` (UTC), [num_rows]. Pass
                distinct rows: the join costs by row.

        Returns:
            the key, `event_timestamp` and the features, [num_rows], in the order of `keys`;
            features are null where the key has no row by then.

        Raises:
            LongtailError: Feast lost or repeated rows.
        """
        schema = self.schema()
        features = schema.side(side)
        key = features[0].name
        service = self.store.get_feature_service(self._service(side))
        columns = [feature_column(feature) for feature in features]
        chunks = [
            pa.schema(
                [(key, pa.string()), (TIMESTAMP, ARROW_TYPES["timestamp"])]
                + [(column.name, ARROW_TYPES[column.form]) for column in columns[1:]]
            ).empty_table()
        ]
        for start in range(0, keys.num_rows, POINT_IN_TIME_CHUNK):
            chunk = keys.select([key, TIMESTAMP]).slice(start, POINT_IN_TIME_CHUNK)
            numbered = chunk.append_column(ROW, pa.array(np.arange(chunk.num_rows)))
            with duckdb_session():
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
            values = joined.select([feature.name for feature in features[1:]]).take(pa.array(order))
            values = values.add_column(0, TIMESTAMP, chunk[TIMESTAMP])
            chunks.append(normalised(values.add_column(0, key, chunk[key]), columns))
        return pa.concat_tables(chunks)

    def _service(self, side: Side) -> str:
        features = self.config.features
        return features.query_service if side == "query" else features.item_service

    def _view(self, side: Side) -> FeatureView:
        return side_view(self.store, self._service(side))

    def _all_interactions(self) -> pa.Table:
        schema = self.schema()
        name = self.config.features.interactions
        try:
            source = self.store.get_data_source(name)
        except FeastObjectNotFoundException as error:
            raise InputError(
                f"data source `{name}` is not defined in the feature repository: define it, or "
                "correct `features.interactions` in the configuration"
            ) from error
        columns = [Column(schema.query_key, "id"), Column(schema.item_key, "id")]
        if WEIGHT in column_names(self.store, source):
            columns.append(Column(WEIGHT, "number"))
        rows = read_source(self.store, source, columns)
        if WEIGHT in rows.column_names:
            raise_problems(weight_problems(rows, WEIGHT, describe(source)))
            weight = pc.fill_null(rows[WEIGHT], 1.0)
        else:
            weight = pa.array(np.ones(rows.num_rows, dtype=np.float32))
        return pa.table(
            {
                "query_id": rows[schema.query_key],
                "item_id": rows[schema.item_key],
                TIMESTAMP: rows[TIMESTAMP],
                WEIGHT: weight,
            }
        )


def _has_tombstone(view: FeatureView) -> bool:
    for field in view.features:
        if field.name == ACTIVE:
            if field.dtype != Bool:
                raise InputError(
                    f"feature `{ACTIVE}` of view `{view.name}` is {field.dtype}: the tombstone "
                    "must be Bool; give another feature another name"
                )
            return True
    return False
