"""The speed of counting feature pairs, against scikit-learn, at 10 and 100 million items.

    longtail bench mining --json
    longtail bench mining --rows 1000000 --large-rows 4000000     # smaller

Ten features of 10 to a million values, each by Zipf's law (value k with a frequency of about 1 / k)
and independent of the others, so that every combination of a pair's values can occur. Both
contenders start from the same int32 codes. scikit-learn uses one core, and would take a quarter of
an hour for all pairs at the full size, so it takes a random choice of them. Ratios:

    vs_sklearn            seconds of `mutual_info_score` / our seconds, on the same pairs; above 1
                          we are faster
    vs_sklearn_64k        the same over 64 thousand items, all pairs
    per_row_100m_vs_10m   seconds per item, all pairs, at the large size / at the full size
    peak_gib              largest memory of this process, codes included
"""

import argparse
import resource
import sys
import time
from itertools import combinations

import numpy as np
from report import Report, alternately, median_ratio, run_benchmark

from longtail.correlation.code_counts import Codes, Pair, pairs_of_codes
from longtail.correlation.measures import PairInformation

CARDINALITIES = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 1_000_000)
PAIRS = list(combinations(range(len(CARDINALITIES)), 2))
TOLERANCE = 1e-6


def make_columns(num_rows: int, seed: int) -> list[np.ndarray]:
    """Return one int32 column `[num_rows]` for each of `CARDINALITIES`."""
    generator = np.random.default_rng(seed)
    columns = []
    for size in CARDINALITIES:
        column = np.empty(num_rows, dtype=np.int32)
        for start in range(0, num_rows, 1 << 22):
            block = column[start : start + (1 << 22)]
            # Log-uniform: the value k - 1 has the probability ln((k + 1) / k) / ln(size + 1).
            drawn = np.exp(generator.random(len(block)) * np.log(size + 1))
            block[:] = np.minimum(drawn.astype(np.int32) - 1, size - 1)
        columns.append(column)
    return columns


def ours(
    columns: list[np.ndarray], pairs: list[Pair], num_threads: int
) -> dict[Pair, PairInformation]:
    """Return our figures, from the codes alone: counting each feature is included."""
    features = [Codes(c, s) for c, s in zip(columns, CARDINALITIES, strict=True)]
    return pairs_of_codes(features, "value", num_threads=num_threads, pairs=pairs)


def theirs(columns: list[np.ndarray], pairs: list[Pair]) -> dict[Pair, float]:
    """Return scikit-learn's mutual information of each pair, in nats."""
    from sklearn.metrics import mutual_info_score

    return {(i, j): float(mutual_info_score(columns[i], columns[j])) for i, j in pairs}


def compare(
    columns: list[np.ndarray], pairs: list[Pair], num_threads: int, rounds: int
) -> dict[str, list[float]]:
    """Return the seconds of both contenders, measured in turns.

    Raises:
        AssertionError: a figure differs from scikit-learn's by `TOLERANCE` or more.
    """
    found, expected = ours(columns, pairs, num_threads), theirs(columns, pairs)
    difference = max(abs(found[p].mutual_information - expected[p]) for p in pairs)
    assert difference < TOLERANCE, f"a figure is {difference} away from scikit-learn's"
    return alternately(
        {
            "ours": lambda: ours(columns, pairs, num_threads),
            "sklearn": lambda: theirs(columns, pairs),
        },
        rounds=rounds,
    )


def seconds_of(columns: list[np.ndarray], num_threads: int) -> float:
    """Return the seconds that all pairs take."""
    start = time.perf_counter()
    ours(columns, PAIRS, num_threads)
    return time.perf_counter() - start


def measure(options: argparse.Namespace) -> Report:
    """Measure the three sizes."""
    threads = options.threads
    say("64 thousand items")
    small = compare(make_columns(options.small_rows, 1), PAIRS, threads, rounds=5)

    say(f"{options.rows} items against scikit-learn")
    columns = make_columns(options.rows, 2)
    chosen = np.random.default_rng(3).choice(len(PAIRS), options.sklearn_pairs, replace=False)
    pairs = [PAIRS[i] for i in sorted(chosen)]
    full = compare(columns, pairs, threads, rounds=1)

    say(f"all {len(PAIRS)} pairs of {options.rows} and of {options.large_rows} items")
    # The full size before and after the large one, so that a change of the machine's speed shows.
    before = [seconds_of(columns, threads) for _ in range(2)]
    large_columns = make_columns(options.large_rows, 4)
    large = seconds_of(large_columns, threads)
    del large_columns
    after = [seconds_of(columns, threads) for _ in range(2)]
    base = float(np.median(before + after))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return Report(
        "mining",
        ratios={
            "vs_sklearn": median_ratio(full["sklearn"], full["ours"]),
            "vs_sklearn_64k": median_ratio(small["sklearn"], small["ours"]),
            "per_row_100m_vs_10m": (large / options.large_rows) / (base / options.rows),
            "peak_gib": peak,
        },
        settings={
            "rows": options.rows,
            "large_rows": options.large_rows,
            "small_rows": options.small_rows,
            "threads": threads,
            "cardinalities": list(CARDINALITIES),
            "pairs": len(PAIRS),
            "sklearn_pairs": [[CARDINALITIES[i], CARDINALITIES[j]] for i, j in pairs],
        },
        measured={
            "ours_seconds": full["ours"],
            "sklearn_seconds": full["sklearn"],
            "ours_64k_seconds": small["ours"],
            "sklearn_64k_seconds": small["sklearn"],
            "all_pairs_seconds": before + after,
            "large_all_pairs_seconds": large,
        },
    )


def say(message: str) -> None:
    """Print progress to stderr, apart from the document on stdout."""
    print(f"mining: {message}", file=sys.stderr, flush=True)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the sizes. The defaults are the sizes for which bounds are set."""
    parser.add_argument("--rows", type=int, default=10_000_000, help="items at the full size")
    parser.add_argument("--large-rows", type=int, default=100_000_000)
    parser.add_argument("--small-rows", type=int, default=65_536)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--sklearn-pairs", type=int, default=8, help="pairs that scikit-learn measures at --rows"
    )


if __name__ == "__main__":
    run_benchmark(measure, add_options, about=(__doc__ or "").split("\n")[0])
