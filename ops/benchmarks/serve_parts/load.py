"""A serving process under mixed load. It checks every answer.

`python load.py HOME REPOSITORY TRUTH THREADS` prints a version whenever all of its threads look up
that version, and one JSON document when its standard input is closed.
"""

import json
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_BENCHMARKS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_BENCHMARKS), str(_BENCHMARKS.parents[1] / "platform")]

NUM_KEYS, K = 100, 20
LATENCIES = 5_000
"""Latencies kept of each kind, the newest: a list of all would itself be memory that grows."""
MAX_MESSAGES = 5


class Load:
    """Reads of each kind, with their failures and latencies.

    Args:
        config: the project to read from.
        truth: the right answers, by version.
        num_threads: number of threads that will call `read`.
    """

    def __init__(self, config: Any, truth: Any, num_threads: int) -> None:
        from serve_parts.project import query_rows

        from longtail.serving import EmbeddingClient, Neighbours, QueryEncoder, Recommender

        self.truth = truth
        self.client, self.neighbours = EmbeddingClient(config), Neighbours(config)
        self.recommender, self.encoder = Recommender(config), QueryEncoder(config)
        self.rows = query_rows(config, len(truth.queries))
        self.kinds: dict[str, Callable[[np.random.Generator], str]] = {
            "lookup": self._lookup,
            "neighbours": self._neighbours,
            "recommend": self._recommend,
            "filters": self._filters,
            "encode": self._encode,
        }
        self.num_reads: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.messages: list[str] = []
        self.seconds: dict[str, deque[float]] = {
            kind: deque(maxlen=LATENCIES) for kind in self.kinds
        }
        # By thread, because two reads at the same time may end in another order than they began.
        self.served: list[list[str]] = [[] for _ in range(num_threads)]
        self._announced: str | None = None
        self._lock = threading.Lock()

    def read(self, kind: str, thread: int, random: np.random.Generator) -> None:
        """Do one read for one thread, and count whatever goes wrong."""
        from serve_parts.truth import MixedVersionsError

        start, failure, version = time.perf_counter(), None, None
        try:
            version = self.kinds[kind](random)
        except MixedVersionsError as error:
            failure = ("mixed", str(error))
        except Exception as error:
            failure = ("error", f"{kind}: {error!r}")
        with self._lock:
            self.num_reads[kind] += 1
            self.seconds[kind].append(time.perf_counter() - start)
            if failure is not None:
                self.failures[failure[0]] += 1
                self.messages = [*self.messages, failure[1]][:MAX_MESSAGES]
            elif kind == "lookup":
                self._follow(thread, str(version))

    def _follow(self, thread: int, version: str) -> None:
        """Note the version that a thread looked up, and print it once all threads look it up."""
        if version not in self.served[thread][-1:]:
            self.served[thread].append(version)
        if version != self._announced and all(own[-1:] == [version] for own in self.served):
            self._announced = version
            print(version, flush=True)

    def _lookup(self, random: np.random.Generator) -> str:
        chosen = random.choice(len(self.truth.items), NUM_KEYS, replace=False)
        answer = self.client.lookup([self.truth.items[row] for row in chosen])
        self.truth.check_lookup(answer)
        return str(answer["version"])

    def _neighbours(self, random: np.random.Generator) -> str:
        item = self.truth.items[random.integers(len(self.truth.items))]
        answer = self.neighbours.of_item(item, K)
        own = self.truth.vector(answer["version"], item)
        self.truth.check_results(answer["version"], own, answer["results"])
        return str(answer["version"])

    def _recommend(self, random: np.random.Generator) -> str:
        row = int(random.integers(len(self.truth.queries)))
        answer = self.recommender.recommend(self.truth.queries[row], K)
        own = self.truth.query_vectors[answer["version"]][row]
        self.truth.check_results(answer["version"], own, answer["results"])
        return str(answer["version"])

    def _filters(self, random: np.random.Generator) -> str:
        row = int(random.integers(len(self.truth.queries)))
        chosen = random.choice(len(self.truth.items), len(self.truth.items) // 4, replace=False)
        allowed = {self.truth.items[each] for each in chosen[50:]}
        hidden = {self.truth.items[each] for each in chosen[:100]}
        answer = self.recommender.recommend_to(self.rows[row], K, exclude=hidden, allowed=allowed)
        (results,) = answer["results"]
        if not {result["item"] for result in results} <= allowed - hidden or len(results) < K:
            raise ValueError(f"filters were not kept: {results}")
        own = self.truth.query_vectors[answer["version"]][row]
        self.truth.check_results(answer["version"], own, results)
        return str(answer["version"])

    def _encode(self, random: np.random.Generator) -> str:
        """Encode a query, then search with the vector, as two services would.

        The search refuses the vector if another version is served by then. That is right, and is
        counted apart from errors.
        """
        from serve_parts.truth import SCORE_TOLERANCE, MixedVersionsError

        from longtail.errors import LongtailError

        row = int(random.integers(len(self.truth.queries)))
        encoded = self.encoder.encode(self.rows[row])
        own = self.truth.query_vectors[encoded.version][row]
        if not np.allclose(encoded.vectors[0], own, atol=SCORE_TOLERANCE):
            raise MixedVersionsError(
                f"a query vector of {encoded.version} belongs to another version"
            )
        try:
            results = self.neighbours.of_vector(encoded.version, encoded.vectors[0], K)
        except LongtailError as error:
            if "the two cannot be compared" not in str(error):
                raise
            with self._lock:
                self.failures["encode again"] += 1
        else:
            self.truth.check_results(encoded.version, own, results)
        return encoded.version

    def report(self) -> dict[str, Any]:
        """Return the counts, the latencies and the first messages."""
        return {
            "num_errors": self.failures["error"],
            "num_mixed_versions": self.failures["mixed"],
            "num_encode_again": self.failures["encode again"],
            "messages": self.messages,
            "num_reads": dict(self.num_reads),
            "served": self.served,
            "p50_ms": {kind: 1e3 * float(np.median(list(of))) for kind, of in self.seconds.items()},
            "p99_ms": {
                kind: 1e3 * float(np.quantile(list(of), 0.99)) for kind, of in self.seconds.items()
            },
        }


def main() -> None:
    """Read from many threads until standard input is closed, and watch this process's memory."""
    home, repository, truth_file, num_threads = sys.argv[1:]
    import warnings

    from serve_parts.processes import memory
    from serve_parts.truth import read_truth

    from longtail.config import Config

    # Feast warns when a service is applied between two of its own reads of the registry.
    warnings.filterwarnings("ignore", message="The FeatureService object that has been passed")
    config = Config(feature_repo=Path(repository), home=Path(home))
    load = Load(config, read_truth(Path(truth_file)), int(num_threads))
    # One read of each kind first, so that imports and caches do not count as growth.
    for kind in load.kinds:
        load.read(kind, 0, np.random.default_rng(0))
    stop = threading.Event()

    def loop(number: int) -> None:
        random, kinds = np.random.default_rng(1 + number), list(load.kinds)
        turn = number
        while not stop.is_set():
            load.read(kinds[turn % len(kinds)], number, random)
            turn += 1

    def watch() -> None:
        while not stop.wait(0.2):
            held = memory()
            samples.append((time.monotonic(), held["rss_mb"], held["anonymous_mb"]))

    samples: list[tuple[float, float, float]] = []
    threads = [threading.Thread(target=loop, args=(each,)) for each in range(int(num_threads))]
    threads.append(threading.Thread(target=watch))
    start = time.monotonic()
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    took = time.monotonic() - start
    print(json.dumps({**load.report(), "seconds": took, "memory_mb": samples}), flush=True)


if __name__ == "__main__":
    main()
