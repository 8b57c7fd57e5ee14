"""What every benchmark is built from: its options, its figures, and how they are printed.

A benchmark measures itself against a named reference in the same run, so that its ratios mean the
same on a noisy machine. `longtail bench NAME` runs `NAME.py`, as `python ops/benchmarks/NAME.py`
does.
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
    """What a benchmark found.

    Attributes:
        name: of the benchmark.
        ratios: the figures that matter, by label; above or below one as the label says.
        settings: sizes, threads, versions: what is needed to run it again.
        measured: the figures that the ratios are made of, each with its unit in its label.
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
        measure: does the work; what it says of its progress belongs on stderr.
        add_options: adds the benchmark's own options.
        about: one line for `--help`.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    add_options(parser)
    arguments = parser.parse_args()
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
    """Time contenders in turns, so that what else the machine does falls on all of them.

    Args:
        contenders: what to call, by label.
        rounds: turns; a first one, to warm up, is not counted.

    Returns:
        Seconds of each call, by label, in the order of the rounds.
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
    """The median over rounds of one contender's seconds by another's."""
    return statistics.median(a / b for a, b in zip(of, to, strict=True))


def machine() -> dict[str, Any]:
    """What the figures were measured on, without anything that names the machine itself."""
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
    }
