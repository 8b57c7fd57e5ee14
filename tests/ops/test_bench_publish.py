"""The benchmark of publication, small: it runs, and reports its ratios."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LABELS = {
    "vs_feast_materialize",
    "write_and_read_vs_feast",
    "peak_memory_vs_feast",
    "rate_1m_vs_100k",
    "memory_1m_vs_100k",
}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_benchmark_runs_small() -> None:
    stores = ["sqlite", "redis"] if shutil.which("redis-server") else ["sqlite"]
    sizes = {"--rows": 4_000, "--large-rows": 12_000, "--rounds": 1, "--stores": ",".join(stores)}
    options = [str(part) for pair in sizes.items() for part in pair]
    done = subprocess.run(
        [sys.executable, str(ROOT / "ops" / "benchmarks" / "publish.py"), "--json", *options],
        env={"PYTHONPATH": str(ROOT / "platform"), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    ratios = document["ratios"]
    assert ratios.keys() == LABELS | {f"{label}_{name}" for label in LABELS for name in stores}
    assert all(value > 0 for value in ratios.values())
    for label in LABELS:
        of_stores = [ratios[f"{label}_{name}"] for name in stores]
        assert ratios[label] in (min(of_stores), max(of_stores))
    # Memory does not depend on a busy machine: three times the rows take no more.
    assert ratios["memory_1m_vs_100k"] < 1.1
    assert document["settings"]["large_rows"] == 12_000
    assert document["measured"]["sqlite_publish_write_s"] > 0
