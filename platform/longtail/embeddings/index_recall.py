"""The recall of an index against exact search, measured on the version's own vectors."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from longtail.artifacts import RunPaths, VersionPaths
from longtail.embeddings.results import IndexRecall
from longtail.encoder.score_vectors import as_items, as_queries
from longtail.features.encoding import encode_table
from longtail.features.vocabulary import load_vocabularies

NUM_NEIGHBOURS = 100
SAME_SCORE = 1e-6
"""Scores this close count as equal: which of two equal items is among the first k is chance."""


def measure_recall(
    index: Any,
    scored: npt.NDArray[np.float32],
    vectors: npt.NDArray[np.float32],
    paths: VersionPaths,
    run: RunPaths,
    *,
    num_queries: int,
) -> IndexRecall:
    """Compare an index with exact search, on the searches of `recommend` and of `neighbours`.

    Args:
        index: over `scored`, by inner product.
        scored: `[num_items, dim]` of the version, or one number more with its biases.
        vectors: `[num_items, dim]`, the same without biases, which items are asked for by.
        paths: the version; its query tower encodes the queries.
        run: the day; its catalogue holds the queries.
        num_queries: size of each of the two samples, drawn without replacement by a fixed seed.

    Returns:
        `recall@100` of queries of the catalogue through the query tower, `item_recall@100` of
        items of the catalogue, and the sizes of the samples. Recall is the share of the items of
        the exact first 100 (all, in a smaller catalogue) that the index returns.
    """
    random = np.random.default_rng(0)
    width = scored.shape[1]
    queries = as_queries(_query_vectors(paths, run, random, num_queries), width)
    items = as_items(vectors[_sample(random, len(vectors), num_queries)], width)
    return {
        "recall@100": recall(index, scored, queries),
        "item_recall@100": recall(index, scored, items),
        "num_sampled_queries": len(queries),
        "num_sampled_items": len(items),
    }


def recall(
    index: Any,
    vectors: npt.NDArray[np.float32],
    queries: npt.NDArray[np.float32],
    k: int = NUM_NEIGHBOURS,
) -> float:
    """Return the share of the exact first k of all queries that an index returns.

    Args:
        index: over `vectors`, by inner product.
        vectors: `[num_items, dim]`.
        queries: `[num_queries, dim]`, at least one.
        k: neighbours of each query; at most `num_items` are compared.
    """
    import faiss

    k = min(k, len(vectors))
    exact, _ = faiss.knn(queries, vectors, k, metric=faiss.METRIC_INNER_PRODUCT)
    found, rows = index.search(queries, k)
    # By score and not by row: an item that is as near as the exact k-th one is a hit.
    hits = (rows >= 0) & (found >= exact[:, -1:] - SAME_SCORE)
    return float(hits.mean())


def _query_vectors(
    paths: VersionPaths, run: RunPaths, random: np.random.Generator, num_queries: int
) -> npt.NDArray[np.float32]:
    """Encode a sample of the day's queries: `[sample, dim]`."""
    from longtail.encoder.torch_encoder import load_encoder

    encoder = load_encoder(paths.folder)
    features = encoder.schema.query
    file = run.catalogue_files.queries
    table = pq.read_table(file, columns=[feature.name for feature in features])
    rows = _sample(random, table.num_rows, num_queries)
    encoded = encode_table(
        table.take(pa.array(rows)), features, load_vocabularies(paths.vocabularies)
    )
    return encoder.encode("query", encoded)


def _sample(random: np.random.Generator, size: int, wanted: int) -> npt.NDArray[np.int64]:
    return np.sort(random.choice(size, min(size, wanted), replace=False))
