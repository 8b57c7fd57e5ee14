"""Runs one measurement in a process of its own, so that its memory is its own.

`python processes.py WHAT HOME REPOSITORY ROUNDS` prints one JSON document. WHAT is `encode`,
`encode_by_torch` or `serve`.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

_BENCHMARKS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_BENCHMARKS), str(_BENCHMARKS.parents[1] / "platform")]


def main() -> None:
    """Run the measurement that the command line names, and print its figures as JSON."""
    what, home, repository, rounds = sys.argv[1:]
    from longtail.config import Config

    config = Config(feature_repo=Path(repository), home=Path(home))
    measure = {"encode": _encode, "encode_by_torch": _encode_by_torch, "serve": _serve}[what]
    figures = measure(config, int(rounds))
    print(json.dumps({**figures, **memory()}))


def memory() -> dict[str, float]:
    """Return the memory that this process holds, and held at most, in MB (1e6 bytes)."""
    # From the kernel's records, which include what native libraries hold.
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    kilobytes = {name: int(fields[name].split()[0]) for name in ("VmRSS", "VmHWM", "RssAnon")}
    return {
        "anonymous_mb": kilobytes["RssAnon"] * 1024 / 1e6,
        "rss_mb": kilobytes["VmRSS"] * 1024 / 1e6,
        "peak_rss_mb": kilobytes["VmHWM"] * 1024 / 1e6,
    }


def _p50_ms(calls: Sequence[Callable[[], object]]) -> float:
    """Return the median of single calls in ms, each with other input, after ten that warm up."""
    seconds = []
    for call in calls:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds[10:])


def _encode(config: Any, rounds: int) -> dict[str, float]:
    """Encode one query at a time from a dict of plain values, in a process that only encodes."""
    from serve_parts.project import query_rows

    from longtail.serving import QueryEncoder

    rows = query_rows(config, rounds)
    encoder = QueryEncoder(config)
    encoder.encode(rows[0])
    calls = [partial(encoder.encode, row) for row in rows]
    return {"p50_ms": _p50_ms(calls), "heavy": len({"torch", "feast", "pandas"} & set(sys.modules))}


def _encode_by_torch(config: Any, rounds: int) -> dict[str, float]:
    """Do the same with the torch module that export uses, on rows that are Arrow already."""
    import pyarrow as pa
    from serve_parts.project import VERSION, query_rows

    from longtail.artifacts import VersionPaths
    from longtail.encoder.torch_encoder import load_encoder
    from longtail.features.encoding import encode_table
    from longtail.serving.vocabulary_rows import load_served_vocabularies

    paths = VersionPaths(config, VERSION)
    encoder = load_encoder(paths.folder)
    vocabularies = load_served_vocabularies(paths.vocabularies)

    def encode(table: pa.Table) -> object:
        return encoder.encode("query", encode_table(table, encoder.schema.query, vocabularies))

    tables = [pa.Table.from_pylist([row]) for row in query_rows(config, rounds)]
    return {"p50_ms": _p50_ms([partial(encode, table) for table in tables])}


def _serve(config: Any, rounds: int) -> dict[str, float]:
    """Do everything in one process: lookups against raw Feast, neighbours, recommendations."""
    import numpy as np
    from report import alternately, median_ratio
    from serve_parts.project import VERSION, query_rows

    from longtail.artifacts import VersionPaths
    from longtail.features.feast.embedding_slots import SERVICE
    from longtail.features.feast.online_connection import open_online, required_service
    from longtail.serving import EmbeddingClient, ItemEncoder, Neighbours, Recommender

    client, neighbours, recommender = (
        EmbeddingClient(config),
        Neighbours(config),
        Recommender(config),
    )
    items = neighbours.served().items.to_pylist()
    random = np.random.default_rng(0)
    store = open_online(config)
    service = required_service(store, SERVICE)

    def keys() -> list[str]:
        return [items[row] for row in random.integers(len(items), size=100)]

    # Feast's `to_dict` is what a caller writes to get vectors; the bare response is for comparison.
    def raw(as_dict: bool) -> object:
        rows = {"item_id": keys()}
        response = store.get_online_features(features=service, entity_rows=rows)
        return response.to_dict() if as_dict else response

    seconds = alternately(
        {
            "client": lambda: client.lookup(keys()),
            "feast": lambda: raw(as_dict=True),
            "feast_response_only": lambda: raw(as_dict=False),
        },
        rounds=rounds,
    )
    p50 = {name: statistics.median(of) for name, of in seconds.items()}
    # Load every other part as well: the memory is that of a process that does everything.
    for row in query_rows(config, min(rounds, 50)):
        recommender.recommend(str(row["query_id"]), 100)
        neighbours.of_item(str(row["query_id"]), 100)
        ItemEncoder(config).encode({"section": row["section"]})
    paths = VersionPaths(config, VERSION)
    return {
        "lookup_p50_ms": 1e3 * p50["client"],
        "feast_p50_ms": 1e3 * p50["feast"],
        "feast_response_only_p50_ms": 1e3 * p50["feast_response_only"],
        "lookup_vs_feast": p50["client"] / p50["feast"],
        "lookup_vs_feast_response_only": p50["client"] / p50["feast_response_only"],
        "lookup_vs_feast_by_round": median_ratio(seconds["client"], seconds["feast"]),
        "index_mb": paths.index.stat().st_size / 1e6,
    }


if __name__ == "__main__":
    main()
