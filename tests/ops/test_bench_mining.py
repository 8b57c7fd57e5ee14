import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_runs_small_and_names_its_ratios() -> None:
    sizes = ["--rows", "20000", "--large-rows", "60000", "--small-rows", "2000"]
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "ops" / "benchmarks" / "mining.py"),
            *("--json", *sizes, "--sklearn-pairs", "3"),
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    document = json.loads(done.stdout)
    assert document["name"] == "mining"
    names = {"vs_sklearn", "vs_sklearn_64k", "per_row_100m_vs_10m", "peak_gib"}
    assert set(document["ratios"]) == names
    assert all(ratio > 0 for ratio in document["ratios"].values())
    assert document["settings"]["large_rows"] == 60_000
    assert len(document["settings"]["sklearn_pairs"]) == 3
