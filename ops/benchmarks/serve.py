"""The cost of serving: lookups against raw Feast, neighbours in a million, encoding, memory.

Two things are measured. For lookups, encoding and memory, a project of `--num-items` synthetic
packages is published into SQLite, and processes serve it. Its version has the shape of the default
model and random weights. The graph index is measured on `--num-vectors` vectors of its own. They
are drawn around 1,000 centres; centres and vectors have unit length, and the noise around a centre
has `SPREAD` times its length. Queries are fresh draws of the same distribution, not in the index,
and are searched one by one.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from report import Report, run_benchmark
from serve_parts.project import publish_project

DIM, NUM_CLUSTERS, SPREAD, K = 128, 1_000, 0.5, 100
_PROCESSES = Path(__file__).parent / "serve_parts" / "processes.py"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the sizes. The defaults are the sizes for which bounds are set."""
    parser.add_argument("--num-items", type=int, default=50_000, help="published items")
    parser.add_argument("--num-vectors", type=int, default=1_000_000, help="in the graph index")
    parser.add_argument("--num-queries", type=int, default=1_000, help="searches of the index")
    parser.add_argument("--rounds", type=int, default=300, help="of the other measurements")


def measure(options: argparse.Namespace) -> Report:
    """Measure the served project, then the graph index."""
    with tempfile.TemporaryDirectory() as folder:
        _say(f"publishing {options.num_items} items")
        config = publish_project(Path(folder), options.num_items)

        # A process for each, so that its memory is only that of what it does.
        def run(what: str) -> dict[str, Any]:
            _say(what)
            arguments = [what, str(config.home), str(config.feature_repo), str(options.rounds)]
            command = [sys.executable, str(_PROCESSES), *arguments]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            document: dict[str, Any] = json.loads(done.stdout)
            return document

        encode, by_torch, serve = run("encode"), run("encode_by_torch"), run("serve")
    graph = _graph(options.num_vectors, options.num_queries)
    return Report(
        name="serve",
        ratios={
            "lookup_vs_feast": serve["lookup_vs_feast"],
            "neighbours_p50_ms": graph["p50_ms"],
            "neighbours_recall": graph["recall"],
            "encode_query_p50_ms": encode["p50_ms"],
            "serving_rss_mb": serve["rss_mb"] - serve["index_mb"],
            "encoding_rss_mb": encode["rss_mb"],
        },
        settings={
            "num_items": options.num_items,
            "num_vectors": options.num_vectors,
            "num_queries": options.num_queries,
            "rounds": options.rounds,
            "dim": DIM,
            "num_clusters": NUM_CLUSTERS,
            "spread": SPREAD,
            "k": K,
            "keys_a_lookup": 100,
        },
        measured={
            **{f"graph_{name}": value for name, value in graph.items()},
            **{f"serve_{name}": value for name, value in serve.items()},
            **{f"encode_{name}": value for name, value in encode.items()},
            **{f"encode_by_torch_{name}": value for name, value in by_torch.items()},
        },
    )


def _graph(num_vectors: int, num_queries: int) -> dict[str, float]:
    """Build the HNSW index of the default configuration, and search it query by query."""
    from longtail.config import IndexConfig
    from longtail.embeddings.index import make_index
    from longtail.embeddings.index_recall import recall

    random = np.random.default_rng(0)
    centres = _unit(random.standard_normal((NUM_CLUSTERS, DIM), dtype=np.float32))
    vectors = _draw(random, centres, num_vectors)
    queries = _draw(random, centres, num_queries)
    _say(f"building a graph of {num_vectors} vectors")
    start = time.perf_counter()
    index = make_index(IndexConfig(kind="hnsw"), vectors)
    built = time.perf_counter() - start
    seconds = []
    for query in queries:
        start = time.perf_counter()
        index.search(query[None], K)
        seconds.append(time.perf_counter() - start)
    return {
        "p50_ms": 1e3 * statistics.median(seconds),
        "p99_ms": 1e3 * float(np.quantile(seconds, 0.99)),
        "recall": recall(index, vectors, queries, K),
        "build_s": built,
    }


def _draw(
    random: np.random.Generator, centres: npt.NDArray[np.float32], count: int
) -> npt.NDArray[np.float32]:
    noise = random.standard_normal((count, DIM), dtype=np.float32) * np.float32(SPREAD / DIM**0.5)
    return _unit(noise + centres[random.integers(len(centres), size=count)])


def _unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    unit: npt.NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_benchmark(measure, add_options, about="lookups, neighbours, encoding, and their memory")
