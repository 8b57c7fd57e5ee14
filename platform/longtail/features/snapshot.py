"""The catalogue of a day: items, queries, their histories and interactions, as Feast has them."""

import logging
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from longtail.artifacts import STAMP, RunPaths, file_hash, fingerprint, replaced_folder, write_json
from longtail.config import Config
from longtail.features.admission import TIMESTAMP, write_quarantine
from longtail.features.checks.finding import TABLES
from longtail.features.history import (
    ACTIVE,
    first_of_group,
    known_history,
    known_pairs,
    latest_rows,
)
from longtail.features.store import FeatureRepository
from longtail.features.validation import require_within_limit

log = logging.getLogger("longtail.features")

FIRST_SEEN = "first_seen"


def build_catalogue(config: Config, as_of: date) -> dict[str, Any]:
    """Write `runs/<as_of>/catalogue`: everything later stages read of the data of that day.

    Items that are not active by then are in `item_history.parquet` only. The definitions are
    applied to the registry first. Refused rows go to `runs/<as_of>/quarantine`.

    Returns:
        the stamp: `fingerprint` of the contents, `as_of`, `num_items`, `num_queries`,
        `num_interactions`.

    Raises:
        InputError: definitions or tables are wrong; nothing is written but the quarantine.
    """
    repository = FeatureRepository(config)
    repository.apply()
    schema = repository.schema()
    admitted = {table: repository.admitted(table) for table in TABLES}
    write_quarantine(config, as_of, admitted)
    require_within_limit(admitted.values(), config.checks)
    rows = {name: (table.rows, as_of, table.source) for name, table in admitted.items()}
    interactions = known_pairs(*rows["interactions"])
    item_history = known_history(*rows["items"])
    query_history = known_history(*rows["queries"])
    log.info(
        "read %d interactions, %d item rows and %d query rows up to %s",
        *(interactions.num_rows, item_history.num_rows, query_history.num_rows, as_of),
    )
    items = current_items(item_history, schema.item_key)
    queries = latest_rows(query_history, schema.query_key)
    tables = {
        "items": items,
        "queries": queries,
        "item_history": item_history,
        "query_history": query_history,
        "interactions": interactions,
    }
    folder = RunPaths(config, as_of).catalogue
    with replaced_folder(folder) as temporary:
        write_json(temporary / "schema.json", schema.to_json())
        for name, table in tables.items():
            pq.write_table(table, temporary / f"{name}.parquet", compression="zstd")
        stamp = {
            "fingerprint": _fingerprint(temporary),
            "as_of": as_of.isoformat(),
            "num_items": items.num_rows,
            "num_queries": queries.num_rows,
            "num_interactions": interactions.num_rows,
        }
        write_json(temporary / STAMP, stamp)
    log.info(
        "catalogue of %s: %d items, %d queries, %d interactions",
        *(as_of, items.num_rows, queries.num_rows, interactions.num_rows),
    )
    return stamp


def current_items(history: pa.Table, key: str) -> pa.Table:
    """The latest row of every item that is still active, with `first_seen`, its first timestamp.

    Args:
        history: item rows sorted by key, then timestamp, with the column `active`.
    """
    first = history.filter(first_of_group(history, [key]))[TIMESTAMP]
    latest = latest_rows(history, key).append_column(FIRST_SEEN, first)
    return latest.filter(latest[ACTIVE]).drop_columns(ACTIVE)


def _fingerprint(folder: Path) -> str:
    return fingerprint({file.name: file_hash(file) for file in sorted(folder.iterdir())})
