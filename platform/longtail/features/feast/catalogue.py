"""Writes the catalogue of a day: items, queries, their histories, and interactions, from Feast."""

import logging
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from longtail.artifacts import STAMP, CatalogueFiles, RunPaths, replaced_folder, write_json
from longtail.config import Config
from longtail.features.feast.history import ACTIVE, first_of_group, known_rows, latest_rows
from longtail.features.feast.refused_rows import TIMESTAMP, Admitted, write_quarantine
from longtail.features.feast.repository import FeatureRepository
from longtail.features.feast.table_validation import require_within_limit
from longtail.features.finding import TABLES, TableName
from longtail.features.history_feature import HISTORY
from longtail.features.query_history import query_histories
from longtail.fingerprints import file_hash, fingerprint

log = logging.getLogger("longtail.features")

FIRST_SEEN = "first_seen"


def build_catalogue(config: Config, as_of: date) -> dict[str, Any]:
    """Write `runs/<as_of>/catalogue`: all the data of the day that later stages read.

    The definitions are applied to the registry first. Items that are no longer active on the day
    are in `item_history.parquet` only. Refused rows go to `runs/<as_of>/quarantine`. If
    `history.length` is set, `queries.parquet` has the column `history` (see `query_histories`),
    which only serving reads.

    Returns:
        the stamp: `fingerprint` of the contents, `as_of`, `newest_row` (the newest timestamp of
        the three tables), `num_items`, `num_queries`, `num_interactions`, and with histories
        `history_length`.

    Raises:
        InputError: definitions or tables are wrong; only the quarantine is written.
    """
    repository = FeatureRepository(config)
    repository.apply()
    schema = repository.schema()
    admitted, known = _read_tables(repository, as_of)
    # Written before too many refused rows end the run, so that the owner can look at them.
    write_quarantine(config, as_of, admitted)
    require_within_limit(admitted.values(), config.checks)
    interactions = known["interactions"]()
    item_history, query_history = known["items"](), known["queries"]()
    log.info(
        "read %d interactions, %d item rows and %d query rows up to %s",
        interactions.num_rows,
        item_history.num_rows,
        query_history.num_rows,
        as_of,
    )
    items = current_items(item_history, schema.item_key)
    queries = latest_rows(query_history, schema.query_key)
    length = config.history.length
    if length:
        histories = query_histories(
            queries[schema.query_key], interactions, item_history[schema.item_key], length=length
        )
        queries = queries.append_column(HISTORY, histories)
    folder = RunPaths(config, as_of).catalogue
    with replaced_folder(folder) as temporary:
        files = CatalogueFiles(temporary)
        write_json(files.schema, schema.to_json())
        tables = {
            files.items: items,
            files.queries: queries,
            files.item_history: item_history,
            files.query_history: query_history,
            files.interactions: interactions,
        }
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            written = pool.map(partial(pq.write_table, compression="zstd"), tables.values(), tables)
        list(written)  # raises the error of a write that failed
        stamp = {
            "fingerprint": _fingerprint(temporary),
            "as_of": as_of.isoformat(),
            "newest_row": _newest(interactions, item_history, query_history),
            "num_items": items.num_rows,
            "num_queries": queries.num_rows,
            "num_interactions": interactions.num_rows,
            **({"history_length": length} if length else {}),
        }
        write_json(temporary / STAMP, stamp)
    log.info(
        "catalogue of %s: %d items, %d queries, %d interactions",
        as_of,
        items.num_rows,
        queries.num_rows,
        interactions.num_rows,
    )
    return stamp


def _read_tables(
    repository: FeatureRepository, as_of: date
) -> tuple[dict[TableName, Admitted], dict[TableName, Callable[[], pa.Table]]]:
    """Read the tables one after another; admit and sort each while the next one is read.

    Returns:
        the admission of each table; and for each table a function that returns its rows known by
        the day, or raises their error.
    """
    repeated = repository.config.features.repeated_weights

    def know(coming: Future[Admitted]) -> pa.Table:
        table = coming.result()
        return known_rows(table.table, table.rows, as_of, table.source, repeated)

    order: list[TableName] = ["interactions", "queries", "items"]  # the slowest first
    admitted: dict[TableName, Future[Admitted]] = {}
    known: dict[TableName, Future[pa.Table]] = {}
    with ThreadPoolExecutor(2 * len(order)) as pool:
        for table in order:
            admitted[table] = pool.submit(repository.admission(table))
            known[table] = pool.submit(know, admitted[table])
    return (
        {table: admitted[table].result() for table in TABLES},
        {table: known[table].result for table in TABLES},
    )


def current_items(history: pa.Table, key: str) -> pa.Table:
    """Return the latest row of every item that is still active.

    Args:
        history: item rows with the column `active`, sorted by key, then timestamp.
        key: the column that identifies an item.

    Returns:
        the rows without `active`, and with `first_seen`, the item's first timestamp.
    """
    first = history.filter(first_of_group(history, [key]))[TIMESTAMP]
    latest = latest_rows(history, key).append_column(FIRST_SEEN, first)
    return latest.filter(latest[ACTIVE]).drop_columns(ACTIVE)


def _newest(*tables: pa.Table) -> str:
    """Return the newest timestamp of several tables, UTC, ISO 8601."""
    newest = [pc.max(table[TIMESTAMP]).as_py() for table in tables if table.num_rows]
    return str(max(newest).isoformat())


def _fingerprint(folder: Path) -> str:
    return fingerprint({file.name: file_hash(file) for file in sorted(folder.iterdir())})
