"""`longtail study`: its options, its output, and its files."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from longtail.cli.study_progress import StudyProgress
from longtail.cli.tables import study_tables
from longtail.study.cells import Cell
from tests.blocks import write_blocks
from tests.cli.test_commands import call
from tests.integration.conftest import child_environment
from tests.study.tiny import FakeWork, Serial, make_project, make_study

GRID = ("--variants", "baseline,correlated_masking", "--fractions", "1,0.5", "--num-seeds", "2")


def study(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "longtail.cli", "study", f"--config={config}", *arguments],
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--variants", "baseline,cfm"), "no such variant: cfm; there are baseline, correlated"),
        (("--preset", "papr"), "no such preset: papr; there are paper, default, masks, quick"),
        (("--fractions", "1,half"), "not a list of numbers"),
        (("--fractions", "2"), "2 is not a fraction of the data"),
    ],
)
def test_wrong_usage_is_exit_code_2_before_anything_is_done(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)
    config = write_blocks(tmp_path)
    assert call(monkeypatch, "study", "--config", config, *arguments) == 2
    streams = capfd.readouterr()
    assert streams.out == ""
    (line,) = streams.err.splitlines()
    assert message in line
    assert not (tmp_path / ".longtail").exists()


def interrupted(config: Path, *arguments: str, after: Path) -> subprocess.CompletedProcess[str]:
    """Start a study, and press Ctrl-C once the folder `after` has a finished cell."""
    command = [sys.executable, "-m", "longtail.cli", "study", f"--config={config}", *arguments]
    with subprocess.Popen(
        command,
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 120
        while not any(after.glob("*.json")):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)  # a terminal's Ctrl-C reaches the whole group
        out, error = process.communicate(timeout=60)
    return subprocess.CompletedProcess(command, process.returncode, out, error)


@pytest.mark.slow
def test_a_study_from_raw_tables_to_its_table(tmp_path: Path) -> None:
    config = write_blocks(tmp_path)
    folder = tmp_path / ".longtail" / "studies" / "study"
    options = (*GRID, "--num-epochs", "3", "--jobs", "2")

    stopped = interrupted(config, *options, "--json", after=folder / "cells")
    assert stopped.returncode == 1, stopped.stderr
    assert stopped.stdout == ""
    assert f"interrupted; finished models are kept in {folder}" in stopped.stderr.splitlines()[-1]
    assert "Traceback" not in stopped.stderr
    kept = {file.name: file.read_bytes() for file in (folder / "cells").glob("*.json")}
    assert 1 <= len(kept) < 8

    done = study(config, *options, "--json")
    assert done.returncode == 0, done.stderr
    assert re.search(rf"\b{len(kept)} models? (was|were) there already", done.stderr)
    for name, content in kept.items():
        assert (folder / "cells" / name).read_bytes() == content
    document = json.loads(done.stdout)
    keys = [(c["variant"], c["fraction"], c["seed"]) for c in document["cells"]]
    assert keys == [
        (variant, fraction, seed)
        for fraction in (1.0, 0.5)
        for variant in ("baseline", "correlated_masking")
        for seed in (1, 2)
    ]
    for cell in document["cells"]:
        assert set(cell["metrics"]) == {"overall", "head", "tail", "cold"}
        assert set(cell["metrics"]["tail"]) == {
            *("recall@10", "recall@50", "map@10", "map@50", "num_pairs"),
        }
        assert cell["num_epochs"] == 3
        assert cell["environment"]["num_threads"] == max(1, (os.cpu_count() or 1) // 2)
    # Blocks of 30 items: a model that has learned them finds its own block in the first 50.
    whole = [cell for cell in document["cells"] if cell["fraction"] == 1.0]
    assert min(cell["metrics"]["overall"]["recall@50"] for cell in whole) > 0.5
    for row in document["summary"]:
        same = [
            cell["metrics"][row["slice"]][row["metric"]]
            for cell in document["cells"]
            if (cell["variant"], cell["fraction"]) == (row["variant"], row["fraction"])
        ]
        assert row["mean"] == pytest.approx(sum(same) / 2)
    assert (folder / "study.html").is_file()
    assert json.loads((folder / "study.json").read_text()) == document


def test_what_people_read(tmp_path: Path) -> None:
    written = io.StringIO()
    shown = Console(file=written, width=100)

    def level(cell: Cell, epoch: int) -> float:
        return 0.2 + 0.01 * cell.seed + (0.05 if cell.variant == "correlated_masking" else 0.0)

    config = make_project(tmp_path)
    grid, _ = make_study(config, tmp_path / "study", num_seeds=2)
    grid.on_event = StudyProgress(shown, grid.planned(), num_workers=1)
    document = grid.run(Serial(FakeWork(level)))
    for table in study_tables.study(document):
        shown.print(table)
    text = written.getvalue()
    assert "[  4/4] correlated_masking at 1, seed 2: recall@50 0.2700" in text
    assert "0 s left" in text.splitlines()[3]
    # .21 and .22 against .26 and .27: a difference of .05 with either seed.
    assert re.search(r"correlated masking +0\.2650 +0\.2650 +0\.2650 +0\.2650", text)
    assert text.count("+23.3% ±0.0") == 4

    again, _ = make_study(config, tmp_path / "study", num_seeds=2)
    progress = StudyProgress(shown, again.planned(), num_workers=1)
    again.on_event = progress
    again.run(Serial(FakeWork(level)))
    progress.tell_reused()
    assert written.getvalue().endswith("4 models were there already\n")
