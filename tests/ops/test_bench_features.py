import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_runs_small_and_names_its_ratios() -> None:
    sizes = ["--rows", "4000", "--large-rows", "8000", "--rounds", "1"]
    script = ROOT / "ops" / "benchmarks" / "features.py"
    done = subprocess.run(
        [sys.executable, str(script), "--json", *sizes],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    document = json.loads(done.stdout)
    assert document["name"] == "features"
    ratios = document["ratios"]
    assert set(ratios) == {
        "vs_feast_pandas",
        "vs_feast_pandas_10m",
        "vs_feast_pandas_catalogue_ready",
        "rate_10m_vs_1m",
        "peak_gib",
        "feast_pandas_peak_gib",
    }
    assert all(ratio > 0 for ratio in ratios.values())
    assert document["settings"]["features"] == 20
    assert ratios["vs_feast_pandas_catalogue_ready"] > ratios["vs_feast_pandas"]
