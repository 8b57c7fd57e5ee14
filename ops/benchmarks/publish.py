"""The cost of a publication, against Feast's `materialize` of the same rows, store by store.

Each side runs in a process of its own, in turns, into an empty store. Its seconds are those of the
call alone, its memory is the peak of the whole process (`ru_maxrss`). The publication is the real
one, by `longtail.embeddings.publish`. `--large-rows` are published once, and not materialized.
Ratios; with `_sqlite` or `_redis` for that store, without for the worse of the two:

    vs_feast_materialize     seconds of `materialize` / those of the step `write`
    write_and_read_vs_feast  seconds of `materialize` / those of `write` and `read back` together
    peak_memory_vs_feast     memory of the whole publication / that of `materialize`
    rate_1m_vs_100k          rows per second, written and read back, at --large-rows / at --rows
    memory_1m_vs_100k        memory of the publication at --large-rows / at --rows
"""

import argparse
import contextlib
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from publish_parts.rows import make_project
from report import Report, run_benchmark

DIM = 128
WORST: dict[str, Callable[[Iterable[float]], float]] = {
    "vs_feast_materialize": min,
    "write_and_read_vs_feast": min,
    "peak_memory_vs_feast": max,
    "rate_1m_vs_100k": min,
    "memory_1m_vs_100k": max,
}
Figures = dict[str, float]
"""The figures of one process by label: seconds and megabytes."""

_PROCESSES = Path(__file__).parent / "publish_parts" / "processes.py"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the sizes. The defaults are the sizes for which bounds are set."""
    parser.add_argument("--rows", type=int, default=100_000, help="rows of both sides")
    parser.add_argument("--large-rows", type=int, default=1_000_000, help="published only; 0: none")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender")
    parser.add_argument(
        "--stores",
        type=_stores,
        default=list(STORES),
        help="sqlite, redis or sqlite,redis",
    )


def measure(options: argparse.Namespace) -> Report:
    """Measure every store. A figure without a store's name is the worst of them."""
    ratios: dict[str, float] = {}
    measured: dict[str, Any] = {}
    for name in options.stores:
        beside = [_round(name, options.rows, turn) for turn in range(options.rounds)]
        figures = _ratios(beside)
        measured |= {f"{name}_{label}": value for label, value in _medians(beside).items()}
        if options.large_rows:
            _say(f"{name}: {options.large_rows} rows")
            large = _measured(name, options.large_rows, ["publish"])["publish"]
            measured |= {f"{name}_large_{label}": value for label, value in large.items()}
            figures |= _large_ratios(large, options.large_rows, beside, options.rows)
        ratios |= {f"{label}_{name}": value for label, value in figures.items()}
    worst = {
        label: pick(ratios[f"{label}_{name}"] for name in options.stores)
        for label, pick in WORST.items()
        if f"{label}_{options.stores[0]}" in ratios
    }
    settings = {"rows": options.rows, "large_rows": options.large_rows, "dim": DIM}
    settings |= {"rounds": options.rounds, "stores": options.stores}
    return Report("publish", {**worst, **ratios}, settings, measured)


def _round(name: str, num_rows: int, turn: int) -> dict[str, Figures]:
    _say(f"{name}: {num_rows} rows, round {turn + 1}")
    contenders = ["publish", "materialize"]
    return _measured(name, num_rows, contenders if turn % 2 else contenders[::-1])


def _ratios(rounds: list[dict[str, Figures]]) -> Figures:
    """Return the medians over rounds."""
    pairs = [(found["publish"], found["materialize"]) for found in rounds]
    return {
        "vs_feast_materialize": statistics.median(
            feast["materialize_s"] / ours["write_s"] for ours, feast in pairs
        ),
        "write_and_read_vs_feast": statistics.median(
            feast["materialize_s"] / (ours["write_s"] + ours["read_s"]) for ours, feast in pairs
        ),
        "peak_memory_vs_feast": statistics.median(
            ours["peak_rss_mb"] / feast["peak_rss_mb"] for ours, feast in pairs
        ),
    }


def _large_ratios(
    large: Figures, large_rows: int, rounds: list[dict[str, Figures]], num_rows: int
) -> Figures:
    small = [found["publish"] for found in rounds]
    seconds = statistics.median(ours["write_s"] + ours["read_s"] for ours in small)
    memory = statistics.median(ours["peak_rss_mb"] for ours in small)
    large_rate = large_rows / (large["write_s"] + large["read_s"])
    return {
        "rate_1m_vs_100k": large_rate / (num_rows / seconds),
        "memory_1m_vs_100k": large["peak_rss_mb"] / memory,
    }


def _medians(rounds: list[dict[str, Figures]]) -> Figures:
    return {
        f"{contender}_{label}": statistics.median(r[contender][label] for r in rounds)
        for contender, figures in rounds[0].items()
        for label in figures
    }


def _measured(name: str, num_rows: int, contenders: list[str]) -> dict[str, Figures]:
    """Run each contender once into an empty store of its own, and return its figures by name."""
    figures = {}
    for contender in contenders:
        with tempfile.TemporaryDirectory() as folder, STORES[name](Path(folder)) as online_store:
            config = make_project(Path(folder) / "project", num_rows, DIM, online_store)
            command = [sys.executable, str(_PROCESSES), contender]
            command += [str(config.home), str(config.feature_repo)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            # Feast prints its progress there as well, so the document is the last line.
            figures[contender] = json.loads(done.stdout.splitlines()[-1])
    return figures


@contextlib.contextmanager
def _sqlite(folder: Path) -> Iterator[dict[str, Any]]:
    yield {"type": "sqlite", "path": str(folder / "online_store.db")}


@contextlib.contextmanager
def _redis(folder: Path) -> Iterator[dict[str, Any]]:
    """Run a Redis server on loopback, without persistence, and yield its Feast settings."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    try:
        server = subprocess.Popen(
            [*command, "--dir", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except FileNotFoundError:
        sys.exit("publish: redis-server is not installed: install it, or give --stores sqlite")
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            if server.poll() is not None or time.monotonic() > deadline:
                sys.exit("publish: redis-server does not start")
            time.sleep(0.05)
        yield {"type": "redis", "connection_string": f"127.0.0.1:{port}"}
    finally:
        server.kill()
        server.wait()


STORES: dict[str, Callable[[Path], AbstractContextManager[dict[str, Any]]]] = {
    "sqlite": _sqlite,
    "redis": _redis,
}


def _stores(text: str) -> list[str]:
    names = text.split(",")
    if set(names) - set(STORES):
        raise ValueError(text)
    return names


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    about = "publication beside Feast's materialize: seconds, memory, a million rows"
    run_benchmark(measure, add_options, about=about)
