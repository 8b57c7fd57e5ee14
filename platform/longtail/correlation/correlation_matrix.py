"""The matrix of correlations: measures all pairs of features, each in the cheapest way."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
from ibis.expr.types import ArrayColumn, Table

from longtail.correlation.code_counts import Pair, entropy_of_codes, pairs_of_codes
from longtail.correlation.column_codes import read_codes
from longtail.correlation.engine import num_threads
from longtail.correlation.measures import Measure, Missing, PairInformation
from longtail.correlation.mutual_information import (
    chance_information,
    entropy_of_weights,
    joint_information,
    joint_weights,
    present_rows,
)
from longtail.correlation.shuffling import chance_by_shuffling

# Returns the `joint_weights` of one or two features: computed, or read from stored counts.
Joint = Callable[[Sequence[str]], Table]


def correlation_matrix(
    table: Table,
    features: Sequence[str],
    measure: Measure,
    missing: Missing,
    *,
    key: str | None = None,
    num_shuffles: int = 5,
    codes_gib: float = 4.0,
    joint: Joint | None = None,
) -> np.ndarray:
    """Measure every pair of features.

    On DuckDB, single-valued features are counted as codes in memory if they fit. All other pairs
    are queries that the engine runs: all at once on Spark; one after the other on DuckDB, which
    spreads each over all cores. Both ways give the same figures.

    Args:
        table: one row for each item; see `joint_weights`.
        features: columns, none of them dense (see `dense.with_bins`).
        measure: see `PairInformation`.
        missing: see `joint_weights`.
        key: the column that identifies an item, unique; default: the first feature.
        num_shuffles: the number of permutations for the chance level of multi-valued features.
        codes_gib: the memory that codes may take, in GiB; with 0 the engine counts everything.
        joint: returns stored counts, instead of `joint_weights` of the table.

    Returns:
        A matrix, float64 [num_features, num_features], symmetric and finite. The diagonal holds
        the features' entropies for `mutual_information`, otherwise 1. Only `adjusted` has figures
        below zero.
    """
    key = key or features[0]
    pairs: dict[Pair, PairInformation] = {}
    entropies: dict[int, float] = {}
    # The fast path takes what it can; stored counts are cheaper still.
    if joint is None and _fits_as_codes(table, features, codes_gib):
        single = [i for i, name in enumerate(features) if not _is_multi(table, name)]
        codes = read_codes(table, [features[i] for i in single])
        chance = measure == "adjusted"
        threads = num_threads()
        counted = pairs_of_codes(codes, missing, chance=chance, num_threads=threads)
        pairs = {(single[i], single[j]): pair for (i, j), pair in counted.items()}
        if measure == "mutual_information":
            entropies = {
                i: entropy_of_codes(c, missing) for i, c in zip(single, codes, strict=True)
            }
    rest = [p for p in combinations(range(len(features)), 2) if p not in pairs]

    def inform(pair: Pair) -> PairInformation:
        left, right = (features[i] for i in pair)
        return _engine_pair(
            *(table, left, right, measure, missing, joint), key=key, num_shuffles=num_shuffles
        )

    # DuckDB uses all cores for one query; Spark needs several at once to be busy.
    parallel = num_threads() if table.get_backend().name == "pyspark" else 1
    with ThreadPoolExecutor(parallel) as threads_of_engine:
        pairs |= dict(zip(rest, threads_of_engine.map(inform, rest), strict=True))

    # Every measure but the raw one is 1 between a feature and itself.
    matrix = np.eye(len(features))
    for (row, column), pair in pairs.items():
        matrix[row, column] = matrix[column, row] = pair.figure(measure)
    if measure == "mutual_information":
        for i, name in enumerate(features):
            counted_weights = joint or (lambda names: joint_weights(table, names, missing))
            matrix[i, i] = (
                entropies[i] if i in entropies else entropy_of_weights(counted_weights([name]))
            )
    return matrix


def _engine_pair(
    table: Table,
    left: str,
    right: str,
    measure: Measure,
    missing: Missing,
    joint: Joint | None,
    *,
    key: str,
    num_shuffles: int,
) -> PairInformation:
    """Measure one pair with the engine: from its joint weights, or cheaper if it has the key."""
    multi = _is_multi(table, left) or _is_multi(table, right)
    if key in (left, right) and not multi:
        return _key_pair(table, left, right, missing, key)
    # Counts of pairs with the key are not stored; see `PairCounts`.
    computed = joint is None or key in (left, right)
    weights = joint_weights(table, (left, right), missing) if computed else joint((left, right))  # type: ignore[misc]
    found = joint_information(weights)
    if measure != "adjusted":
        return found
    if not multi:
        chance = chance_information(weights)
    else:
        chance = chance_by_shuffling(
            table, left, right, missing, key=key, num_shuffles=num_shuffles
        )
    return PairInformation(
        found.mutual_information, found.left_entropy, found.right_entropy, chance
    )


def _key_pair(table: Table, left: str, right: str, missing: Missing, key: str) -> PairInformation:
    """Measure the key with a single-valued feature, without counting their value pairs.

    The key determines the feature, so I = H(feature). It would determine any other feature with
    these counts as well, so the chance level is H(feature) too.
    """
    other = right if left == key else left
    rows = present_rows(table, (key, other)) if missing == "leave_out" else table
    of_other = entropy_of_weights(joint_weights(rows, (other,), missing))
    num_items = int(rows.count().to_pyarrow().as_py())
    of_key = round(float(np.log(max(num_items, 1))), 10)
    entropies = (of_key, of_other) if left == key else (of_other, of_key)
    return PairInformation(of_other, *entropies, of_other)


def _is_multi(table: Table, name: str) -> bool:
    return isinstance(table[name], ArrayColumn)


def _fits_as_codes(table: Table, features: Sequence[str], codes_gib: float) -> bool:
    """Return whether there are pairs of single-valued features, and their codes fit in memory."""
    single = sum(not _is_multi(table, name) for name in features)
    if single < 2 or codes_gib <= 0 or table.get_backend().name != "duckdb":
        return False
    # The codes, and 12 bytes an item for each pair that is being counted.
    bytes_an_item = 4 * single + 12 * num_threads()
    return int(table.count().to_pyarrow().as_py()) * bytes_an_item <= codes_gib * 2**30
