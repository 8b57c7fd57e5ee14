"""The definitions of METHOD.md, computed item by item: slow, but obviously right."""

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Sequence
from math import log

Values = Sequence[Hashable]


def value_list(value: object) -> Values:
    """Return the values of an item, [None] if it has none."""
    if isinstance(value, list):
        return [v for v in value if v is not None] or [None]
    return [value]


def plug_in_entropy(weights: dict[Hashable, float]) -> float:
    """Return the entropy of values with these weights, in nats."""
    total = sum(weights.values())
    return -sum(w / total * log(w / total) for w in weights.values() if w > 0)


def information(left: Sequence[object], right: Sequence[object], missing: str) -> list[float]:
    """Return [I, H(X), H(Y)] of two columns; each item spreads its weight over its value pairs."""
    joint: dict[Hashable, float] = defaultdict(float)
    x_weights: dict[Hashable, float] = defaultdict(float)
    y_weights: dict[Hashable, float] = defaultdict(float)
    for x_value, y_value in zip(left, right, strict=True):
        xs, ys = value_list(x_value), value_list(y_value)
        if missing == "leave_out" and (xs == [None] or ys == [None]):
            continue
        for x in xs:
            for y in ys:
                weight = 1 / (len(xs) * len(ys))
                joint[x, y] += weight
                x_weights[x] += weight
                y_weights[y] += weight
    if not joint:
        return [0.0, 0.0, 0.0]
    x_entropy, y_entropy = plug_in_entropy(x_weights), plug_in_entropy(y_weights)
    return [x_entropy + y_entropy - plug_in_entropy(joint), x_entropy, y_entropy]


def adjusted(
    keys: Sequence[str],
    left: Sequence[object],
    right: Sequence[object],
    missing: str,
    num_shuffles: int,
) -> float:
    """Return the adjusted measure, with the chance level estimated by seeded permutations."""
    rows = [
        row
        for row in zip(keys, left, right, strict=True)
        if missing == "value" or (value_list(row[1]) != [None] and value_list(row[2]) != [None])
    ]
    if not rows:
        return 0.0
    rows.sort(key=lambda row: row[0])
    keys, xs, ys = (list(column) for column in zip(*rows, strict=True))
    found, x_entropy, y_entropy = information(xs, ys, missing)
    figures = []
    for seed in range(num_shuffles):
        draws = [hashlib.md5(f"{key} {seed}".encode()).hexdigest() for key in keys]
        order = sorted(range(len(keys)), key=lambda i: (draws[i], keys[i]))
        figures.append(information([xs[i] for i in order], ys, missing)[0])
    chance = sum(figures) / len(figures)
    above = (x_entropy + y_entropy) / 2 - chance
    if min(x_entropy, y_entropy) <= 1e-12 or above < 1e-10:
        return 0.0
    return (found - chance) / above
