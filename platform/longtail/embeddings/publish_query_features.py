"""Publication of the features of all queries, which a served query tower reads online."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

from longtail.artifacts import (
    STAMP,
    CatalogueFiles,
    RunPaths,
    VersionPaths,
    read_json,
    replaced_file,
    write_json,
)
from longtail.config import Config
from longtail.embeddings.published_pointer import timestamp
from longtail.embeddings.results import QueryFeaturesResult
from longtail.embeddings.versions import list_versions
from longtail.embeddings.write_progress import passes_tenth
from longtail.features.history_feature import HISTORY
from longtail.features.query_history import HISTORY_TYPE, query_histories
from longtail.features.record_batches import record_batches
from longtail.features.schema import Schema
from longtail.fingerprints import fingerprint, required_stamp

log = logging.getLogger("longtail.embeddings")


def publish_query_features(config: Config, as_of: date) -> QueryFeaturesResult:
    """Write the latest features of all queries into the online store, and read them back.

    Their histories are among them, where the configuration or a version on disk has histories;
    these are written to the source of their view, too.

    Rows are replaced in place. Features that are online already are not written again, unless the
    store lost them. Features of an earlier day never replace those of a later one.

    Returns:
        `{"published", "as_of", "num_queries"}` of the features that are online, and `reason` if
        nothing had to be written.

    Raises:
        LongtailError: the day has no catalogue, or the store returned other features than were
            written.
    """
    # Imported late, because they import Feast, which takes seconds.
    from longtail.features.feast.history_view import stored_length
    from longtail.features.feast.online_query_features import OnlineQueries

    catalogue = RunPaths(config, as_of).catalogue_files
    stamp = required_stamp(catalogue.folder, made_by="dataset")
    length = stored_length(config)
    identity = fingerprint(stamp["fingerprint"], length) if length else stamp["fingerprint"]
    record, file = config.home / "online_queries.json", catalogue.queries
    online = read_json(record) if record.is_file() else None
    reason = None
    # The record of the last publication says what is online, and whether it was finished.
    if online is not None:
        if as_of.isoformat() < online["as_of"]:
            reason = f"query features of {online['as_of']} are online, newer than {as_of}"
        elif (
            online["complete"]
            and online["fingerprint"] == identity
            and _still_there(config, catalogue, length)
        ):
            reason = f"the query features of {as_of} are online already"
    if online is not None and reason is not None:
        log.info("nothing published: %s", reason)
        return {
            "published": False,
            "reason": reason,
            "as_of": online["as_of"],
            "num_queries": online["num_queries"],
        }
    num_queries = pq.read_metadata(file).num_rows
    entry = {"as_of": as_of.isoformat(), "fingerprint": identity, "num_queries": num_queries}
    queries, written = OnlineQueries(config), 0
    # Marked incomplete first: after a crash the next publication writes everything again. Until it
    # is complete, readers go to the views that hold the rows now.
    before = _still_read(config)
    write_json(record, {**entry, "complete": False, "views": {**queries.views(), **before}})
    queries.make_room()
    with _source_writer(config, catalogue, length) as keep:
        for rows in _rows(catalogue, config.publication.batch_rows, length):
            keep(rows)
            queries.write(rows)
            if passes_tenth(written, written + len(rows), num_queries):
                log.info("query features: wrote %d of %d", written + len(rows), num_queries)
            written += len(rows)
    views = {**before, **queries.views()}
    write_json(record, {**entry, "complete": True, "views": views, "published_at": timestamp()})
    return {"published": True, "as_of": as_of.isoformat(), "num_queries": num_queries}


def _rows(files: CatalogueFiles, batch_rows: int, length: int) -> Iterator[pa.Table]:
    """Yield the queries of a catalogue, batch by batch, with histories of up to `length` items.

    The catalogue has the histories if the configuration asked for them when it was made. If only a
    version still reads them, or a longer one than is configured, they are derived here.
    """
    derived, start = None, 0
    if length and read_json(files.folder / STAMP).get("history_length", 0) != length:
        schema = Schema.from_json(read_json(files.schema))
        derived = query_histories(
            pq.read_table(files.queries, columns=[schema.query_key])[schema.query_key],
            pq.read_table(files.interactions),
            pq.read_table(files.item_history, columns=[schema.item_key])[schema.item_key],
            length=length,
        )
    for batch in record_batches(files.queries, batch_rows):
        rows = pa.Table.from_batches([batch])
        if derived is not None:
            rows = rows.drop_columns([HISTORY] if HISTORY in rows.column_names else [])
            rows = rows.append_column(HISTORY, derived.slice(start, len(rows)))
        start += len(rows)
        yield rows


@contextmanager
def _source_writer(
    config: Config, files: CatalogueFiles, length: int
) -> Iterator[Callable[[pa.Table], None]]:
    """Give a function that writes the histories of some queries into the source of their view."""
    from longtail.features.feast.history_view import histories_file

    if not length:
        yield lambda rows: None
        return
    key = Schema.from_json(read_json(files.schema)).query_key
    moment = pa.scalar(datetime.now(UTC), pa.timestamp("us", "UTC"))
    fields = [(key, pa.string()), (HISTORY, HISTORY_TYPE), ("event_timestamp", moment.type)]
    with (
        replaced_file(histories_file(config)) as temporary,
        pq.ParquetWriter(temporary, pa.schema(fields), compression="zstd") as writer,
    ):

        def keep(rows: pa.Table) -> None:
            moments = pa.repeat(moment, len(rows))
            columns = [rows[key], rows[HISTORY], moments]
            writer.write_table(pa.table(columns, names=[name for name, _ in fields]))

        yield keep


def _still_read(config: Config) -> dict[str, str]:
    """Return the recorded features that a version on disk reads, each with the view that has it."""
    from longtail.features.feast.left_behind import views_of_features

    schemas = [VersionPaths(config, each["version"]).schema for each in list_versions(config)]
    read = {
        feature.name
        for schema in schemas
        if schema.is_file()
        for feature in Schema.from_json(read_json(schema)).query
    }
    return {name: view for name, view in views_of_features(config).items() if name in read}


def _still_there(config: Config, files: CatalogueFiles, length: int) -> bool:
    """Return whether the store has the first rows; a lost or emptied store has none."""
    from longtail.features.feast.online_query_features import OnlineQueries

    queries = OnlineQueries(config)
    queries.make_room()
    batches = _rows(files, config.publication.batch_rows, length)
    return all(queries.holds(rows) for rows in islice(batches, 1))
