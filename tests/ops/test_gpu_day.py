"""The script for a day on a GPU, on a CPU at tiny sizes: every part, crashes, limits, imports."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from longtail.artifacts import RunPaths
from tests.integration.conftest import ROOT, child_environment
from tests.training.small_training import DAY, small_config

FOLDER = ROOT / "ops" / "benchmarks"
SCRIPT = FOLDER / "gpu_day.py"
# What a GPU machine does not have.
ABSENT = ("duckdb", "feast", "faiss", "dagster", "pandas", "ibis")

# Hides packages as if they were not installed: a finder that raises would also break torch, which
# asks `find_spec` whether pandas is there.
HIDE = f"""
import sys

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            return None
        return self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
"""


def run(*options: str) -> Any:
    command = [sys.executable, "-W", "ignore", str(SCRIPT), *options]
    return subprocess.run(
        command, env=child_environment(), capture_output=True, text=True, check=False
    )


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("gpu_day_parts.day")


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, Any], Path]:
    """The whole day, once: what it printed, its summary and its folder."""
    folder = tmp_path_factory.mktemp("day")
    # More than 50 items, or recall@50 would be 1 whatever was learned.
    project = small_config(folder / "home", num_packages=200)
    training_set = RunPaths(project, DAY).training_set
    done = run(
        *("--json", "--device=cpu", f"--out={folder / 'out'}", f"--training-set={training_set}")
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((folder / "out" / "summary.json").read_text())
    return json.loads(done.stdout), summary, folder / "out"


@pytest.mark.slow
def test_every_part_ends_ok_or_says_why_it_was_skipped(
    day: tuple[Any, dict[str, Any], Path], parts: ModuleType
) -> None:
    _, summary, folder = day
    names = [part.name for part in parts.PARTS]
    assert list(summary["parts"]) == names
    wanted = {name: "skipped" if name == "no_sync" else "ok" for name in names}
    assert summary["status"] == wanted
    for name in names:
        assert json.loads((folder / f"{name}.json").read_text()) == summary["parts"][name]
    assert summary["parts"]["no_sync"]["reason"] == ["only a GPU has a host that could wait for it"]
    assert summary["seconds"] < summary["seconds_allowed"]


@pytest.mark.slow
def test_a_cpu_compares_exactly_with_itself(day: tuple[Any, dict[str, Any], Path]) -> None:
    parts = {name: part["figures"] for name, part in day[1]["parts"].items()}
    against_cpu = {
        name: value
        for name, value in parts["kernels"]["differences"].items()
        if name.endswith("_against_cpu")
    }
    assert len(against_cpu) == 2 * parts["kernels"]["num_kernels"] == 8
    assert set(against_cpu.values()) == {0.0}
    assert parts["losses"]["num_steps"] == 100
    assert parts["losses"]["float32_difference"] == 0.0
    assert parts["losses"]["last_loss"] < parts["losses"]["first_loss"]
    assert "bfloat16_difference" in parts["losses"] or "bfloat16_skipped" in parts["losses"]
    assert parts["resume"]["equal"] is True
    assert parts["resume"]["difference"] == parts["resume"]["difference_of_two_resumed"] == 0.0
    assert parts["resume"]["different_tensors"] == []


@pytest.mark.slow
def test_the_figures_are_there(day: tuple[Any, dict[str, Any], Path]) -> None:
    document, summary, folder = day
    parts = {name: part["figures"] for name, part in summary["parts"].items()}
    assert parts["environment"]["versions"]["torch"] == torch.__version__
    assert parts["environment"]["copy_gb_per_second"] > 0
    assert parts["demo"]["num_test_pairs"] > 0
    assert 0 < parts["demo"]["recall@50"] < 1
    assert parts["demo"]["num_steps"] > 0
    points = parts["speed"]["points"]
    sizes = [f"{gigabytes}gb_{size}" for gigabytes in ("0.002", "0.004") for size in (64, 128)]
    assert set(points) == {f"{size}_{variant}" for size in sizes for variant in ("base", "ssl")}
    for size in sizes:
        base, ssl = points[f"{size}_base"], points[f"{size}_ssl"]
        assert parts["speed"]["ssl_cost"][size] == pytest.approx(ssl["step_ms"] / base["step_ms"])
        assert all(value > 0 for point in (base, ssl) for value in point.values())
    rates = parts["plain_pytorch"]["rates"]
    assert parts["plain_pytorch"]["vs_sparse"] == pytest.approx(
        rates["ours"]["examples_per_second"] / rates["sparse"]["examples_per_second"]
    )
    for variant in ("base", "ssl"):
        table = parts["profile"][variant]
        assert len(table["top"]) == 20
        shares = [row["share"] for row in table["top"]]
        assert shares == sorted(shares, reverse=True)
        assert sum(table["parts_ms"].values()) > 0
        assert (folder / f"profile-{variant}.trace.json.gz").stat().st_size > 0
    # As `longtail bench gpu_day` prints it.
    assert document["name"] == "gpu_day"
    assert document["ratios"]["losses_float32_difference"] == 0.0
    assert document["ratios"]["ssl_cost_0.004gb_128"] == parts["speed"]["ssl_cost"]["0.004gb_128"]
    assert document["measured"]["demo_recall@50"] == parts["demo"]["recall@50"]
    assert document["settings"]["card"] == "cpu"


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_only_the_environment_is_tried(tmp_path: Path) -> None:
    done = run("--out", str(tmp_path))
    assert done.returncode == 1
    assert "this machine has no CUDA device: --device cpu runs the same on the CPU" in done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["status"] == {"environment": "failed"}
    assert summary["parts"]["environment"]["figures"]["versions"]["torch"] == torch.__version__


def test_the_sizes_for_a_gpu_can_be_made(parts: ModuleType, tmp_path: Path) -> None:
    """Only a GPU uses them, and a table with fewer rows than items would end the part there."""
    speed = importlib.import_module("gpu_day_parts.speed")
    rows_for = importlib.import_module("train_gpu_parts.catalogue").rows_for
    on_gpu = parts.Day("cuda", tmp_path, None, 0.0, lambda figures: None, lambda text: None)
    tables, batch_sizes = speed.sizes(on_gpu)
    assert [size.gigabytes for size in tables] == [1.0, 10.0, 50.0]
    assert batch_sizes == (4096, 16384, 65536)
    for size in tables:
        assert size.batch_size == max(batch_sizes)
        rows = rows_for(size.gigabytes, size.dim, size.items)
        assert sum(rows.values()) == pytest.approx(size.gigabytes * 1e9 / (4 * 129), rel=1e-6)


BROKEN = {
    "crash": "day.record(got=1); print('last words', flush=True); os.abort()",
    "hang": "day.record(got=1); time.sleep(600)",
    "error": "day.record(got=1); raise ValueError('no good')",
    "fine": "day.record(got=1)",
}


@pytest.mark.slow
def test_a_crash_or_a_hang_costs_its_part_alone_and_no_figure(tmp_path: Path) -> None:
    """Run parts that break, through the same parent, and one that does not after them."""
    package = tmp_path / "gpu_day_parts"
    package.mkdir()
    for name, body in BROKEN.items():
        source = f"import os, time\ndef measure(day):\n    {body}\n"
        (package / f"broken_{name}.py").write_text(source)
    # The children find these parts by `sys.path`, which they get from the process that starts them.
    driver = tmp_path / "driver.py"
    driver.write_text(
        f"""
import sys
sys.path[:0] = [{str(FOLDER)!r}, {str(tmp_path)!r}]
from pathlib import Path
import gpu_day
from gpu_day_parts.day import Part

if __name__ == "__main__":
    gpu_day.PARTS = tuple(Part(n, "broken_" + n, 0.1) for n in {list(BROKEN)!r})
    options = gpu_day.parse(["--device=cpu", "--seconds=40", "--out", {str(tmp_path / "out")!r}])
    gpu_day.run_parts(options)
"""
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", str(driver)], env=child_environment(), check=True
    )
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    parts = summary["parts"]
    assert {name: part["status"] for name, part in parts.items()} == {
        "crash": "failed",
        "hang": "out of time",
        "error": "failed",
        "fine": "ok",
    }
    assert all(part["figures"] == {"got": 1} for part in parts.values())
    assert parts["crash"]["error"] == ["the process ended with exit code -6", "last words"]
    assert parts["error"]["error"][-1] == "ValueError: no good"
    assert parts["hang"]["seconds"] >= 3.9  # its limit is a tenth of 40 seconds


def test_a_machine_without_the_other_packages_can_import_every_part(parts: ModuleType) -> None:
    modules = [f"gpu_day_parts.{part.module}" for part in parts.PARTS]
    source = f"{HIDE}\nimport importlib\nsys.path.insert(0, {str(FOLDER)!r})\n" + "".join(
        f"importlib.import_module({module!r})\n" for module in ("gpu_day", *modules)
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source],
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
