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
from longtail.embeddings.embedding_matrix import embedding_matrix, read_columns
from longtail.embeddings.export import approved_version
from longtail.embeddings.index_recall import measure_recall
from longtail.embeddings.versions import commit_version

log = logging.getLogger("longtail.embeddings")

NUM_SAMPLES = 5
NUM_NEIGHBOURS = 5


def build_index(config: Config, as_of: date) -> dict[str, Any]:
    """Index the approved version's embeddings by inner product, and commit the version.

    Row i of the index is row i of `item_embeddings.parquet`. A committed version's index stays.
    What an index finds of an exact search is measured, and stands in the manifest.

    Args:
        config: the project; the section `index` is read.
        as_of: the day; its `approved.json` names the version.

    Returns:
        `{"version", "kind", "num_items", "embedding_dim", "recall@100", ..., "samples": [{"item",
        "neighbours": [{"item", "score"}]}]}`; the samples are the items with most interactions, so
        that a person can see whether neighbours make sense.

    Raises:
        LongtailError: no version is approved, or it is not exported.
    """
    import faiss

    version = approved_version(config, as_of)
    paths, run = VersionPaths(config, version), RunPaths(config, as_of)
    items, vectors = read_embeddings(paths.embeddings)
    record = None
    if not paths.committed:
        start = time.monotonic()
        built = make_index(config.index, vectors)
        log.info("%s index built in %.1f s", config.index.kind, time.monotonic() - start)
        record = _settings(config.index) | measure_recall(
            built, vectors, paths, run, num_queries=config.index.recall_queries
        )
        log.info("recall@100 of the index against exact search: %.4f", record["recall@100"])
        with replaced_file(paths.index) as temporary:
            faiss.write_index(built, str(temporary))
    # A version of an earlier release says nothing of its index, which was exact.
    record = commit_version(config, version, index=record).get("index") or {"kind": "flat"}
    index = faiss.read_index(str(paths.index))
    assert index.ntotal == len(items), "the index is of other embeddings"
    log.info("index of %s: %d items x %d", version, len(items), vectors.shape[1])
    popular = _popular_items(run, items)
    return {
        "version": version,
        **record,
        "num_items": len(items),
        "embedding_dim": vectors.shape[1],
        "samples": _neighbours(index, items, vectors, popular),
    }


def make_index(config: IndexConfig, vectors: npt.NDArray[np.float32]) -> Any:
    """An inner product index of the configured kind over `[num_items, dim]` vectors."""
    import faiss

    dim = vectors.shape[1]
    index: Any = faiss.IndexFlatIP(dim)
    if config.kind == "hnsw":
        index = faiss.IndexHNSWFlat(dim, config.hnsw_links, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = config.hnsw_build_width
        index.hnsw.efSearch = config.hnsw_search_width  # written with the index
    index.add(vectors)
    return index


def _settings(config: IndexConfig) -> dict[str, Any]:
    """What the manifest keeps of the configuration: what shaped this kind of index."""
    return {
        name: value
        for name, value in config.model_dump().items()
        if name == "kind" or name.startswith(f"{config.kind}_")
    }


def read_embeddings(file: Path) -> tuple[pa.Array, npt.NDArray[np.float32]]:
    """Read exported embeddings.

    Returns:
        `[num_items]` item ids, and `[num_items, dim]` float32.

    Raises:
        LongtailError: there is no such file, or it is damaged.
    """
    table = read_columns(file, ["item_id", "embedding"])
    return table["item_id"].combine_chunks(), embedding_matrix(table)


def _popular_items(run: RunPaths, items: pa.Array) -> npt.NDArray[np.int64]:
    """Rows of the catalogue items with most interactions, the most popular first."""
    file = run.catalogue_files.interactions
    asked = pq.read_table(file, columns=["item_id"])["item_id"].combine_chunks()
    rows = pc.index_in(asked, value_set=items).drop_null().to_numpy()
    counts = np.bincount(rows, minlength=len(items))
    return np.argsort(-counts, kind="stable")[:NUM_SAMPLES]


def _neighbours(
    index: Any, items: pa.Array, vectors: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]
) -> list[dict[str, Any]]:
    scores, found = index.search(vectors[rows], min(NUM_NEIGHBOURS + 1, len(items)))
    return [
        {
            "item": items[int(row)].as_py(),
            "neighbours": [
                {"item": items[int(other)].as_py(), "score": float(score)}
                for other, score in zip(found[number], scores[number], strict=True)
                if other != row
            ][:NUM_NEIGHBOURS],
        }
        for number, row in enumerate(rows)
    ]
