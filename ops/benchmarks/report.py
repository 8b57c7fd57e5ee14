"""The frame of every benchmark: its options, its figures, and their printing.

A benchmark measures us against a named reference in the same run, so that its ratios hold on a
noisy machine as well. `longtail bench NAME` runs `NAME.py`, and so does
`python ops/benchmarks/NAME.py`.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Report:
    """The result of a benchmark.

    Attributes:
        name: the name of the benchmark.
        ratios: the figures that matter, by label.
        settings: sizes, threads and versions, all that is needed to run it again.
        measured: the figures behind the ratios, each with its unit in its label.
    """

    name: str
    ratios: Mapping[str, float]
    settings: Mapping[str, Any]
    measured: Mapping[str, Any] = field(default_factory=dict)


def run_benchmark(
    measure: Callable[[argparse.Namespace], Report],
    add_options: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
    *,
    about: str,
) -> None:
    """Parse the command line, measure, and print: tables for people, or one JSON document.

    Args:
        measure: does the work. It must print its progress to stderr.
        add_options: adds the benchmark's own options.
        about: one line for `--help`.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    add_options(parser)
    arguments = parser.parse_args()
    # Settings include the machine, so that a stored document can be read without its context.
    report = measure(arguments)
    document = asdict(report)
    document["settings"] = {**document["settings"], **machine()}
    if arguments.json:
        sys.stdout.write(json.dumps(document, allow_nan=False) + "\n")
        return
    console = Console(highlight=False)
    for title in ("ratios", "measured", "settings"):
        table = Table(title=f"{report.name}: {title}", title_justify="left", show_header=False)
        for label, value in document[title].items():
            table.add_row(label, f"{value:.4g}" if isinstance(value, float) else str(value))
        console.print(table)


def alternately(
    contenders: Mapping[str, Callable[[], object]], *, rounds: int
) -> dict[str, list[float]]:
    """Time contenders in turns, so that other work of the machine slows all of them.

    Args:
        contenders: the functions to time, by label.
        rounds: number of timed rounds, after one that warms up.

    Returns:
        The seconds of each call, by label, in the order of the rounds.
    """
    seconds: dict[str, list[float]] = {label: [] for label in contenders}
    for turn in range(rounds + 1):
        for label, call in contenders.items():
            start = time.perf_counter()
            call()
            if turn:
                seconds[label].append(time.perf_counter() - start)
    return seconds


def median_ratio(of: list[float], to: list[float]) -> float:
    """Return the median over rounds of `of[i] / to[i]`, the seconds of two contenders."""
    return statistics.median(a / b for a, b in zip(of, to, strict=True))


def machine() -> dict[str, Any]:
    """Return the kind of machine, without anything that identifies it."""
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
    }
