"""Linear probes, against scikit-learn, plain loops, and features with known dependencies."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from longtail.evaluation import linear_probes as probes
from longtail.evaluation.linear_probes import frequent_classes, linear_probes, probe
from longtail.features.encoding import EncodedRows, offsets_of
from longtail.features.schema import Feature

Cells = list[list[list[int]]]


def encoded(cells: Cells) -> EncodedRows:
    flat = [values for row in cells for values in row]
    values = [np.array(values, np.int32) for values in flat]
    return EncodedRows(
        len(cells[0]), offsets_of(np.array([len(v) for v in flat])), np.concatenate(values)
    )


def feature(name: str, kind: Any = "single", is_id: bool = False) -> Feature:
    return Feature(name, "item", kind, "string", f"item_{name}", 4, is_id=is_id)


def made_up_cells(num_items: int, seed: int) -> Cells:
    """Return an id, a feature that is often missing, and lists that may hold a value twice."""
    generator = np.random.default_rng(seed)
    return [
        [
            [item],
            [int(generator.zipf(1.6)) % 40] if generator.random() < 0.8 else [],
            [int(value) % 60 for value in generator.zipf(1.4, size=generator.integers(5))],
        ]
        for item in range(num_items)
    ]


def looped_classes(cells: Cells, position: int, items: list[int]) -> tuple[list[int], list[Any]]:
    """Find the frequent values of some items by counting, and label the items by them."""
    counts = Counter(value for item in items for value in set(cells[item][position]))
    frequent = sorted(
        (value for value, count in counts.items() if probes.MIN_CLASS_ITEMS <= count < len(items)),
        key=lambda value: (-counts[value], value),
    )[: probes.MAX_CLASSES]
    labels = {item: [value in cells[item][position] for value in frequent] for item in items}
    kept = [item for item in items if any(labels[item])]
    return kept, [labels[item] for item in kept]


@pytest.mark.parametrize("position", [1, 2])
@pytest.mark.parametrize("max_classes", [3, 200])
def test_classes_equal_counted_values(
    position: int, max_classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "MAX_CLASSES", max_classes)
    cells = made_up_cells(700, seed=position)
    items, labels = frequent_classes(encoded(cells), position, np.random.default_rng(0))
    everyone = [item for item, row in enumerate(cells) if row[position]]
    expected_items, expected_labels = looped_classes(cells, position, everyone)
    assert items.tolist() == expected_items
    assert labels.tolist() == expected_labels
    assert labels.shape[1] == 3 if max_classes == 3 else labels.shape[1] > 3
    assert len(items) < len(everyone) < len(cells)


def test_classes_of_a_bounded_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "MAX_PROBE_ITEMS", 300)
    cells = made_up_cells(700, seed=1)
    items, labels = frequent_classes(encoded(cells), 1, np.random.default_rng(0))
    everyone = np.array([item for item, row in enumerate(cells) if row[1]])
    drawn = np.sort(np.random.default_rng(0).choice(everyone, 300, replace=False))
    expected_items, expected_labels = looped_classes(cells, 1, drawn.tolist())
    assert items.tolist() == expected_items
    assert labels.tolist() == expected_labels


@pytest.mark.parametrize("several", [False, True])
def test_the_probe_equals_scikit_learns_ridge(several: bool) -> None:
    generator = np.random.default_rng(int(several))
    num_items, dim, num_classes = 2_060, 9, 6
    # With few items to fit on and narrow directions, the penalty and the intercept matter.
    points = generator.normal(size=(num_items, dim)) * np.geomspace(1.0, 0.01, dim)
    vectors = (points + 2.0).astype(np.float32)
    scores = points @ generator.normal(size=(dim, num_classes))
    scores += 0.3 * generator.normal(size=scores.shape) + np.linspace(0.0, 1.0, num_classes)
    labels = scores >= np.sort(scores, axis=1)[:, -1 - several, None]
    fitted, measured = np.arange(60), np.arange(60, num_items)
    accuracy, majority = probe(vectors, labels, fitted, measured)

    points = vectors[fitted].astype(np.float64)
    penalty = 0.001 * len(points) * points.var(axis=0).mean()
    model = Ridge(alpha=penalty).fit(points, labels[fitted].astype(np.float64))
    best = model.predict(vectors[measured].astype(np.float64)).argmax(axis=1)
    right = sum(bool(labels[item, best[place]]) for place, item in enumerate(measured))
    assert accuracy == pytest.approx(right / len(measured), abs=1e-12)
    most = max(range(num_classes), key=lambda c: int(labels[fitted][:, c].sum()))
    share = sum(map(bool, labels[measured][:, most])) / len(measured)
    assert majority == pytest.approx(share, abs=1e-12)
    assert accuracy > majority + 0.1


def test_a_left_out_feature_is_found_where_another_one_tells_it() -> None:
    generator = np.random.default_rng(0)
    colour = generator.integers(6, size=1_000)
    cells = [
        # The second feature has the first one's values under other numbers; the third is random.
        [[item], [int(c)], [int(c) * 7], [int(generator.integers(6))]]
        for item, c in enumerate(colour)
    ]
    features = [feature("item_id", is_id=True), *map(feature, ("colour", "farbe", "noise"))]
    tables = [generator.normal(size=(50, 12)) for _ in range(3)]
    calls: list[list[int]] = []

    def encode(rows: EncodedRows) -> np.ndarray:
        """Return the sum of the shown values' vectors, and record which feature is left out."""
        lengths = np.diff(rows.offsets).reshape(rows.num_rows, 4)
        calls.append(np.flatnonzero(lengths.sum(axis=0) == 0).tolist())
        vectors = np.zeros((rows.num_rows, 12))
        for row in range(rows.num_rows):
            for position in range(1, 4):
                start, end = rows.offsets[row * 4 + position : row * 4 + position + 2]
                vectors[row] += tables[position - 1][rows.values[start:end]].sum(axis=0)
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    results = linear_probes(encoded(cells), features, encode, seed=0)
    assert calls == [[1], [2], [3]]
    assert list(results) == ["colour", "farbe", "noise"]
    for name in ("colour", "farbe"):
        assert results[name]["accuracy"] > 0.9
        assert results[name]["majority"] < 0.3
        assert (results[name]["num_classes"], results[name]["num_items"]) == (6, 1_000)
    assert results["noise"]["accuracy"] < 0.3
    assert linear_probes(encoded(cells), features, encode, seed=0) == results
    assert linear_probes(encoded(cells), features, encode, seed=1) != results


def test_features_without_usable_labels_are_left_out() -> None:
    cells: Cells = [
        # An id, one value for all items, a different value for each item, no value, and two values
        # that all items have.
        [[item], [3], [item], [], [1, 2]]
        for item in range(100)
    ]
    names = ("constant", "unique", "empty", "both")
    features = [feature("item_id", is_id=True), *(feature(name, "multi") for name in names)]

    def encode(rows: EncodedRows) -> np.ndarray:
        raise AssertionError("there is nothing to probe")

    assert linear_probes(encoded(cells), features, encode, seed=0) == {}
    assert linear_probes(encoded(cells[:1]), features, encode, seed=0) == {}
    # Ids in a few hashed buckets look like classes, but are not probed.
    buckets: Cells = [[[item % 5]] for item in range(100)]
    assert linear_probes(encoded(buckets), features[:1], encode, seed=0) == {}


def test_equal_vectors_answer_the_majority() -> None:
    vectors = np.full((50, 4), 0.5, np.float32)
    labels = np.zeros((50, 3), bool)
    labels[np.arange(50), np.minimum(np.arange(50) % 5, 2)] = True
    accuracy, majority = probe(vectors, labels, np.arange(10, 50), np.arange(10))
    assert accuracy == majority == pytest.approx(0.6)
