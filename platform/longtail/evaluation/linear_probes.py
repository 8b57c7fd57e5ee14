"""Linear probes: how much of a feature the other features have written into the vectors.

Items are encoded with one feature left out, and a linear map predicts that feature from the
vectors. What it finds came from the features that correlate with the left-out one, the item id
included. The more it finds, the better the model places an item with missing or new values.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from longtail.evaluation.metrics import Vectors
from longtail.evaluation.results import Probe
from longtail.features.encoding import EncodedRows, ranges
from longtail.features.schema import Feature

# A probe is fitted and measured on at most this many items, drawn at random from those that have
# the feature.
MAX_PROBE_ITEMS = 10_000
# The classes are the most frequent values that have enough items to fit and to measure on.
MAX_CLASSES = 200
MIN_CLASS_ITEMS = 10
TEST_SHARE = 0.2
# Ridge penalty, as a share of the mean variance of a direction times the number of items.
_PENALTY = 0.001

Positions = npt.NDArray[np.int64]
Labels = npt.NDArray[np.bool_]


def linear_probes(
    rows: EncodedRows,
    features: Sequence[Feature],
    encode: Callable[[EncodedRows], Vectors],
    *,
    seed: int,
) -> dict[str, Probe]:
    """Probe every categorical item feature except the id.

    The classes of a feature are its `MAX_CLASSES` most frequent values among at most
    `MAX_PROBE_ITEMS` items that have the feature. A class has at least `MIN_CLASS_ITEMS` items, but
    not all of them. Items without any class are left out. `accuracy` is the share of held-out
    items for which the class with the highest prediction is one of the item's values.

    Args:
        rows: `[C]` encoded rows of the catalogue.
        features: the items' features, in the order of the rows.
        encode: turns rows into `[R, dim]` vectors, with the learned default for an empty feature.
        seed: seed of the sample, and of its split into 80% to fit and 20% to measure.

    Returns:
        One probe for each feature name, without the features that have fewer than two classes.
    """
    results: dict[str, Probe] = {}
    for position, feature in enumerate(features):
        if feature.is_id or feature.is_dense:
            continue
        # A generator of its own, so that one feature's result does not depend on the others.
        generator = np.random.default_rng((seed, position))
        items, labels = frequent_classes(rows, position, generator)
        if labels.shape[1] < 2:
            continue
        vectors = encode(rows.take(items).without(position))
        order = generator.permutation(len(items))
        num_measured = int(TEST_SHARE * len(items))
        accuracy, majority = probe(vectors, labels, order[num_measured:], order[:num_measured])
        results[feature.name] = {
            "accuracy": accuracy,
            "majority": majority,
            "num_classes": labels.shape[1],
            "num_items": len(items),
        }
    return results


def frequent_classes(
    rows: EncodedRows, feature: int, generator: np.random.Generator
) -> tuple[Positions, Labels]:
    """Sample items that have a feature, and label them by its frequent values.

    Args:
        rows: encoded rows.
        feature: the position of the feature.
        generator: draws the sample.

    Returns:
        `[n]` row numbers, ascending, and `[n, K]` labels, at least one true in each row. K is 0 if
        no value is frequent.
    """
    starts = rows.offsets[feature : -1 : rows.num_features]
    lengths = rows.offsets[feature + 1 :: rows.num_features] - starts
    items = np.flatnonzero(lengths)
    if len(items) > MAX_PROBE_ITEMS:
        items = np.sort(generator.choice(items, MAX_PROBE_ITEMS, replace=False))
    values = rows.values[ranges(starts[items], lengths[items])].astype(np.int64)
    owner = np.repeat(np.arange(len(items)), lengths[items])
    # A list may hold a value twice, and must count once.
    owner, values = np.unique(np.stack([owner, values]), axis=1)
    _, code, count = np.unique(values, return_inverse=True, return_counts=True)
    frequent = np.flatnonzero((count >= MIN_CLASS_ITEMS) & (count < len(items)))
    frequent = frequent[np.argsort(-count[frequent], kind="stable")[:MAX_CLASSES]]
    class_of = np.full(len(count), -1)
    class_of[frequent] = np.arange(len(frequent))
    kept = class_of[code] >= 0
    labels = np.zeros((len(items), len(frequent)), np.bool_)
    labels[owner[kept], class_of[code[kept]]] = True
    labelled = labels.any(axis=1)
    return items[labelled], labels[labelled]


def probe(
    vectors: Vectors, labels: Labels, fitted: Positions, measured: Positions
) -> tuple[float, float]:
    """Fit one ridge regression for each class on some of the items, and measure it on others.

    Args:
        vectors: `[n, dim]` vectors of the items.
        labels: `[n, K]` whether an item has a class.
        fitted: rows to fit on.
        measured: rows to measure on, at least one.

    Returns:
        The share of measured rows that have the class with the highest prediction, and the share
        that have the class that is most frequent among the fitted rows.
    """
    points, targets = vectors[fitted].astype(np.float64), labels[fitted].astype(np.float64)
    mean, frequency = points.mean(axis=0), targets.mean(axis=0)
    points -= mean
    gram = points.T @ points
    gram[np.diag_indices_from(gram)] += _PENALTY * np.trace(gram) / len(gram)
    # Least squares, because equal vectors make `gram` singular; the prediction is then the
    # frequency of each class.
    weights = np.linalg.lstsq(gram, points.T @ (targets - frequency), rcond=None)[0]
    best = ((vectors[measured] - mean) @ weights + frequency).argmax(axis=1)
    right = labels[measured]
    accuracy = right[np.arange(len(measured)), best].mean()
    return float(accuracy), float(right[:, frequency.argmax()].mean())
