"""The adapter around Feast, offline half: definitions, histories and point-in-time features.

Everything above sees Arrow tables with normalised columns: ids are `string`, single values
`string` or `int64`, multiple ones lists of these, timestamps `timestamp[us, UTC]`, and the
timestamp's column is called `event_timestamp`. Missing is null.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
from feast import FeatureView, FileSource, Project
from feast.data_source import DataSource
from feast.errors import FeastObjectNotFoundException
from feast.repo_operations import extract_objects_for_apply_delete
from feast.types import Bool

from longtail.config import Config
from longtail.errors import InputError, LongtailError
from longtail.features.definitions import load_definitions, open_store
from longtail.features.registry_schema import derive_schema, side_view
from longtail.features.schema import Schema, Side
from longtail.features.validation import (
    ARROW_TYPES,
    Column,
    duplicate_problems,
    feature_column,
    first_of_group,
    null_problems,
    schema_problems,
    weight_problems,
)

log = logging.getLogger("longtail.features")

TIMESTAMP = "event_timestamp"
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
        except (ValueError, FeastObjectNotFoundException) as error:
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
        newest = pc.max(self._all_interactions()[TIMESTAMP]).as_py().date()
        if newest == EPOCH_DAY:
            return datetime.now(UTC).date() - timedelta(days=1)
        return date.fromisoformat(newest.isoformat())

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
        return known.filter(pa.array(first_of_group(known, ["query_id", "item_id"])))

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
        rows = self._pull(view.batch_source, columns)
        table = describe(view.batch_source)
        if side == "item":
            active = rows[ACTIVE] if ACTIVE in rows.column_names else pa.nulls(rows.num_rows)
            active = pc.coalesce(active.cast(pa.bool_()), True)
            rows = rows.drop_columns(ACTIVE) if ACTIVE in rows.column_names else rows
            rows = rows.append_column(ACTIVE, active)
        rows = rows.sort_by([(key, "ascending"), (TIMESTAMP, "ascending")])
        _raise(duplicate_problems(rows, key, TIMESTAMP, table))
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
        chunks = []
        for start in range(0, keys.num_rows, POINT_IN_TIME_CHUNK):
            chunk = keys.select([key, TIMESTAMP]).slice(start, POINT_IN_TIME_CHUNK)
            numbered = chunk.append_column(ROW, pa.array(np.arange(chunk.num_rows)))
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
            values = joined.select([f.name for f in features[1:]]).take(pa.array(order))
            columns = [chunk[key].cast(pa.string()), chunk[TIMESTAMP]]
            chunks.append(
                _normalised(
                    pa.table([*columns, *values.columns], [key, TIMESTAMP, *values.column_names]),
                    [feature_column(feature) for feature in features],
                )
            )
        if chunks:
            return pa.concat_tables(chunks)
        columns_of = [feature_column(feature) for feature in features]
        return pa.schema(
            [
                (key, pa.string()),
                (TIMESTAMP, ARROW_TYPES["timestamp"]),
                *((column.name, ARROW_TYPES[column.form]) for column in columns_of[1:]),
            ]
        ).empty_table()

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
        if WEIGHT in self._column_names(source):
            columns.append(Column(WEIGHT, "number"))
        rows = self._pull(source, columns)
        table = describe(source)
        _raise(null_problems(rows, [schema.query_key, schema.item_key], table))
        if WEIGHT in rows.column_names:
            _raise(weight_problems(rows, WEIGHT, table))
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

    def _column_names(self, source: DataSource) -> Sequence[str]:
        if isinstance(source, FileSource):
            return list(file_schema(source).names)
        return [name for name, _ in source.get_table_column_names_and_types(self.store.config)]

    def _pull(self, source: DataSource, columns: Sequence[Column]) -> pa.Table:
        """All rows of a source, through the offline store, checked and normalised."""
        table = describe(source)
        timestamp = source.timestamp_field
        if not timestamp:
            raise InputError(f"the source of {table} names no `timestamp_field`: name its column")
        wanted = [*columns, Column(timestamp, "timestamp")]
        if isinstance(source, FileSource):
            _raise(schema_problems(file_schema(source), wanted, table))
        rows = self.store.provider.offline_store.pull_all_from_table_or_query(
            config=self.store.config,
            data_source=source,
            join_key_columns=[column.name for column in columns],
            feature_name_columns=[],
            timestamp_field=timestamp,
        ).to_arrow()
        if not rows.num_rows:
            raise InputError(f"{table} is empty: it must have at least one row")
        _raise(null_problems(rows, [columns[0].name, timestamp], table))
        names = [TIMESTAMP if name == timestamp else name for name in rows.column_names]
        return _normalised(rows.rename_columns(names), columns)


def describe(source: DataSource) -> str:
    """A source as an error names it: its file, or its name in Feast."""
    if isinstance(source, FileSource):
        return str(source.path)
    return f"data source `{source.name}`"


def file_schema(source: FileSource) -> pa.Schema:
    """The Arrow schema of a file source.

    Raises:
        InputError: there is no such file, or it is not a Parquet file.
    """
    filesystem, path = FileSource.create_filesystem_and_path(
        str(source.path), source.s3_endpoint_override or ""
    )
    try:
        return pa.dataset.dataset(path, filesystem=filesystem, format="parquet").schema
    except FileNotFoundError as error:
        raise InputError(
            f"{source.path} does not exist: put the table there, or correct the path of source "
            f"`{source.name}` in the feature repository"
        ) from error
    except pa.ArrowInvalid as error:
        raise InputError(f"{source.path} is not a Parquet file: {error}") from error


def before_end_of(rows: pa.Table, as_of: date) -> pa.Table:
    """The rows whose `event_timestamp` is before the day after `as_of`, 00:00 UTC."""
    end = datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC) + timedelta(days=1)
    return rows.filter(pc.less(rows[TIMESTAMP], pa.scalar(end, ARROW_TYPES["timestamp"])))


def latest_rows(history: pa.Table, key: str) -> pa.Table:
    """The last row of each key of a history that is sorted by key, then timestamp."""
    first = first_of_group(history, [key])
    return history.filter(pa.array(np.append(first[1:], True)))


def _normalised(rows: pa.Table, columns: Sequence[Column]) -> pa.Table:
    forms = {column.name: ARROW_TYPES[column.form] for column in columns}
    forms[TIMESTAMP] = ARROW_TYPES["timestamp"]
    return pa.table(
        {
            # Not safe: nanoseconds are cut to microseconds.
            name: rows[name].cast(forms[name], safe=name != TIMESTAMP)
            for name in rows.column_names
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


def _raise(problems: Sequence[str]) -> None:
    if problems:
        raise InputError("; ".join(problems))
