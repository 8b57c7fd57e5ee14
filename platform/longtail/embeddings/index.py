"""The stage that builds a version's nearest-neighbour index, and commits the version."""

import logging
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from longtail.artifacts import RunPaths, VersionPaths, replaced_file
from longtail.config import Config
from longtail.embeddings.export import approved_version
from longtail.embeddings.versions import commit_version
from longtail.errors import LongtailError

log = logging.getLogger("longtail.embeddings")

NUM_SAMPLES = 5
NUM_NEIGHBOURS = 5


def build_index(config: Config, as_of: date) -> dict[str, Any]:
    """Index the approved version's embeddings by inner product, and commit the version.

    Row i of the index is row i of `item_embeddings.parquet`. A committed version's index stays.

    Args:
        config: the project; the section `index` is read.
        as_of: the day; its `approved.json` names the version.

    Returns:
        `{"version", "kind", "num_items", "embedding_dim", "samples": [{"item", "neighbours":
        [{"item", "score"}]}]}`; the samples are the items with most interactions, so that a person
        can see whether neighbours make sense.

    Raises:
        LongtailError: no version is approved, or it is not exported.
    """
    import faiss

    version = approved_version(config, as_of)
    paths = VersionPaths(config, version)
    items, vectors = read_embeddings(paths.embeddings)
    if not paths.committed:
        built = faiss.IndexFlatIP(vectors.shape[1])
        built.add(vectors)
        with replaced_file(paths.index) as temporary:
            faiss.write_index(built, str(temporary))
    commit_version(config, version)
    index = faiss.read_index(str(paths.index))
    assert index.ntotal == len(items), "the index is of other embeddings"
    log.info("index of %s: %d items x %d", version, len(items), vectors.shape[1])
    popular = _popular_items(RunPaths(config, as_of), items)
    return {
        "version": version,
        "kind": config.index.kind,
        "num_items": len(items),
        "embedding_dim": vectors.shape[1],
        "samples": _neighbours(index, items, vectors, popular),
    }


def read_embeddings(file: Path) -> tuple[pa.Array, npt.NDArray[np.float32]]:
    """Read exported embeddings.

    Returns:
        `[num_items]` item ids, and `[num_items, dim]` float32.

    Raises:
        LongtailError: there is no such file.
    """
    if not file.is_file():
        raise LongtailError(f"{file} does not exist: run `longtail export` first")
    table = pq.read_table(file, columns=["item_id", "embedding"])
    embedding = table["embedding"].combine_chunks()
    flat = embedding.flatten().to_numpy(zero_copy_only=False)
    return table["item_id"].combine_chunks(), flat.reshape(-1, embedding.type.list_size)


def _popular_items(run: RunPaths, items: pa.Array) -> npt.NDArray[np.int64]:
    """Rows of the catalogue items with most interactions, the most popular first."""
    file = run.catalogue / "interactions.parquet"
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
