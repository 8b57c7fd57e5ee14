"""The benchmark of serving, small: it runs, and reports its ratios."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_benchmark_runs_small() -> None:
    sizes = {"--num-items": 300, "--num-vectors": 2_000, "--num-queries": 20, "--rounds": 15}
    options = [str(part) for pair in sizes.items() for part in pair]
    done = subprocess.run(
        [sys.executable, str(ROOT / "ops" / "benchmarks" / "serve.py"), "--json", *options],
        env={"PYTHONPATH": str(ROOT / "platform"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    ratios, measured = document["ratios"], document["measured"]
    assert {"lookup_vs_feast", "neighbours_p50_ms", "encode_query_p50_ms"} < ratios.keys()
    assert all(value > 0 for value in ratios.values())
    assert 0.5 < ratios["neighbours_recall"] <= 1.0
    assert measured["encode_heavy"] == 0  # neither torch nor Feast nor pandas
    # Memory does not depend on a busy machine: the bounds hold here as well.
    assert ratios["encoding_rss_mb"] < 400
    assert ratios["serving_rss_mb"] < 800
    assert document["settings"]["num_vectors"] == 2_000
