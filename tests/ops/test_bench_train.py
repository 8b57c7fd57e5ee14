"""The benchmark of training, small: every contender runs, and reports its ratios."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.integration.conftest import child_environment
from tests.projects import write_project

ROOT = Path(__file__).resolve().parents[2]
NUM_ITEMS = 300


def write_tables(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    ids = [f"item-{number}" for number in range(NUM_ITEMS)]
    born = pa.array([datetime(2024, 1, 1, tzinfo=UTC)] * NUM_ITEMS, pa.timestamp("us", "UTC"))

    def features(key: str) -> pa.Table:
        words = [[f"w{word}" for word in rng.integers(0, 50, 3)] for _ in ids]
        sections = [f"s{section}" for section in rng.integers(0, 8, NUM_ITEMS)]
        names = {key: ids, "section": sections, "words": words, "event_timestamp": born}
        return pa.table(names)

    size = 2_000
    when = pa.array([datetime(2024, 2, 1, tzinfo=UTC)] * size, pa.timestamp("us", "UTC"))
    pairs = rng.permutation(NUM_ITEMS * NUM_ITEMS)[:size]
    interactions = pa.table(
        {
            "query_id": [ids[pair // NUM_ITEMS] for pair in pairs],
            "item_id": [ids[pair % NUM_ITEMS] for pair in pairs],
            "event_timestamp": when,
        }
    )
    return write_project(folder, features("item_id"), features("query_id"), interactions)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_benchmark_runs_small(tmp_path: Path) -> None:
    config = write_tables(tmp_path)
    sizes: dict[str, Any] = {
        "--products": "float32",
        "--batch-size": 64,
        "--batch-sizes": 64,
        "--rounds": 1,
        "--rank-rounds": 1,
        "--steps": 2,
        "--threads": 1,
        "--small-catalogue": 500,
        "--large-catalogue": 5_000,
    }
    options = [str(part) for pair in sizes.items() for part in pair]
    done = subprocess.run(
        [sys.executable, "-m", "longtail.cli", "bench", "train", "--json", *options],
        env=child_environment(LONGTAIL_CONFIG=str(config)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["name"], document["settings"]["products"]) == ("train", "float32")
    assert document["ratios"].keys() == {
        *("vs_pytorch", "lookup_vs_pytorch", "vs_floor", "vs_floor_ssl"),
        *("vs_pytorch_adagrad", "lookup_vs_pytorch_adagrad"),
        *("ssl_cost", "ssl_cost_over_mixed", "history_cost", "input_headroom", "two_ranks"),
        *("large_catalogue", "memory_over_tables"),
    }
    assert all(ratio > 0 for ratio in document["ratios"].values())
    # Sizes do not depend on the machine: the optimizer of the tables keeps one number per row,
    # that of the towers one per weight.
    found = document["measured"]["tables and optimizer state of the large catalogue, bytes"]
    rows = 5_000 + round(50 * 5_000 / NUM_ITEMS) + 8  # ids, words, sections
    inputs = 3 * 64
    towers = 2 * (inputs + (inputs + 1) * 512 + (512 + 1) * 128)
    assert found == pytest.approx(4 * (rows * 65 + 2 * towers), rel=0.01)
