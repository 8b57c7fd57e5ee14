"""The files of a version's memory: the known queries, their items, and the weights of items.

`longtail.memory` explains what they are for.
"""

import json
import logging
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy import sparse

from longtail.artifacts import RunPaths, VersionPaths, read_json, replaced_file
from longtail.config import Config
from longtail.embeddings.arrow_columns import numbers, read_columns
from longtail.embeddings.item_weights import read_item_weights, write_item_weights
from longtail.errors import LongtailError
from longtail.features.encoding import encode_table
from longtail.features.vocabulary import load_vocabularies
from longtail.memory.item_weights import Kind, all_item_weights
from longtail.memory.nearest_queries import make_query_index
from longtail.memory.settings import MemorySettings
from longtail.memory.voters import voters_of
from longtail.memory.votes import QueryLinks, group_links

log = logging.getLogger("longtail.embeddings")

_QUERY, _ITEMS = "query_id", "items"
_SETTINGS = b"longtail.memory"
_ROWS_AT_A_TIME = 65_536


@dataclass(frozen=True)
class QueryMemory:
    """The memory of one version, as its files hold it.

    Attributes:
        settings: the numbers that the evaluation has chosen.
        queries: `[K]` ids of the known queries, sorted.
        links: the items of each, as rows of `item_embeddings.parquet`.
        index: finds the nearest known queries; row i is query i.
        weights: the weights from item to item of each kind that votes.
    """

    settings: MemorySettings
    queries: pa.Array
    links: QueryLinks
    index: Any
    weights: dict[Kind, sparse.csr_array]


def write_query_memory(config: Config, paths: VersionPaths, run: RunPaths, items: pa.Array) -> int:
    """Write the memory of a version whose evaluation has chosen one.

    It holds every query that has features and an interaction with an item of the catalogue, up to
    the version's day: the held-out pairs too, which the evaluation's memory leaves out.

    Args:
        config: the section `memory` is read.
        paths: the version, evaluated and exported.
        run: the day.
        items: `[num_items]` ids of `item_embeddings.parquet`.

    Returns:
        The number of queries in the memory; 0 for a version without one.
    """
    settings = _chosen_settings(paths)
    if settings is None:
        for file in (paths.query_memory, paths.query_index, paths.item_weights):
            file.unlink(missing_ok=True)
        return 0
    start = time.monotonic()
    import faiss

    from longtail.encoder.torch_encoder import load_encoder

    encoder = load_encoder(paths.folder)
    features = encoder.schema.query
    columns = [feature.name for feature in features]
    table = pq.read_table(run.catalogue_files.queries, columns=columns)
    ids = table[columns[0]].cast(pa.string()).combine_chunks()
    pairs = pq.read_table(paths.seen_items)
    known, links = group_links(
        _positions(pairs["query_id"], ids),
        _positions(pairs["item_id"], items),
        num_items=len(items),
        max_queries=config.memory.max_queries,
    )
    if not len(known):
        raise LongtailError(
            f"no query of {run.folder.name} has both features and an interaction, so version "
            f"{paths.version} cannot have a memory: set `memory.enabled: false`"
        )
    # Batch by batch, so that only the vectors are held as a whole.
    vocabularies = load_vocabularies(paths.vocabularies)
    batches = (
        known[first : first + _ROWS_AT_A_TIME] for first in range(0, len(known), _ROWS_AT_A_TIME)
    )
    encoded = (encode_table(table.take(pa.array(rows)), features, vocabularies) for rows in batches)
    vectors = np.concatenate([encoder.encode("query", rows) for rows in encoded])
    with replaced_file(paths.query_index) as temporary:
        faiss.write_index(make_query_index(vectors, config.memory.storage), str(temporary))
    lists = pa.ListArray.from_arrays(
        pa.array(links.offsets.astype(np.int32)), pa.array(links.items)
    )
    schema = pa.schema(
        [pa.field(_QUERY, pa.string()), pa.field(_ITEMS, lists.type)],
        {_SETTINGS: json.dumps(settings, sort_keys=True).encode()},
    )
    written = pa.table([ids.take(pa.array(known)), lists], schema=schema)
    with replaced_file(paths.query_memory) as temporary:
        pq.write_table(written, temporary, compression="zstd")
    kinds = [voter.kind for voter in voters_of(MemorySettings.from_json(settings))]
    weights = all_item_weights(links, [kind for kind in kinds if kind], len(items), config.memory)
    write_item_weights(paths.item_weights, weights)
    log.info("memory of %d queries written in %.1f s", len(known), time.monotonic() - start)
    return len(known)


def read_query_memory(paths: VersionPaths, num_items: int) -> QueryMemory:
    """Read the memory of a version that has one.

    Args:
        paths: the version.
        num_items: rows of `item_embeddings.parquet`.

    Raises:
        LongtailError: a file is missing or damaged, or the two do not fit together.
    """
    import faiss

    table = read_columns(paths.query_memory, [_QUERY, _ITEMS])
    settings = json.loads((table.schema.metadata or {})[_SETTINGS])
    lists = table[_ITEMS].combine_chunks()
    links = QueryLinks(
        numbers(lists.offsets, np.int32).astype(np.int64), numbers(lists.values, np.int32)
    )
    try:
        index = faiss.read_index(str(paths.query_index))
    except RuntimeError as error:
        raise LongtailError(
            f"{paths.query_index} cannot be read ({error}): restore it, or export the version again"
        ) from error
    if index.ntotal != table.num_rows or np.any(links.items >= num_items):
        raise LongtailError(
            f"{paths.query_index} and {paths.query_memory} do not belong together: restore them, "
            "or export the version again"
        )
    queries = table[_QUERY].combine_chunks()
    chosen = MemorySettings.from_json(settings)
    kinds = [voter.kind for voter in voters_of(chosen) if voter.kind]
    weights = read_item_weights(paths.item_weights, kinds, num_items) if kinds else {}
    return QueryMemory(chosen, queries, links, index, weights)


def _chosen_settings(paths: VersionPaths) -> dict[str, Any] | None:
    """Return what the evaluation has chosen; None without a memory, or if an older release did."""
    metrics = read_json(paths.metrics) if paths.metrics.is_file() else {}
    settings: dict[str, Any] | None = metrics.get("memory", {}).get("settings")
    return settings


def _positions(ids: pa.ChunkedArray, among: pa.Array) -> npt.NDArray[np.int64]:
    """Return the position of each id among others; -1 where it is not there."""
    found = pc.fill_null(pc.index_in(ids.combine_chunks(), value_set=among), -1)
    return numbers(found, np.int32).astype(np.int64)
