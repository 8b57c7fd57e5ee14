"""The stage that builds a version's nearest-neighbour index, and commits the version."""

import logging
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from longtail.artifacts import RunPaths, VersionPaths, replaced_file
from longtail.config import Config, IndexConfig
from longtail.embeddings.arrow_columns import read_columns
from longtail.embeddings.embedding_matrix import embedding_matrix
from longtail.embeddings.embeddings_file import (
    BIAS,
    EMBEDDING,
    ITEM,
    bias_values,
    has_bias_column,
)
from longtail.embeddings.export import approved_version
from longtail.embeddings.index_recall import measure_recall
from longtail.embeddings.query_memory import write_query_memory
from longtail.embeddings.results import (
    IndexRecord,
    IndexSample,
    IndexSummary,
    ScoredItem,
)
from longtail.embeddings.versions import commit_version
from longtail.encoder.score_vectors import as_items, with_bias

log = logging.getLogger("longtail.embeddings")

NUM_SAMPLES = 5
NUM_NEIGHBOURS = 5


def build_index(config: Config, as_of: date) -> IndexSummary:
    """Index the approved version's embeddings, write its memory, and commit the version.

    The index is by inner product. Its row i is row i of `item_embeddings.parquet`, with the item's
    bias as one number more where the version has biases. What belongs to a committed version is not
    made again. The recall of a new index against exact search is measured, and written to the
    manifest.

    Args:
        config: the project; the section `index` is read.
        as_of: the day; its `approved.json` names the version.

    Returns:
        `{"version", "kind", "num_items", "embedding_dim", "recall@100", ..., "samples": [{"item",
        "neighbours": [{"item", "score"}]}]}`. The samples are the items with most interactions, so
        that a person can see whether the neighbours make sense.

    Raises:
        LongtailError: no version is approved, or it is not exported.
    """
    import faiss

    version = approved_version(config, as_of)
    paths, run = VersionPaths(config, version), RunPaths(config, as_of)
    items, vectors, bias = read_embeddings(paths.embeddings)
    scored = with_bias(vectors, bias)
    built: IndexRecord | None = None
    # A committed version never changes: its index is only read and shown again.
    if not paths.committed:
        start = time.monotonic()
        new = make_index(config.index, scored)
        log.info("%s index built in %.1f s", config.index.kind, time.monotonic() - start)
        recall = measure_recall(
            new, scored, vectors, paths, run, num_queries=config.index.recall_queries
        )
        built = {**_settings(config.index), **recall}
        log.info("recall@100 of the index against exact search: %.4f", recall["recall@100"])
        with replaced_file(paths.index) as temporary:
            faiss.write_index(new, str(temporary))
        write_query_memory(config, paths, run, items)
    # The manifest of an early release has no entry for the index, which was exact then.
    record = commit_version(config, version, index=built).get("index") or {"kind": "flat"}
    index = faiss.read_index(str(paths.index))
    assert index.ntotal == len(items), "the index is of other embeddings"
    log.info("index of %s: %d items x %d", version, len(items), vectors.shape[1])
    popular = _popular_items(run, items)
    return {
        "version": version,
        **record,
        "num_items": len(items),
        "embedding_dim": vectors.shape[1],
        "samples": _samples(index, items, as_items(vectors[popular], scored.shape[1]), popular),
    }


def make_index(config: IndexConfig, vectors: npt.NDArray[np.float32]) -> Any:
    """Build an inner product index of the configured kind over `[num_items, dim]` vectors."""
    import faiss

    dim = vectors.shape[1]
    index: Any = faiss.IndexFlatIP(dim)
    if config.kind == "hnsw":
        index = faiss.IndexHNSWFlat(dim, config.hnsw_links, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = config.hnsw_build_width
        index.hnsw.efSearch = config.hnsw_search_width  # written with the index
    index.add(vectors)
    return index


def _settings(config: IndexConfig) -> IndexRecord:
    """Return the settings that shaped the index, for the manifest."""
    if config.kind == "flat":
        return {"kind": "flat"}
    return {
        "kind": "hnsw",
        "hnsw_links": config.hnsw_links,
        "hnsw_build_width": config.hnsw_build_width,
        "hnsw_search_width": config.hnsw_search_width,
    }


def read_embeddings(
    file: Path,
) -> tuple[pa.Array, npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
    """Read exported embeddings.

    Returns:
        `[num_items]` item ids, `[num_items, dim]` float32, and `[num_items]` biases, if any.

    Raises:
        LongtailError: there is no such file, or it is damaged.
    """
    columns = [ITEM, EMBEDDING]
    if file.is_file() and has_bias_column(file):
        columns.append(BIAS)
    table = read_columns(file, columns)
    return table[ITEM].combine_chunks(), embedding_matrix(table), bias_values(table)


def _popular_items(run: RunPaths, items: pa.Array) -> npt.NDArray[np.int64]:
    """Return the rows of the catalogue items with most interactions, the most popular first."""
    file = run.catalogue_files.interactions
    chosen = pq.read_table(file, columns=["item_id"])["item_id"].combine_chunks()
    rows = pc.index_in(chosen, value_set=items).drop_null().to_numpy()
    counts = np.bincount(rows, minlength=len(items))
    return np.argsort(-counts, kind="stable")[:NUM_SAMPLES]


def _samples(
    index: Any, items: pa.Array, asked: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]
) -> list[IndexSample]:
    """Return the items of some rows, each with its nearest neighbours by its vector in `asked`."""
    # One more than is shown, because the nearest to an item is the item itself.
    scores, found = index.search(asked, min(NUM_NEIGHBOURS + 1, len(items)))
    samples: list[IndexSample] = []
    for number, row in enumerate(rows):
        neighbours: list[ScoredItem] = [
            {"item": items[int(other)].as_py(), "score": float(score)}
            for other, score in zip(found[number], scores[number], strict=True)
            if other != row
        ]
        samples.append({"item": items[int(row)].as_py(), "neighbours": neighbours[:NUM_NEIGHBOURS]})
    return samples
