"""The map of the space: items as points in a plane, coloured by a feature."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from longtail.errors import InputError
from longtail.features.schema import Feature

NUM_GROUPS = 12
"""Values of the feature that have a colour of their own, the most frequent ones."""
MIN_COVERED = 0.5
"""Least share of the items that these values must have for a feature to be chosen."""
_PERPLEXITY = 30.0
_ITERATIONS = 500


@dataclass(frozen=True)
class Colouring:
    """A feature that colours the map.

    Attributes:
        feature: its name.
        agreement: how much more often than by chance neighbours share its value: 0 chance, 1
            always. None where nothing was measured.
        reason: why it was chosen, for the caption.
        groups: its most frequent values, most frequent first.
        group: `[num_items]` place of each item's value in `groups`; -1 for any other or none.
    """

    feature: str
    agreement: float | None
    reason: str
    groups: list[str]
    group: npt.NDArray[np.int64]


def project(vectors: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Place some items in the plane, so that items near in the space are near there.

    By t-SNE (van der Maaten and Hinton, 2008) from scikit-learn, which starts from the first two
    principal components and is seeded. A set too small for it is shown by these components.

    Args:
        vectors: `[num_items, dim]` unit vectors.
        rows: `[n]` rows to place.

    Returns:
        `{"method", "points"}`; the points are `[n, 2]` float64 from 0 to 1.
    """
    chosen = np.asarray(vectors[rows], np.float64)
    if len(rows) > 3 * _PERPLEXITY and chosen.shape[1] > 2:
        from sklearn.manifold import TSNE

        method = "t-SNE"
        tsne = TSNE(2, perplexity=_PERPLEXITY, max_iter=_ITERATIONS, init="pca", random_state=0)
        # Threads of OpenMP that wait for each other take minutes on a busy machine.
        with threadpool_limits(1):
            points = tsne.fit_transform(chosen.astype(np.float32)).astype(np.float64)
    else:
        method = "the first two principal components"
        points = _principal_components(chosen)
    low, high = points.min(axis=0), points.max(axis=0)
    return {"method": method, "points": (points - low) / np.maximum(high - low, 1e-12)}


def _principal_components(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the `[n, 2]` scores on the first two principal components."""
    centred = vectors - vectors.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    scores: npt.NDArray[np.float64] = left[:, :2] * sizes[:2]
    # A space of one dimension, or one item, has no second component.
    return np.pad(scores, ((0, 0), (0, 2 - scores.shape[1])))


def choose_colouring(
    catalogue: pa.Table,
    features: tuple[Feature, ...],
    neighbours: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    color_by: str | None,
) -> Colouring | None:
    """Choose the feature of the map.

    It is `report.color_by`, or else the single-valued item feature with the highest agreement
    among those whose 12 most frequent values cover half of the items.

    Args:
        catalogue: the items' features, in the order of the embeddings.
        features: the item features of the schema.
        neighbours: `[n, k]` rows of the neighbours of the items in `rows`; -1 for none.
        rows: `[n]` rows of the embeddings.
        color_by: the configured feature, or None.

    Returns:
        None if no feature fits.

    Raises:
        InputError: the configured feature is no single-valued item feature.
    """
    single = [each.name for each in features if each.kind == "single" and not each.is_id]
    single = [name for name in single if name in catalogue.column_names]
    if color_by is not None and color_by not in single:
        raise InputError(
            f"report.color_by: {color_by!r} is no single-valued item feature: choose one of "
            f"{', '.join(single) or 'none'}, or leave it out"
        )
    best: Colouring | None = None
    for name in [color_by] if color_by else single:
        codes, groups = grouped(catalogue[name])
        measured = agreement(codes, neighbours, rows)
        reason = "configured by `report.color_by`"
        group = np.where(codes < NUM_GROUPS, codes, -1)
        if color_by is None:
            reason = "neighbours share its values most, against chance"
            covered = float((group >= 0).mean()) if len(group) else 0.0
            if covered < MIN_COVERED or len(groups) < 2 or measured is None:
                continue
        found = Colouring(name, measured, reason, groups[:NUM_GROUPS], group)
        if best is None or (measured or 0.0) > (best.agreement or 0.0):
            best = found
    return best


def grouped(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Return `[num_items]` codes of a column's values by frequency, and the values as text.

    Code 0 is the most frequent value (ties by value); -1 is no value.
    """
    encoded = column.combine_chunks().dictionary_encode()
    values = encoded.dictionary.to_pylist()
    codes = pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int64)
    counts = np.bincount(codes[codes >= 0], minlength=len(values))
    order = sorted(range(len(values)), key=lambda place: (-counts[place], str(values[place])))
    place_of = np.full(len(values) + 1, -1, np.int64)  # the last one is that of no value
    place_of[np.array(order, np.int64)] = np.arange(len(order))
    return place_of[codes], [str(values[place]) for place in order]


def agreement(
    codes: npt.NDArray[np.int64], neighbours: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]
) -> float | None:
    """Return how much more often than by chance an item and its neighbour have one value.

    (observed - chance) / (1 - chance), as Cohen's kappa; chance is the sum of the squared shares
    of the values. Only pairs of which both items have a value count.

    Args:
        codes: `[num_items]` codes of the values; -1 for none.
        neighbours: `[n, k]` rows of the neighbours of the items in `rows`; -1 for none.
        rows: `[n]` rows.
    """
    own = np.broadcast_to(codes[rows][:, None], neighbours.shape)
    theirs = np.where(neighbours >= 0, codes[neighbours], -1)
    both = (own >= 0) & (theirs >= 0)
    known = codes[codes >= 0]
    if not both.any():
        return None
    chance = float(((np.bincount(known) / len(known)) ** 2).sum())
    if chance >= 1.0:
        return None
    observed = float((own == theirs)[both].mean())
    return (observed - chance) / (1 - chance)
