"""`longtail tune`: its options, its output, and what it writes."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.blocks import QUICK, write_blocks
from tests.cli.test_commands import call

ONE = ("--parameters", "loss.temperature", "--trials", "2", "--json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--parameters", "loss.temprature"), "cannot tune loss.temprature; it can tune training."),
        (("--trials", "0"), "Invalid value for '--trials'"),
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
    assert call(monkeypatch, "tune", "--config", config, *arguments) == 2
    streams = capfd.readouterr()
    assert streams.out == ""
    assert message in streams.err
    assert not (tmp_path / ".longtail").exists()


@pytest.mark.slow  # Feast's stages, twice
def test_the_best_values_are_written_into_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)
    # One epoch at low rates is too few, which the first trial finds out.
    slow = {"num_epochs": 1, "table_learning_rate": 0.02, "tower_learning_rate": 0.005}
    training = {**QUICK["training"], **slow}
    model = {**QUICK["model"], "start_alike": False}
    config = write_blocks(
        tmp_path,
        training=training,
        model=model,
        loss={"temperature": 0.2},
        tuning={"max_epochs": 6, "patience": 6},
    )
    before = config.read_text().replace("temperature: 0.2", "temperature: 0.2 # too high")
    config.write_text(before)

    def tune(*options: str) -> dict[str, Any]:
        monkeypatch.setattr("sys.argv", [])
        assert call(monkeypatch, "tune", "--config", config, *ONE, *options) == 0
        streams = capfd.readouterr()
        assert "Traceback" not in streams.err
        found: dict[str, Any] = json.loads(streams.out)
        return found

    # Nothing is written without being asked for.
    shown = tune("--dry-run")
    assert config.read_text() == before
    assert shown["written"] is None
    assert [trial["number"] for trial in shown["trials"]] == [1, 2]
    assert shown["trials"][0]["settings"] == {"loss.temperature": 0.2}

    # The same trials again: none is trained twice.
    written = tune("--force")
    assert written["trials"] == shown["trials"]
    assert written["changes"] == shown["changes"]
    assert written["written"] == str(config)
    best = written["best"]
    assert best["objective"] > written["present"]["objective"]
    content = yaml.safe_load(config.read_text())
    assert content["training"]["num_epochs"] == best["epoch"]
    assert content["loss"]["temperature"] == best["settings"]["loss.temperature"]
    assert "# too high" in config.read_text()
    line = next(line for line in config.read_text().splitlines() if "num_epochs" in line)
    assert "# longtail tune 20" in line
    assert line.endswith(
        f"objective {written['present']['objective']:.4f} -> {best['objective']:.4f}, 2 trials"
    )
    folder = Path(written["folder"])
    assert folder.parent == tmp_path / ".longtail" / "tuning" / written["as_of"]
    assert json.loads((folder / "trials.json").read_text()) == written
    assert (folder / "trials.png").read_bytes()[:4] == b"\x89PNG"
