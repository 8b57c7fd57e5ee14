"""Minutes of mixed load on one serving process, while versions are published and rolled back.

Threads look up, search, recommend, filter and encode, and compare every answer with the files of
the version that it names. Meanwhile other processes publish three versions and roll one back. The
report counts errors, answers that mix versions, the growth of the process's memory, and the time
from a publication until every thread looks the new version up.
"""

import argparse
import json
import os
import queue
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from report import Report, run_benchmark
from serve_parts.project import VERSION, add_version, approve, publish_project
from serve_parts.truth import write_truth

VERSIONS = [VERSION, *(f"20240110-{number:08x}" for number in (2, 3, 4))]
EVENTS = ["publish", "publish", "rollback", "publish"]
SERVED = [VERSIONS[0], VERSIONS[1], VERSIONS[2], VERSIONS[1], VERSIONS[3]]
CACHE_TTL_SECONDS = 5
"""Seconds after which lookups read the registry again."""

FOLLOW_SECONDS = 120.0
"""Seconds after which a load that does not follow the served version has failed."""

ALLOCATORS = {"MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}
"""The settings that SERVING.md recommends for a process of many threads."""

_PARTS = Path(__file__).parent / "serve_parts"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the sizes. The defaults are the sizes for which bounds are set."""
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="minutes of load, without the events"
    )
    parser.add_argument("--num-items", type=int, default=20_000, help="published items")
    parser.add_argument("--num-threads", type=int, default=8, help="threads that read")
    parser.add_argument(
        "--more-rollbacks", type=int, default=0, help="rollbacks at the end: does memory grow?"
    )


def measure(options: argparse.Namespace) -> Report:
    """Make the versions, start the load, run the events, and read the figures of the load."""
    events = EVENTS + ["rollback"] * options.more_rollbacks
    # A rollback serves the version before, so rollbacks go back and forth between two versions.
    served = SERVED + [SERVED[-2 + turn % 2] for turn in range(options.more_rollbacks)]
    phase = 60 * options.minutes / (len(events) + 1)
    with tempfile.TemporaryDirectory() as folder:
        _say(f"making {len(VERSIONS)} versions of {options.num_items} items")
        config = publish_project(Path(folder), options.num_items)
        settings = config.feature_repo / "feature_store.yaml"
        # The demo caches the registry for a minute, which is long beside a phase.
        text, changed = re.subn(
            r"cache_ttl_seconds: \d+",
            f"cache_ttl_seconds: {CACHE_TTL_SECONDS}",
            settings.read_text(),
        )
        assert changed == 1
        settings.write_text(text)
        for version in VERSIONS[1:]:
            add_version(config, version)
        truth = Path(folder) / "truth.npz"
        write_truth(config, VERSIONS, truth)
        where = [str(config.home), str(config.feature_repo)]
        arguments = [*where, str(truth), str(options.num_threads)]
        load = subprocess.Popen(
            [sys.executable, str(_PARTS / "load.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ALLOCATORS},
        )
        try:
            lines = Lines(load)
            lines.wait_for(served[0])
            warm, took, end = _events(config, where, events, served, phase, lines)
            found = lines.document()
        finally:
            load.kill()
            load.wait()
    followed = all(own == served for own in found["served"])
    (warm_mb, warm_anonymous_mb), (end_mb, end_anonymous_mb) = (
        _memory(found, when) for when in (warm, end)
    )
    return Report(
        name="soak",
        ratios={
            "num_errors": found["num_errors"] + (0 if followed else 1),
            "num_mixed_versions": found["num_mixed_versions"],
            "memory_growth": end_mb / warm_mb,
            "reads_per_second": sum(found["num_reads"].values()) / found["seconds"],
        },
        settings={
            "minutes": options.minutes,
            "num_items": options.num_items,
            "num_threads": options.num_threads,
            "events": events,
            "cache_ttl_seconds": CACHE_TTL_SECONDS,
            "environment": ALLOCATORS,
        },
        measured={
            "rss_warm_mb": warm_mb,
            "rss_end_mb": end_mb,
            "anonymous_warm_mb": warm_anonymous_mb,
            "anonymous_end_mb": end_anonymous_mb,
            "anonymous_mb_by_minute": _by_minute(found["memory_mb"]),
            "rss_peak_mb": max(of for _, of, _ in found["memory_mb"]),
            **took,
            "every_version_was_followed": followed,
            "served": sorted({tuple(own) for own in found["served"]}),
            **{name: found[name] for name in ("num_reads", "num_encode_again")},
            **{name: found[name] for name in ("p50_ms", "p99_ms", "messages")},
        },
    )


class Lines:
    """The lines that a load prints: the versions that it follows, and at the end its figures."""

    def __init__(self, load: subprocess.Popen[str]) -> None:
        self._load = load
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._load.stdout is not None
        for line in self._load.stdout:
            self._lines.put(line.strip())
        self._lines.put("")

    def wait_for(self, version: str) -> float:
        """Wait until all threads look up a version, and return the seconds that it took.

        Raises:
            RuntimeError: it took longer than `FOLLOW_SECONDS`, or the load ended.
        """
        began = time.monotonic()
        try:
            line = self._lines.get(timeout=FOLLOW_SECONDS)
        except queue.Empty:
            raise RuntimeError(f"{version} is not served after {FOLLOW_SECONDS} s") from None
        if line != version:
            raise RuntimeError(
                f"{version} should be served, but the load reports {line or 'nothing'!r}"
            )
        return time.monotonic() - began

    def document(self) -> dict[str, Any]:
        """Stop the load, and return its figures."""
        assert self._load.stdin is not None
        self._load.stdin.close()
        document: dict[str, Any] = json.loads(self._lines.get(timeout=FOLLOW_SECONDS))
        return document


Moments = tuple[float, float]


def _events(
    config: Any,
    where: list[str],
    events: list[str],
    served: list[str],
    phase: float,
    lines: Lines,
) -> tuple[Moments, dict[str, list[float]], Moments]:
    """Alternate phases of load alone with events, each event in a process of its own.

    Returns:
        The second half of the first phase, when memory is warm; the seconds of each event, and
        those from its end until all threads had followed (0 if they had by then); and the second
        half of the last phase.
    """
    took: dict[str, list[float]] = {"publisher_seconds": [], "follow_seconds": []}
    coming, phases = iter(VERSIONS[1:]), [_wait(phase)]
    for event, version in zip(events, served[1:], strict=True):
        _say(event)
        if event == "publish":
            approve(config, next(coming))
        began = time.monotonic()
        command = [sys.executable, str(_PARTS / "publisher.py"), event, *where]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        if not json.loads(done.stdout)["published"]:
            raise RuntimeError(f"nothing was published: {done.stdout}")
        took["publisher_seconds"].append(time.monotonic() - began)
        took["follow_seconds"].append(lines.wait_for(version))
        phases.append(_wait(phase))
    return phases[0], took, phases[-1]


def _wait(seconds: float) -> Moments:
    """Wait, and return when the second half began and ended, by the clock that processes share."""
    time.sleep(seconds)
    now = time.monotonic()
    return now - seconds / 2, now


def _memory(found: dict[str, Any], when: Moments) -> tuple[float, float]:
    """Return the median memory between two moments in MB: resident, and anonymous."""
    samples = [of for at, *of in found["memory_mb"] if when[0] <= at <= when[1]]
    resident, anonymous = (statistics.median(column) for column in zip(*samples, strict=True))
    return float(resident), float(anonymous)


def _by_minute(samples: list[tuple[float, float, float]]) -> list[float]:
    """Return the median anonymous memory of each minute in MB: a plateau, or a leak."""
    minutes: dict[int, list[float]] = {}
    for at, _, anonymous in samples:
        minutes.setdefault(int((at - samples[0][0]) // 60), []).append(anonymous)
    return [round(statistics.median(of), 1) for of in minutes.values()]


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_benchmark(measure, add_options, about="mixed load while versions come and go")
