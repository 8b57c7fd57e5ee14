"""A minute of the soak: no error, no mixed version, and memory that does not grow."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_minute_of_mixed_load() -> None:
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "ops" / "benchmarks" / "soak.py"), "--json"),
            *("--minutes", "1", "--num-items", "2000"),
        ],
        env={"PYTHONPATH": str(ROOT / "platform"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    ratios, measured = document["ratios"], document["measured"]
    assert measured["messages"] == []
    assert ratios["num_errors"] == ratios["num_mixed_versions"] == 0
    (served,) = measured["served"]
    assert len(served) == 5
    assert len(measured["follow_seconds"]) == 4
    assert min(measured["num_reads"].values()) > 20
    # In one minute, what the first publication loads counts as growth.
    assert 0 < ratios["memory_growth"] < 1.25
