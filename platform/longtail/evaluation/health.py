"""Embedding health: the shape of the vector space, measured beside how well it retrieves.

Recall can stay the same while the space decays: vectors on a narrow cone, few directions in use,
popular items in the way of all others. None stands for a figure that is not defined.
"""

import numpy as np
import numpy.typing as npt

from longtail.evaluation.held_out import HeldOut
from longtail.evaluation.metrics import Vectors
from longtail.evaluation.results import EmbeddingHealth, SliceHealth
from longtail.evaluation.slices import Mask, Slices, each_slice

# Uniformity is exact over the pairs of at most this many items, drawn at random.
MAX_UNIFORMITY_ITEMS = 4096

Counts = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.integer | np.floating]


def embedding_health(
    query_vectors: Vectors,
    item_vectors: Vectors,
    held_out: HeldOut,
    *,
    train_count: Counts,
    times_retrieved: Counts,
    slices: Slices,
    seed: int,
    item_norms: npt.NDArray[np.float32] | None = None,
) -> EmbeddingHealth:
    """Measure a space of unit vectors.

    Args:
        query_vectors: `[Q, dim]` unit vectors.
        item_vectors: `[C, dim]` unit vectors of the whole catalogue.
        held_out: the pairs.
        train_count: `[C]` training interactions of each item.
        times_retrieved: `[C]` number of queries that have the item among their first 50
            (`coverage.ranks_and_retrievals`).
        slices: `[C]` for each slice, whether an item belongs to it.
        seed: seed of the sample that uniformity is measured on.
        item_norms: `[C]` lengths of the item vectors before they were scaled to one
            (`vector_norms.encode_with_norms`), where they are known.

    Returns:
        `slices`, `effective_rank`, `dim` and `popularity_correlation`. The last one holds Spearman
        correlations with `train_count`: of `times_retrieved` (does exposure follow popularity), of
        the cosine with the mean item vector (do popular items, or unpopular ones, crowd around one
        direction), and of `item_norms` (the published vectors all have length one).
    """

    def measure(members: Mask) -> SliceHealth:
        never_retrieved = None
        if members.any() and held_out.num_queries:
            never_retrieved = float((times_retrieved[members] == 0).mean())
        chosen = members[held_out.pair_item]
        return {
            "num_items": int(members.sum()),
            "uniformity": uniformity(item_vectors[_sample(members, seed)]),
            "alignment": alignment(query_vectors, item_vectors, held_out, chosen),
            "never_retrieved": never_retrieved,
        }

    # In float64: a sum of millions of float32 vectors would lose digits.
    mean_vector = item_vectors.mean(axis=0, dtype=np.float64)
    return {
        "slices": each_slice(slices, measure),
        "effective_rank": effective_rank(item_vectors, mean_vector),
        "dim": item_vectors.shape[1],
        "popularity_correlation": {
            "times_retrieved": rank_correlation(train_count, times_retrieved),
            "mean_similarity": rank_correlation(
                train_count, _similarity(item_vectors, mean_vector)
            ),
            "norm": None if item_norms is None else rank_correlation(train_count, item_norms),
        },
    }


def uniformity(vectors: Vectors) -> float | None:
    """Measure how evenly vectors fill the sphere: log of the mean of exp(-2 |x - y|^2) over pairs.

    Wang & Isola 2020 (arXiv 2005.10242), section 4.1, t = 2, over all pairs of two distinct rows.
    It is 0 if all vectors are equal. Lower is more even: independent directions reach
    -4 + 8 / dim.

    Args:
        vectors: `[n, dim]` unit vectors.

    Returns:
        None with fewer than two rows.
    """
    num_vectors = len(vectors)
    if num_vectors < 2:
        return None
    points = vectors.astype(np.float64)
    squares = np.einsum("nd,nd->n", points, points)
    total = 0.0
    for first in range(0, num_vectors, 512):
        rows = slice(first, first + 512)
        distances = squares[rows, None] + squares - 2.0 * points[rows] @ points.T
        # A row does not form a pair with itself.
        distances[np.arange(len(distances)), np.arange(len(distances)) + first] = np.inf
        total += float(np.exp(-2.0 * np.maximum(distances, 0.0)).sum())
    return float(np.log(total / (num_vectors * (num_vectors - 1))))


def alignment(
    query_vectors: Vectors,
    item_vectors: Vectors,
    held_out: HeldOut,
    chosen: Mask,
) -> float | None:
    """Measure how close positives are: the mean of |q - x|^2 over held-out pairs.

    Wang & Isola 2020 (arXiv 2005.10242), section 4.1, alpha = 2. It is 0 if each query equals its
    items, 2 for unrelated directions, and 4 at most.

    Args:
        query_vectors: `[Q, dim]`.
        item_vectors: `[C, dim]`.
        held_out: the pairs.
        chosen: `[P]` whether a pair is measured.

    Returns:
        None without a pair.
    """
    pairs = np.flatnonzero(chosen)
    if not len(pairs):
        return None
    total = 0.0
    for rows in _batches(len(pairs)):
        some = pairs[rows]
        queries = query_vectors[held_out.pair_query[some]].astype(np.float64)
        difference = queries - item_vectors[held_out.pair_item[some]]
        total += float(np.einsum("nd,nd->", difference, difference))
    return total / len(pairs)


def effective_rank(vectors: Vectors, mean_vector: npt.NDArray[np.float64]) -> float:
    """Count the directions in use: exp of the entropy of the normalised singular values.

    Roy & Vetterli 2007 ("The effective rank"), of the *centred* matrix: a direction that all items
    share tells no two apart. The singular values are the roots of the eigenvalues of the
    `[dim, dim]` scatter matrix.

    Args:
        vectors: `[C, dim]`, C > 0.
        mean_vector: `[dim]` mean of the vectors.

    Returns:
        From 1, a single direction, to `min(C - 1, dim)`, all directions alike; 0 if all vectors
        are equal.
    """
    dim = vectors.shape[1]
    scatter = np.zeros((dim, dim))
    for rows in _batches(len(vectors)):
        centred = vectors[rows] - mean_vector
        scatter += centred.T @ centred
    # Vectors that differ by no more than the rounding of float32 count as equal.
    rounding = np.finfo(np.float32).eps ** 2 * len(vectors) * (mean_vector @ mean_vector)
    if np.trace(scatter) <= rounding:
        return 0.0
    eigenvalues = np.linalg.eigvalsh(scatter)
    eigenvalues = eigenvalues[eigenvalues > eigenvalues[-1] * dim * np.finfo(np.float64).eps]
    share = np.sqrt(eigenvalues)
    share /= share.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def rank_correlation(first: Numbers, second: Numbers) -> float | None:
    """Return Spearman's rank correlation, with the mean rank for equal values.

    Args:
        first, second: `[n]`, finite.

    Returns:
        None if either is constant, or n < 2: there is no order to compare.
    """
    ranks = [_centred_ranks(values) for values in (first, second)]
    spread = np.sqrt(np.prod([rank @ rank for rank in ranks]))
    return float(ranks[0] @ ranks[1] / spread) if spread else None


def _centred_ranks(values: Numbers) -> npt.NDArray[np.float64]:
    """Return the ranks of `[n]` values, equal ones with their mean rank, minus the mean of all."""
    _, position, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: npt.NDArray[np.float64] = (np.cumsum(count) - (count - 1) / 2.0)[position]
    return ranks - (len(values) + 1) / 2.0


def _similarity(vectors: Vectors, mean_vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return `[C]` inner products with the mean vector; unit vectors' cosines have this order."""
    similarity = np.concatenate([vectors[rows] @ mean_vector for rows in _batches(len(vectors))])
    # Values that differ by the rounding of float32 alone must share a rank.
    return np.round(similarity, 9)


def _sample(members: Mask, seed: int) -> Counts:
    """Return the positions of at most `MAX_UNIFORMITY_ITEMS` members, drawn at random."""
    items = np.flatnonzero(members)
    if len(items) <= MAX_UNIFORMITY_ITEMS:
        return items
    return np.random.default_rng(seed).choice(items, MAX_UNIFORMITY_ITEMS, replace=False)


def _batches(num_rows: int) -> list[slice]:
    """Return slices of rows, so that only one slice at a time is held in float64."""
    return [slice(first, first + 65_536) for first in range(0, num_rows, 65_536)]
