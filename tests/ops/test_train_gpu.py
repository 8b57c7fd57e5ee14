"""The benchmark of a device, on the CPU, and its message where there is no device."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from longtail.config import Config, TrainingConfig
from longtail.dataset.batch_builder import BatchBuilder
from tests.integration.conftest import child_environment

FOLDER = Path(__file__).resolve().parents[2] / "ops" / "benchmarks"
SMALL = ("--device=cpu", "--batch-size=64", "--items=500", "--steps=1", "--copy-mb=8", "--dim=8")


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("train_gpu")


def run(*options: str) -> Any:
    command = [sys.executable, str(FOLDER / "train_gpu.py"), *options]
    return subprocess.run(
        command, env=child_environment(), capture_output=True, text=True, check=False
    )


def test_every_size_has_its_shares_and_rates() -> None:
    done = run("--json", *SMALL, "--table-gb=0.001,0.002")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["name"] == "train_gpu"
    ratios, measured = document["ratios"], document["measured"]
    parts = ("input", "copy", "lookup", "update", "towers")
    for size in ("0.001gb", "0.002gb"):
        assert sum(ratios[f"{part}_{size}"] for part in parts) == pytest.approx(1.0)
        assert all(ratios[f"{name}_bandwidth_{size}"] > 0 for name in ("lookup", "update"))
        assert measured[f"examples_per_second_{size}"] == pytest.approx(
            64_000 / measured[f"step_ms_{size}"]
        )
    # 8 columns of weights and one of sums, four bytes each.
    assert measured["table_rows_0.002gb"] == 2_000_000 // 36


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_it_is_one_line_and_exit_code_1() -> None:
    done = run("--json")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = [line for line in done.stderr.splitlines() if "CUDA" in line]
    assert line.startswith("train_gpu: this machine has no CUDA device")


def test_the_bytes_of_a_lookup_are_counted_row_by_row(benchmark: ModuleType) -> None:
    dim = 4
    schema = benchmark.schema_of(dim)
    num_rows = benchmark.rows_for(0.001, dim, 300)
    training_set = benchmark.make_training_set(schema, num_rows, 300, 256)
    items = training_set.item_rows.columns(np.arange(300))[0][:300]
    assert len(np.unique(items)) == 300  # every item has a row of its own
    assert items.max() > 0.9 * num_rows["item"]  # spread over the whole table
    config = Config(feature_repo=Path(), training=TrainingConfig(batch_size=64))
    batch = next(BatchBuilder(training_set, config).epoch(0))
    looked_up, touched, num_bags, num_values = set(), 0, 0, 0
    for feature in schema.features:
        jagged = batch.features[feature.key]
        values = jagged.values().tolist()
        looked_up |= {(feature.table, value) for value in values}
        num_bags += len(jagged.lengths())
        num_values += len(values)
        touched += len(values) * (4 + dim * 4)  # an index, and a row
    bags = num_bags * dim * 4
    lookup, update = benchmark.lookup_bytes(batch, dim)
    assert lookup == touched + bags
    # A gradient per bag; weights and the sum of each distinct row, read and written.
    assert update == bags + len(looked_up) * 2 * (dim + 1) * 4
