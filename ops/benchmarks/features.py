"""The cost of a training set, against Feast's data frame in pandas, at 1 and 10 million rows.

    longtail bench features --json
    longtail bench features --rows 1000000 --large-rows 2000000    # smaller

The tables have 20 features, see features_parts/project.py. Ten times the interactions have ten
times the queries and items. Both contenders start from the Parquet tables and end with the examples
of one epoch, shuffled, in batches of encoded features. Ours is all of `longtail dataset`: it also
checks every row, keeps each pair once, splits, and writes. The reference is Feast's
`get_historical_features(...).to_df()` of all interactions, `factorize` of each column, and a
permutation. Each run is a process of its own, so that its peak memory is its own. Ratios:

    vs_feast_pandas_10m     reference seconds / our seconds, at --large-rows, where the reference
                            takes 20 GiB (--without-large-reference leaves it out); above 1 we are
                            faster
    vs_feast_pandas         the same at --rows
    vs_feast_pandas_catalogue_ready     the same without our stage `catalogue`, which reads, checks
                            and sorts; the rest retrieves, encodes and shuffles
    rate_10m_vs_1m          interactions per second at --large-rows / those at --rows
    peak_gib                largest memory of any run of ours
    feast_pandas_peak_gib   largest memory of any reference run
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from features_parts.project import feature_names, write_project
from report import Report, median_ratio, run_benchmark


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the sizes. The defaults are the sizes for which bounds are set."""
    parser.add_argument("--rows", type=int, default=1_000_000, help="interactions of both")
    parser.add_argument("--large-rows", type=int, default=10_000_000, help="of both, one run each")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender at --rows")
    parser.add_argument(
        "--without-large-reference", action="store_true", help="measure only ours at --large-rows"
    )


def measure(options: argparse.Namespace) -> Report:
    """Measure both contenders at one size, in turns, then each once at the large size."""
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    theirs_at_large: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        small, large = Path(temporary) / "small", Path(temporary) / "large"
        _say(f"tables of {options.rows} interactions")
        write_project(small, options.rows)
        # In turns, so that a slow minute of the machine hits both.
        for turn in range(options.rounds):
            _say(f"round {turn + 1} of {options.rounds}")
            ours.append(_run("ours", small))
            theirs.append(_run("feast_pandas", small))
        shutil.rmtree(small)
        _say(f"tables of {options.large_rows} interactions")
        write_project(large, options.large_rows)
        at_large = _run("ours", large)
        if not options.without_large_reference:
            theirs_at_large.append(_run("feast_pandas", large))
    seconds, reference = _seconds(ours), _seconds(theirs)
    # The reference neither checks nor sorts, so compare also without the stage that does.
    later = [run["seconds"] - run["stages"]["catalogue"] for run in ours]
    rate = statistics.median(run["num_rows"] / run["seconds"] for run in ours)
    ratios = {
        "vs_feast_pandas": median_ratio(reference, seconds),
        "vs_feast_pandas_catalogue_ready": median_ratio(reference, later),
        "rate_10m_vs_1m": at_large["num_rows"] / at_large["seconds"] / rate,
        "peak_gib": max(run["peak_gib"] for run in [*ours, at_large]),
        "feast_pandas_peak_gib": max(run["peak_gib"] for run in [*theirs, *theirs_at_large]),
    }
    for run in theirs_at_large:
        ratios["vs_feast_pandas_10m"] = run["seconds"] / at_large["seconds"]
    return Report(
        "features",
        ratios,
        settings={
            "rows": options.rows,
            "large_rows": options.large_rows,
            "rounds": options.rounds,
            "features": len(feature_names("query") + feature_names("item")),
        },
        measured={
            "ours_seconds": seconds,
            "feast_pandas_seconds": reference,
            "ours_large_seconds": at_large["seconds"],
            "feast_pandas_large_seconds": _seconds(theirs_at_large),
            "ours_stages": ours[-1]["stages"],
            "feast_pandas_stages": theirs[-1]["stages"],
            "ours_large_stages": at_large["stages"],
            "ours_cpu_seconds": ours[-1]["cpu_seconds"],
            "feast_pandas_cpu_seconds": theirs[-1]["cpu_seconds"],
            "ours_large_cpu_seconds": at_large["cpu_seconds"],
            "ours_peak_gib": max(run["peak_gib"] for run in ours),
            "ours_large_peak_gib": at_large["peak_gib"],
        },
    )


def _run(contender: str, project: Path) -> dict[str, Any]:
    shutil.rmtree(project / "home", ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "features_parts.contenders", contender, str(project)],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    document: dict[str, Any] = json.loads(done.stdout)
    _say(f"{contender}: {document['num_rows']} rows in {document['seconds']:.1f} s")
    return document


def _seconds(runs: list[dict[str, Any]]) -> list[float]:
    return [run["seconds"] for run in runs]


def _say(message: str) -> None:
    """Print progress to stderr, apart from the document on stdout."""
    print(f"features: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_benchmark(measure, add_options, about=(__doc__ or "").split("\n")[0])
