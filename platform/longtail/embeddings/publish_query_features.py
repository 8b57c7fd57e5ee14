"""Publication of the features of all queries, which a served query tower reads online."""

import logging
from datetime import date
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from longtail.artifacts import RunPaths, read_json, write_json
from longtail.config import Config
from longtail.embeddings.published_pointer import timestamp
from longtail.embeddings.results import QueryFeaturesResult
from longtail.embeddings.write_progress import passes_tenth
from longtail.features.record_batches import record_batches
from longtail.fingerprints import required_stamp

log = logging.getLogger("longtail.embeddings")


def publish_query_features(config: Config, as_of: date) -> QueryFeaturesResult:
    """Write the latest features of all queries into the online store, and read them back.

    Rows are replaced in place. Features that are online already are not written again, unless the
    store lost them. Features of an earlier day never replace those of a later one.

    Returns:
        `{"published", "as_of", "num_queries"}` of the features that are online, and `reason` if
        nothing had to be written.

    Raises:
        LongtailError: the day has no catalogue, or the store returned other features than were
            written.
    """
    from longtail.features.feast.online_query_features import OnlineQueries

    catalogue = RunPaths(config, as_of).catalogue_files
    fingerprint = required_stamp(catalogue.folder, made_by="dataset")["fingerprint"]
    record, file = config.home / "online_queries.json", catalogue.queries
    online = read_json(record) if record.is_file() else None
    reason = None
    # The record of the last publication says what is online, and whether it was finished.
    if online is not None:
        if as_of.isoformat() < online["as_of"]:
            reason = f"query features of {online['as_of']} are online, newer than {as_of}"
        elif (
            online["complete"]
            and online["fingerprint"] == fingerprint
            and _still_there(config, file)
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
    entry = {"as_of": as_of.isoformat(), "fingerprint": fingerprint, "num_queries": num_queries}
    # Marked incomplete first: after a crash the next publication writes everything again.
    write_json(record, {**entry, "complete": False})
    queries, written = OnlineQueries(config), 0
    queries.make_room()
    for batch in record_batches(file, config.publication.batch_rows):
        queries.write(pa.Table.from_batches([batch]))
        if passes_tenth(written, written + len(batch), num_queries):
            log.info("query features: wrote %d of %d", written + len(batch), num_queries)
        written += len(batch)
    write_json(record, {**entry, "complete": True, "published_at": timestamp()})
    return {"published": True, "as_of": as_of.isoformat(), "num_queries": num_queries}


def _still_there(config: Config, file: Path) -> bool:
    """Return whether the store has the first rows; a lost or emptied store has none."""
    from longtail.features.feast.online_query_features import OnlineQueries

    queries = OnlineQueries(config)
    queries.make_room()
    batches = record_batches(file, config.publication.batch_rows)
    return all(queries.holds(pa.Table.from_batches([batch])) for batch in islice(batches, 1))
