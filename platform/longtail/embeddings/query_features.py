"""The online features of all queries, which a served query tower reads."""

import logging
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from longtail.artifacts import RunPaths, read_json, write_json
from longtail.config import Config
from longtail.embeddings.pointer import timestamp
from longtail.features.record_batches import record_batches
from longtail.fingerprints import required_stamp

log = logging.getLogger("longtail.embeddings")


def publish_query_features(config: Config, as_of: date) -> dict[str, Any]:
    """Write the latest features of all queries into the online store, and read them back.

    Rows are replaced in place. What is there already is not written again, unless the store lost
    it, and never replaced by that of an earlier day.

    Returns:
        `{"published", "as_of", "num_queries"}` of what is online, and `reason` where nothing had
        to be written.

    Raises:
        LongtailError: the day has no catalogue, or the store returned something else.
    """
    from longtail.features.feast.online_queries import OnlineQueries

    catalogue = RunPaths(config, as_of).catalogue_files
    fingerprint = required_stamp(catalogue.folder, made_by="dataset")["fingerprint"]
    record, file = config.home / "online_queries.json", catalogue.queries
    online = read_json(record) if record.is_file() else None
    reason = None
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
    write_json(record, {**entry, "complete": False})
    queries, written = OnlineQueries(config), 0
    queries.make_room()
    for batch in record_batches(file, config.publication.batch_rows):
        queries.write(pa.Table.from_batches([batch]))
        if 10 * (written + len(batch)) // num_queries > 10 * written // num_queries:
            log.info("query features: wrote %d of %d", written + len(batch), num_queries)
        written += len(batch)
    write_json(record, {**entry, "complete": True, "published_at": timestamp()})
    return {"published": True, "as_of": as_of.isoformat(), "num_queries": num_queries}


def _still_there(config: Config, file: Path) -> bool:
    """Whether the store has the first rows; one that was lost or emptied has none."""
    from longtail.features.feast.online_queries import OnlineQueries

    queries = OnlineQueries(config)
    queries.make_room()
    batches = record_batches(file, config.publication.batch_rows)
    return all(queries.holds(pa.Table.from_batches([batch])) for batch in islice(batches, 1))
